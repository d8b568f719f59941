"""Rauch-Tung-Striebel smoother: what was hidden, given the whole series.

    G = P_t Fᵀ (F P_t Fᵀ + Q)⁻¹
    m_t ← m_t + G (m_{t+1} − F m_t)
    P_t ← (I − G F) P_t (I − G F)ᵀ + G (P_{t+1} + Q) Gᵀ        backwards from the last t

with the filter's m_t, P_t on the right and the smoother's m_{t+1}, P_{t+1}. This form of P stays
positive semi-definite when rounded; it equals P_t + G (P_{t+1} − F P_t Fᵀ − Q) Gᵀ.

Source: Rauch, Tung & Striebel (1965), *AIAA Journal* 3(8), 1445; Särkkä (2013), *Bayesian
Filtering and Smoothing*, theorem 8.2.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix
from mastery_jax.inference.filtering.kalman import Beliefs
from mastery_jax.inference.filtering.linear_gaussian import Model

__all__ = ["smooth"]


@jax.jit
@checked
def smooth(filtered: Beliefs, *, model: Model) -> Beliefs:
    """Return the belief at every t given all observations. O(time state³).

    Args:
        filtered: What ``kalman.filter`` returned. With the belief about x_0 put in front, the
            first result is about x_0. Missing observations make no difference here.
        model: The model that the filter had.

    Returns:
        Smoothed beliefs; at the last t they are the filter's. NaN at and before a t where
        F P_t Fᵀ + Q is not positive definite: where something is known without error.
    """
    F, Q = model.transition, model.process_cov
    identity = jnp.eye(len(F), dtype=F.dtype)

    def back(after: tuple[Array, Array], now: tuple[Array, Array]) -> tuple:
        (later_mean, later_cov), (mean, cov) = after, now
        predicted_cov = matrix.congruence(F, cov) + Q
        gain = matrix.solve(predicted_cov, matrix.product(F, cov)).T
        shrink = identity - matrix.product(gain, F)
        mean = mean + matrix.product(gain, later_mean - matrix.product(F, mean))
        cov = matrix.congruence(shrink, cov) + matrix.congruence(gain, later_cov + Q)
        return (mean, cov), (mean, cov)

    last = (filtered.mean[-1], filtered.cov[-1])
    earlier = (filtered.mean[-2::-1], filtered.cov[-2::-1])
    with jax.default_matmul_precision("highest"):
        _, (mean, cov) = loop.scan(back, last, earlier)
    mean = jnp.concatenate([mean[::-1], last[0][None]])
    cov = jnp.concatenate([cov[::-1], last[1][None]])
    return Beliefs(mean=mean, cov=matrix.symmetric(cov))
