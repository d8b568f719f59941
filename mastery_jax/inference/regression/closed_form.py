"""The posterior of a normal regression without a sampler: normal weights, inverse-gamma variance.

    w = m + σ L z,  z ~ N(0, I),  1/σ² ~ Gamma(a, b):        A = X L,   RᵀR = I + AᵀA
    z* = argmin S(z),   S(z) = |y − X m − A z|² + |z|²
    a' = a + n/2,   b' = b + S(z*)/2,   w | σ, y ~ N(m + L z*, σ² F Fᵀ),   F = L R⁻¹

    log p(y) = log Γ(a') − log Γ(a) + a log b − a' log b' − log |R| − n/2 log 2π

Every weight and every new row follows Student's t with 2a' degrees of freedom. Neither AᵀA nor an
inverse of L is formed: columns in any units, collinear, or more than the rows, keep their digits.

Source: Gelman et al. (2013), *Bayesian Data Analysis*, section 14.8; O'Hagan & Forster (2004),
*Bayesian Inference*, sections 11.3-11.4 (the evidence); QR: Golub & Van Loan (2013), section 6.1.4.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference.regression import model
from mastery_jax.inference.regression import prior as priors
from mastery_jax.inference.regression.model import Draws
from mastery_jax.inference.regression.prior import Family, Prior

__all__ = [
    "Moments",
    "State",
    "engine",
    "fit",
    "moments",
    "predict",
    "sample",
]


class State(NamedTuple):
    """What is believed after the rows."""

    mean: Float[Array, " p"]  # unit of y per unit of the column
    factor: Float[Array, "p p"]  # F, 1 / unit of the column
    shape: Float[Array, ""]  # a'
    rate: Float[Array, ""]  # b', squared unit of y


class Moments(NamedTuple):
    """Means and standard deviations."""

    weights: Float[Array, " p"]
    weights_sd: Float[Array, " p"]  # infinite for a' ≤ 1
    noise: Float[Array, ""]  # of σ; infinite for a' ≤ 1/2
    noise_sd: Float[Array, ""]  # infinite for a' ≤ 1


@jax.jit
@checked
def fit(X: Float[Array, "n p"], y: Float[Array, " n"], *, prior: Prior) -> tuple[State, model.Info]:
    """Return the posterior, and in Info its evidence. O((n + p) p²).

    Args:
        X: One row per observation; an intercept is a column of ones.
        y: What was seen.
        prior: Traced: sweep it with ``vmap``.

    Returns:
        The posterior, and Info: CONVERGED; BAD_INPUT, with NaN, where the prior's shape or rate is
        not positive or something given is not finite.

    Raises:
        ValueError: shapes disagree.

    Example:
        >>> X, y = jnp.ones((3, 1)), jnp.array([1.0, 2.0, 3.0])
        >>> one = jnp.ones(())
        >>> state, _ = fit(X, y, prior=Prior(jnp.zeros(1), 100 * jnp.eye(1), one, one))
        >>> state.mean.round(3), state.shape, state.rate.round(3)
        (Array([2.], dtype=float32), Array(2.5, dtype=float32), Array(2., dtype=float32))
    """
    is_good = priors.is_usable(prior, X, y, family="normal")
    y = jnp.where(is_good, y, jnp.nan)
    with jax.default_matmul_precision("highest"):
        R, z, least = model.whiten(X @ prior.root, y - X @ prior.mean)
        mean = prior.mean + prior.root @ z
        factor = solve_triangular(R, prior.root.T, trans="T").T
    shape, rate = prior.shape + len(y) / 2, prior.rate + least / 2
    log_evidence = gammaln(shape) - gammaln(prior.shape)
    log_evidence += prior.shape * jnp.log(prior.rate) - shape * jnp.log(rate)
    log_evidence -= jnp.log(jnp.abs(jnp.diagonal(R))).sum() + len(y) / 2 * math.log(2 * math.pi)
    status = jnp.where(is_good, Status.CONVERGED, Status.BAD_INPUT).astype(jnp.int32)
    return State(mean, factor, shape, rate), model.Info(status, log_evidence=log_evidence)


@jax.jit
@checked
def moments(state: State) -> Moments:
    """Return means and standard deviations of every weight and of the noise. O(p²).

    Args:
        state: As ``fit`` returned it.

    Example:
        >>> found = moments(State(jnp.ones(1), jnp.eye(1), jnp.array(3.0), jnp.array(4.0)))
        >>> found.weights_sd.round(3), f"{found.noise:.3f}"
        (Array([1.414], dtype=float32), '1.329')
    """
    a, b = state.shape, state.rate
    inside = jnp.where(a > 1, a, 2)
    variance = jnp.where(a > 1, b / (inside - 1), jnp.inf)
    gap = _log_spread(inside)
    few = jnp.where(a > 0.5, jnp.minimum(a, 1), 1)
    few_mean = jnp.sqrt(b) * jnp.exp(gammaln(few - 0.5) - gammaln(few))
    noise = jnp.where(a > 1, jnp.sqrt(variance) * jnp.exp(-gap / 2), few_mean)
    noise = jnp.where(a > 0.5, noise, jnp.inf)
    noise_sd = jnp.sqrt(-variance * jnp.expm1(-gap))
    lengths = jnp.sqrt((state.factor**2).sum(axis=1))
    return Moments(state.mean, jnp.sqrt(variance) * lengths, noise, noise_sd)


def _log_spread(a: Array) -> Array:
    """Return log (E σ² / (E σ)²) = log Γ(a) Γ(a − 1) / Γ(a − 1/2)²: small where a is large.

    Γ's recurrence adds a term for each of eight steps; beyond, Stirling's series for the three.
    """
    steps = jnp.arange(8).astype(a.dtype)
    near = -jnp.log1p(-1 / (4 * (a + steps - 0.5) ** 2)).sum()
    v = a + 7
    series = (1 / 4, -1 / 96, 1 / 320, -17 / 7168, 31 / 9216)
    return near + sum(c / v ** (2 * k + 1) for k, c in enumerate(series))


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n p"]) -> dict[str, Array]:
    """Return what the next y of each row follows: ``family="student_t"``. O(n p²).

    Args:
        state: As ``fit`` returned it.
        X: New rows.

    Returns:
        ``df``, ``loc`` and ``scale`` of each row, for ``vmap`` over ``probability.distributions``.

    Example:
        >>> state = State(jnp.ones(1), jnp.eye(1), jnp.array(3.0), jnp.array(3.0))
        >>> predict(state, jnp.array([[2.0]]))["scale"].round(3)
        Array([2.236], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        reach = ((X @ state.factor) ** 2).sum(axis=1)
        loc = X @ state.mean
    scale = jnp.sqrt(state.rate / state.shape * (1 + reach))
    return {"df": jnp.full_like(loc, 2 * state.shape), "loc": loc, "scale": scale}


@partial(jax.jit, static_argnames=("num_draws", "num_chains"))
@checked
def sample(
    key: Key[Array, ""], state: State, *, num_draws: int = 1000, num_chains: int = 4
) -> Draws:
    """Draw independently from the posterior. O(p²) a draw.

    Args:
        key: Consumed.
        state: As ``fit`` returned it.
        num_draws: Of each chain, at least 1. Static.
        num_chains: Only a shape: no draw knows of another. Static.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> state = State(jnp.ones(2), jnp.eye(2), jnp.array(3.0), jnp.array(4.0))
        >>> sample(jax.random.key(0), state, num_draws=10).weights.shape
        (4, 10, 2)
    """
    model.refuse_counts("closed_form.sample", num_draws=num_draws, num_chains=num_chains)
    weight_key, noise_key = jax.random.split(key)
    shape, dtype = (num_chains, num_draws), state.mean.dtype
    noise = jnp.sqrt(state.rate / jax.random.gamma(noise_key, state.shape, shape, dtype))
    unit = jax.random.normal(weight_key, (*shape, len(state.mean)), dtype)
    with jax.default_matmul_precision("highest"):
        away = unit @ state.factor.T
    return Draws(state.mean[None, None, :] + noise[..., None] * away, noise)


@partial(jax.jit, static_argnames=("family", "num_draws", "num_chains"))
@checked
def engine(
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    num_draws: int = 1000,
    num_chains: int = 4,
) -> tuple[Draws, model.Info]:
    """Fit and draw, with the signature of every engine. O((n + p) p²), and O(p²) a draw.

    Args:
        key: Consumed.
        X: As ``fit``.
        y: As ``fit``.
        prior: As ``fit``.
        family: Only normal has a closed form. Static.
        num_draws: As ``sample``. Static.
        num_chains: As ``sample``. Static.

    Returns:
        Independent draws, and Info as of ``fit``.

    Raises:
        ValueError: the family is not normal, a number is below 1, or shapes disagree.

    Example:
        >>> X, y = jnp.ones((3, 1)), jnp.array([1.0, 2.0, 3.0])
        >>> draws, _ = engine(jax.random.key(0), X, y, prior=priors.weakly_informative(X, y))
        >>> draws.weights.shape, draws.noise.shape
        ((4, 1000, 1), (4, 1000))
    """
    if family != "normal":
        raise ValueError(
            f"closed_form.engine: family is {family!r}, not normal, the one with a closed form"
        )
    state, info = fit(X, y, prior=prior)
    return sample(key, state, num_draws=num_draws, num_chains=num_chains), info
