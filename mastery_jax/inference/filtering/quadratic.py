"""Exponentials of quadratic functions: Gaussian beliefs, and likelihoods, that may be flat.

    φ(x) = exp(c + ηᵀ x − ½ xᵀ Λ x),   Λ positive semi-definite
    φ(A x):                η ← Aᵀ η,   Λ ← Aᵀ Λ A
    E φ(x − w), w ~ N(b, Q):   J = (I + Λ Q)⁻¹,   Λ' = J Λ,   η' = J η + Λ' b
                           c' = c − ½ log |I + Λ Q| + ½ ηᵀ Q J η − (J η)ᵀ b − ½ bᵀ Λ' b
    log ∫ φ dx = c + ½ (n log 2π − log |Λ| + ηᵀ Λ⁻¹ η)

No line but the last needs an inverse of Λ or of Q. With Q = B Bᵀ,

    K = Λ B (I + Bᵀ Λ B)⁻¹,   J = I − K Bᵀ,   Λ' = J Λ Jᵀ + K Kᵀ

which is Joseph's form, of precisions: Λ' stays positive semi-definite when rounded.

Source: Anderson & Moore (1979), *Optimal Filtering*, section 6.3; Särkkä (2013), *Bayesian
Filtering and Smoothing*, section 8.1.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.inference.filtering import matrix, observation
from mastery_jax.inference.filtering.linear_gaussian import Model, plus

__all__ = ["State", "blurred", "is_proper", "likelihood", "log_integral", "moments", "pulled"]

_LEAST = 100  # units of rounding of Λ, for each component: below, a direction of x is unknown


class State(NamedTuple):
    """A belief exp(log_scale + informationᵀ x − ½ xᵀ precision x) about x_t."""

    information: Float[Array, " state"]  # η, 1/u
    precision: Float[Array, "state state"]  # Λ, 1/u²
    log_scale: Float[Array, ""]  # c, nats


def pulled(state: State, change: Array) -> State:
    """Return φ(A x)."""
    return state._replace(
        information=matrix.product(change.T, state.information),
        precision=matrix.congruence(change.T, state.precision),
    )


def blurred(state: State, cov: Array, root: Array, mean: Array | None) -> State:
    """Return E φ(x − w), w ~ N(mean, cov), where cov = root rootᵀ."""
    cov = matrix.symmetric(cov)
    shrink, precision, log_det = _blunted(matrix.symmetric(state.precision), cov, root)
    information = matrix.product(shrink, state.information)
    drawn = matrix.product(cov, information)
    scale = state.log_scale + ((state.information * drawn).sum() - log_det) / 2
    if mean is None:
        return State(information, precision, scale)
    shift = matrix.product(precision, mean)
    return State(
        information=information + shift,
        precision=precision,
        log_scale=scale - (information * mean).sum() - (shift * mean).sum() / 2,
    )


def likelihood(y: Array, model: Model, is_observed: Array | None) -> State:
    """Return p(y | x) of what is observed, as a function of x."""
    seen = observation.of_the_seen(model, is_observed)
    H, R = seen.emission, seen.emission_cov
    residual = observation.filled(y, is_observed) - plus(jnp.zeros_like(y), seen.emission_mean)
    weighted = matrix.solve(R, H).T
    return State(
        information=matrix.product(weighted, residual),
        precision=matrix.symmetric(matrix.product(weighted, H)),
        log_scale=observation.log_density(residual[:, None], R, is_observed)[0],
    )


def log_integral(state: State) -> Array:
    """Return log ∫ φ dx. NaN where φ is flat in some direction."""
    mean, _ = moments(state.information, state.precision)
    circle = len(mean) * math.log(2 * math.pi)
    spread = circle - matrix.log_det(state.precision) + (mean * state.information).sum()
    return state.log_scale + spread / 2


def moments(information: Array, precision: Array) -> tuple[Array, Array]:
    """Return mean and covariance. NaN where φ is flat in some direction."""
    identity = jnp.eye(len(precision), dtype=precision.dtype)
    cov = matrix.solve(precision, identity)
    return matrix.product(cov, information), cov


def is_proper(precision: Array) -> Array:
    """Say whether φ falls off in all directions, by more than rounding makes it."""
    pivots = jnp.square(jnp.diagonal(matrix.cholesky(precision)))
    least = _LEAST * len(precision) * jnp.finfo(precision.dtype).eps
    return (pivots > least * jnp.diagonal(precision)).all()


@jax.custom_jvp
def _blunted(precision: Array, cov: Array, root: Array) -> tuple[Array, Array, Array]:
    """Return J, Λ' and log |I + Λ Q|.

    Their derivatives are those with respect to Q itself: through a root of Q they would be wrong
    where Q is singular.
    """
    identity = jnp.eye(len(root), dtype=root.dtype)
    through = matrix.product(precision, root)
    inner = identity + matrix.symmetric(matrix.product(root.T, through))
    gain = matrix.solve(inner, through.T).T
    shrink = identity - matrix.product(gain, root.T)
    blunt = matrix.congruence(shrink, precision) + matrix.product(gain, gain.T)
    return shrink, matrix.symmetric(blunt), matrix.log_det(inner)


@_blunted.defjvp
def _blunted_jvp(given: tuple, tangents: tuple) -> tuple:
    (precision, cov, _), (d_precision, d_cov, _) = given, tangents
    with jax.default_matmul_precision("highest"):
        shrink, blunt, log_det = _blunted(*given)
        moved = matrix.product(d_precision, cov) + matrix.product(precision, d_cov)
        inward = matrix.product(shrink, moved)
        d_blunt = matrix.congruence(shrink, d_precision) - matrix.congruence(blunt, d_cov)
        found = (-matrix.product(inward, shrink), d_blunt, jnp.trace(inward))
        return (shrink, blunt, log_det), found
