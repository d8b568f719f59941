"""Rauch-Tung-Striebel smoother: what was hidden, given the whole series.

    G = P_t Fᵀ (F P_t Fᵀ + Q)⁻¹
    m_t ← m_t + G (m_{t+1} − F m_t − b)
    P_t ← (I − G F) P_t (I − G F)ᵀ + G (P_{t+1} + Q) Gᵀ        backwards from the last t

with the filter's m_t, P_t on the right and the smoother's m_{t+1}, P_{t+1}. This form of P stays
positive semi-definite when rounded; it equals P_t + G (P_{t+1} − F P_t Fᵀ − Q) Gᵀ. Behind it is
what x_t would be if x_{t+1} were known, and nothing else of the future:

    x_t | x_{t+1}, y_1 … y_t ~ N(G x_{t+1} + a, C)
    a = m_t − G (F m_t + b),   C = (I − G F) P_t (I − G F)ᵀ + G Q Gᵀ
    Cov(x_{t+1}, x_t | y_1 … y_T) = P_{t+1} Gᵀ

Source: Rauch, Tung & Striebel (1965), *AIAA Journal* 3(8), 1445; Särkkä (2013), *Bayesian
Filtering and Smoothing*, theorem 8.2; de Jong & Mackinnon (1988), *Biometrika* 75(3), 601 (the
covariance of neighbors); Carter & Kohn (1994), *Biometrika* 81(3), 541 (paths).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix
from mastery_jax.inference.filtering.kalman import Beliefs
from mastery_jax.inference.filtering.linear_gaussian import Model, over_time, plus, trusted

__all__ = ["Conditional", "conditional", "lag_one_cov", "sample", "smooth"]


class Conditional(NamedTuple):
    """What x_t is if x_{t+1} is known, N(gain x_{t+1} + offset, cov), for all t but the last."""

    gain: Float[Array, "earlier state state"]  # G, u per u
    offset: Float[Array, "earlier state"]  # a, u
    cov: Float[Array, "earlier state state"]  # C, u²


@jax.jit
@checked
def smooth(filtered: Beliefs, *, model: Model) -> Beliefs:
    """Return the belief at every t given all observations. O(time state³).

    Args:
        filtered: What ``kalman.filter`` returned. With the belief about x_0 put in front, the
            first result is about x_0. Missing observations make no difference here.
        model: The model that the filter had.

    Returns:
        Smoothed beliefs; at the last t they are the filter's; none of none. NaN at and before a t
        where F P_t Fᵀ + Q is not positive definite: where something is known without error;
        throughout where a covariance given, of any t, is none, as in ``kalman.predict``.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> filtered = Beliefs(mean=jnp.array([[0.0], [3.0]]), cov=jnp.ones((2, 1, 1)))
        >>> smooth(filtered, model=model).mean[:, 0]
        Array([1.5, 3. ], dtype=float32)
    """
    if not len(filtered.mean):
        return filtered
    varying = over_time("rts.smooth", model, len(filtered.mean) - 1, num_spare=1)
    filtered = trusted(filtered, model)

    def back(after: tuple[Array, Array], now: tuple[Array, Array, Any]) -> tuple:
        (later_mean, later_cov), (mean, cov, fields) = after, now
        here = model._replace(**fields)
        gain, shrink = _gain(cov, here)
        predicted = plus(matrix.product(here.transition, mean), here.process_mean)
        mean = mean + matrix.product(gain, later_mean - predicted)
        spread = later_cov + here.process_cov
        cov = matrix.congruence(shrink, cov) + matrix.congruence(gain, spread)
        return (mean, cov), (mean, cov)

    last = (filtered.mean[-1], filtered.cov[-1])
    backwards = {name: field[::-1] for name, field in varying.items()}
    earlier = (filtered.mean[-2::-1], filtered.cov[-2::-1], backwards)
    with jax.default_matmul_precision("highest"):
        _, (mean, cov) = loop.scan(back, last, earlier)
    mean = jnp.concatenate([mean[::-1], last[0][None]])
    cov = jnp.concatenate([cov[::-1], last[1][None]])
    return Beliefs(mean=mean, cov=matrix.symmetric(cov))


@jax.jit
@checked
def conditional(filtered: Beliefs, *, model: Model) -> Conditional:
    """Return what each x_t is if the next one is known. O(time state³), parallel over time.

    Args:
        filtered: As in ``smooth``.
        model: The model that the filter had.

    Returns:
        A row for every belief but the last; NaN in a row where F P_t Fᵀ + Q is not positive
        definite, and throughout as in ``smooth``.

    Raises:
        ValueError: as in ``smooth``.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> filtered = Beliefs(mean=jnp.zeros((2, 1)), cov=jnp.ones((2, 1, 1)))
        >>> conditional(filtered, model=model).cov[0]  # half of it comes from before
        Array([[0.5]], dtype=float32)
    """
    varying = over_time("rts.conditional", model, len(filtered.mean) - 1, num_spare=1)
    filtered = trusted(filtered, model)

    def one(mean: Array, cov: Array, fields: dict[str, Array]) -> Conditional:
        here = model._replace(**fields)
        gain, shrink = _gain(cov, here)
        predicted = plus(matrix.product(here.transition, mean), here.process_mean)
        rest = matrix.congruence(shrink, cov) + matrix.congruence(gain, here.process_cov)
        offset = mean - matrix.product(gain, predicted)
        return Conditional(gain=gain, offset=offset, cov=matrix.symmetric(rest))

    with jax.default_matmul_precision("highest"):
        return jax.vmap(one)(filtered.mean[:-1], filtered.cov[:-1], varying)


@jax.jit
@checked
def lag_one_cov(smoothed: Beliefs, backwards: Conditional) -> Float[Array, "earlier state state"]:
    """Return Cov(x_{t+1}, x_t) given all observations, for all t but the last. O(time state³).

    Args:
        smoothed: What ``smooth`` returned.
        backwards: What ``conditional`` returned for the filter's beliefs.

    Returns:
        A row fewer than there are beliefs.

    Raises:
        ValueError: shapes disagree (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> beliefs = Beliefs(mean=jnp.zeros((2, 1)), cov=jnp.ones((2, 1, 1)))
        >>> smoothed = smooth(beliefs, model=model)
        >>> lag_one_cov(smoothed, conditional(beliefs, model=model))[0]
        Array([[0.5]], dtype=float32)
    """
    _one_fewer("rts.lag_one_cov", backwards, smoothed)
    with jax.default_matmul_precision("highest"):
        return jax.vmap(matrix.product)(smoothed.cov[1:], backwards.gain.swapaxes(1, 2))


@jax.jit
@checked
def sample(key: Key[Array, ""], filtered: Beliefs, *, model: Model) -> Float[Array, "time state"]:
    """Draw a path of the hidden states given all observations. O(time state³).

    Args:
        key: Consumed. Many paths: ``jax.vmap`` over many keys.
        filtered: As in ``smooth``.
        model: The model that the filter had.

    Returns:
        x_t at every t of ``filtered``, drawn jointly; NaN as in ``smooth``. Covariances are
        factored by their singular values, which have no derivative where two of them are equal.

    Raises:
        ValueError: as in ``smooth``.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> certain = Beliefs(mean=jnp.array([[2.0], [2.0]]), cov=jnp.zeros((2, 1, 1)))
        >>> sample(jax.random.key(0), certain, model=model)[:, 0]
        Array([2., 2.], dtype=float32)
    """
    if not len(filtered.mean):
        return filtered.mean
    over_time("rts.sample", model, len(filtered.mean) - 1, num_spare=1)
    backwards = conditional(filtered, model=model)
    noise = jax.random.normal(key, filtered.mean.shape, filtered.mean.dtype)

    def back(later: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        gain, offset, shock = now
        x = matrix.product(gain, later) + offset + shock
        return x, x

    with jax.default_matmul_precision("highest"):
        covs = jnp.concatenate([backwards.cov, filtered.cov[-1:]])
        shocks = jax.vmap(matrix.product)(_roots(covs), noise)
        last = filtered.mean[-1] + shocks[-1]
        rows = (backwards.gain[::-1], backwards.offset[::-1], shocks[-2::-1])
        _, earlier = loop.scan(back, last, rows)
    return jnp.concatenate([earlier[::-1], last[None]])


def _gain(cov: Array, model: Model) -> tuple[Array, Array]:
    """Return G and I − G F."""
    F, Q = model.transition, model.process_cov
    predicted_cov = matrix.congruence(F, cov) + Q
    gain = matrix.solve(predicted_cov, matrix.product(F, cov)).T
    return gain, jnp.eye(len(F), dtype=F.dtype) - matrix.product(gain, F)


def _roots(covs: Array) -> Array:
    """Return A with A Aᵀ = C of covariances that may be singular."""
    vectors, values, _ = jnp.linalg.svd(covs, hermitian=True)
    return vectors * jnp.sqrt(values)[:, None, :]


def _one_fewer(where: str, backwards: Conditional, beliefs: Beliefs) -> None:
    if len(backwards.gain) != len(beliefs.mean) - 1:
        shown = jax.typeof(backwards.gain).str_short()
        raise ValueError(
            f"{where}: backwards.gain is {shown}, not one row fewer than the "
            f"{len(beliefs.mean)} beliefs"
        )
