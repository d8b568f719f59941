"""Nonlinear models with Gaussian noise, for particles, and a proposal that looks at y.

    p(x_t | x_{t-1}) = N(f(x_{t-1}), Q),   p(y_t | x_t) = N(h(x_t), R)
    q(x_t | x_{t-1}, y_t) = N(f + K (y − h(f)), (I − K H) Q (I − K H)ᵀ + K R Kᵀ),
    f = f(x_{t-1}),  H = ∂h/∂x at f,  K = Q Hᵀ (H Q Hᵀ + R)⁻¹

The proposal is the extended filter's update of a particle that is known but for its noise. Where h
is linear it is p(x_t | x_{t-1}, y_t), of all proposals that with the least variance of weights.

Source: Doucet, Godsill & Andrieu (2000), *Statistics and Computing* 10, 197, section II.D.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.tree_util import Partial
from jaxtyping import Array

from mastery_jax.core import smallmat
from mastery_jax.inference.filtering import (
    assumed_density,
    linear_gaussian,
    matrix,
    nonlinear,
    particle,
    sigma_points,
)
from mastery_jax.inference.filtering.linear_gaussian import State

__all__ = ["guide", "model_of"]


def model_of(model: nonlinear.Model) -> particle.Model:
    """Return a nonlinear model as ``particle`` takes it. O(1).

    Args:
        model: Functions without inputs, and covariances that do not change, both positive
            definite: draws and densities are NaN where one is not.

    Raises:
        ValueError: a covariance with an axis of steps.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> cosine = nonlinear.Model(Partial(jnp.cos), one, Partial(jnp.sin), one)
        >>> model_of(cosine).log_emission(jnp.zeros(1), jnp.zeros(1))
        Array(-0.9189385, dtype=float32)
    """
    linear_gaussian.at_one_time("additive_noise.model_of", model)
    return particle.Model(
        sample_transition=Partial(_sample_transition, model),
        log_emission=Partial(_log_emission, model),
        log_transition=Partial(_log_transition, model),
    )


def guide(model: nonlinear.Model) -> particle.Proposal:
    """Return a proposal that moves each particle towards what is seen. O(1).

    A move then costs each particle O(state h + state³ + obs³).

    Args:
        model: As in ``model_of``.

    Raises:
        ValueError: a covariance with an axis of steps.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> linear = nonlinear.Model(Partial(jnp.zeros_like), one, Partial(jnp.positive), one)
        >>> log_density = guide(linear).log_density(jnp.ones(1), jnp.zeros(1), 2 * jnp.ones(1))
        >>> f"{jnp.exp(-2 * log_density):.4f}"  # of N(1, 1/2) at 1: 2π/2
        '3.1416'
    """
    linear_gaussian.at_one_time("additive_noise.guide", model)
    return particle.Proposal(
        sample=Partial(_sample_proposal, model), log_density=Partial(_log_proposal, model)
    )


def _sample_transition(model: nonlinear.Model, key: Array, x: Array) -> Array:
    return _sample(key, State(nonlinear.transition_of(model, None)(x), model.process_cov))


def _log_transition(model: nonlinear.Model, later: Array, x: Array) -> Array:
    mean = nonlinear.transition_of(model, None)(x)
    return _log_normal(later - mean, model.process_cov)


def _log_emission(
    model: nonlinear.Model, x: Array, y: Array, is_observed: Array | None = None
) -> Array:
    seen = assumed_density.what_is_seen(model, y, None, is_observed)
    log_density = _log_normal(seen.y - seen.emission(x), seen.emission_cov)
    if is_observed is None:
        return log_density
    # What is missing stands there as 0, of mean 0 and variance 1.
    return log_density + (~is_observed).sum(dtype=x.dtype) * math.log(2 * math.pi) / 2


def _sample_proposal(
    model: nonlinear.Model, key: Array, x: Array, y: Array, is_observed: Array | None = None
) -> Array:
    return _sample(key, _guided(model, x, y, is_observed))


def _log_proposal(
    model: nonlinear.Model, later: Array, x: Array, y: Array, is_observed: Array | None = None
) -> Array:
    belief = _guided(model, x, y, is_observed)
    return _log_normal(later - belief.mean, belief.cov)


def _guided(model: nonlinear.Model, x: Array, y: Array, is_observed: Array | None) -> State:
    """Return the belief about the next x of a particle, given y."""
    ahead = State(nonlinear.transition_of(model, None)(x), model.process_cov)
    observed = assumed_density.what_is_seen(model, y, None, is_observed)
    seen = assumed_density.tangent(observed.emission, ahead, ahead.mean)
    return assumed_density.conditioned(ahead, observed, seen, is_observed)[0]


def _sample(key: Array, belief: State) -> Array:
    noise = jax.random.normal(key, belief.mean.shape, belief.mean.dtype)
    return belief.mean + matrix.product(sigma_points.root_of(belief.cov), noise)


def _log_normal(away: Array, cov: Array) -> Array:
    """Return log N(away; 0, cov) in nats."""
    root = sigma_points.root_of(cov)
    if len(away) <= smallmat.MAX_SIZE:
        white = smallmat.solve_triangular(root, away)
    else:
        white = solve_triangular(root, away, lower=True)
    log_det = jnp.log(jnp.diagonal(root)).sum()
    return -(white * white).sum() / 2 - log_det - len(away) * math.log(2 * math.pi) / 2
