"""The posterior of a regression as a density of free coordinates, written twice: here, in NumPyro.

    w = m + σ̂ L z,   z = o + C u,   σ = σ̂ eᵗ;        log p(y, u, t),  normalized over y, u and t

Chains and guides see (u, t), which have no unit and lie near 0 within a few of 1; σ̂ is a first
estimate of σ (1 if there is no noise). With A = X L, two choices of C:

    columns    C = diag(1 / √(1 + κ |A_j|²)), o = 0    each weight in the unit of its own column
    rotated    C = R⁻¹,  RᵀR = I + κ AᵀA               nearly independent, however collinear X is

κ = 1 if normal, when o is the ridge solution, and 1/4 if bernoulli, the most that a row can tell.
R comes from QR of the rows of √κ A above those of I, so that no square is formed.

Source: Stan Development Team (2024), *Stan User's Guide*, section 1.2 (the QR reparameterization);
Gelman et al. (2013), *Bayesian Data Analysis*, sections 14.2 and 16.2; Böhning & Lindsay (1988),
*Annals of the Institute of Statistical Mathematics* 40, 641 (the bound of 1/4).
"""

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int
from numpyro import distributions as dist

from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import health
from mastery_jax.inference.regression import prior as priors
from mastery_jax.inference.regression.prior import Family, Prior

__all__ = [
    "Coordinates",
    "Draws",
    "Info",
    "Target",
    "draws",
    "ended",
    "log_density",
    "origin",
    "pose",
    "program",
    "refuse_counts",
    "whiten",
]

Coordinates = Literal["rotated", "columns"]


class Draws(NamedTuple):
    """What every engine gives, in the units of the data."""

    weights: Float[Array, "chain draw p"]  # unit of y (of log odds) per unit of the column
    noise: Float[Array, "chain draw"] | None  # σ, unit of y; None if there is none


class Info(NamedTuple):
    """How an engine fared; None where an engine has no such thing."""

    status: Int[Array, ""]  # core.status.Status
    verdict: health.Verdict | None = None  # of chains; draws of the others are independent
    pareto_shape: Float[Array, ""] | None = None  # k̂ of a guide: below 0.7 it may be trusted
    log_evidence: Float[Array, ""] | None = None  # log p(y), nats; an estimate unless exact


class Target(NamedTuple):
    """Rows and prior in free coordinates, in units of σ̂."""

    y: Float[Array, " n"]  # less what the origin predicts if normal; else as it came
    offset: Float[Array, " n"]  # log odds at the origin; 0 if normal
    design: Float[Array, "n p"]  # A C
    center: Float[Array, " p"]  # o
    spread: Float[Array, "p p"]  # C
    log_volume: Float[Array, ""]  # log |C|
    noise: Float[Array, ""]  # σ̂, unit of y
    prior: Prior
    is_bad: Bool[Array, ""]  # prior or y is not of the family, or something is not finite


@partial(jax.jit, static_argnames=("family", "coordinates"))
@checked
def pose(
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    coordinates: Coordinates = "rotated",
) -> Target:
    """Bring rows and prior into free coordinates. O((n + p) p²).

    Args:
        X: One row per observation, in any units; more columns than rows, or collinear ones, do
            no harm. An intercept is a column of ones.
        y: What was seen; 0 and 1 if bernoulli.
        prior: As ``prior.weakly_informative`` returns.
        family: Static.
        coordinates: Static.

    Returns:
        The target; its numbers are NaN where ``is_bad``.

    Raises:
        ValueError: shapes disagree, or an option is unknown.

    Example:
        >>> X = jnp.stack([jnp.ones(50), 1e6 * jnp.linspace(1.0, 2.0, 50)], axis=1)
        >>> y = 3 + jnp.cos(jnp.arange(50.0))
        >>> target = pose(X, y, prior=priors.weakly_informative(X, y))
        >>> bool(jnp.allclose(target.design.T @ target.design, jnp.eye(2), atol=0.01))
        True
    """
    priors.refuse_family("model.pose", family)
    if coordinates not in ("rotated", "columns"):
        raise ValueError(f"model.pose: coordinates is {coordinates!r}, not rotated or columns")
    is_bad = ~priors.is_usable(prior, X, y, family=family)
    y = jnp.where(is_bad, jnp.nan, y)
    with jax.default_matmul_precision("highest"):
        A, offset = X @ prior.root, X @ prior.mean
        worth = 1.0 if family == "normal" else 0.25
        center, noise = jnp.zeros_like(prior.mean), jnp.ones_like(prior.shape)
        R, ridge, rest = whiten(math.sqrt(worth) * A, y - offset)
        if family == "normal":
            freedom = prior.shape + len(y) / 2
            noise = jnp.sqrt((prior.rate + rest / 2) / freedom)
        if coordinates == "rotated":
            spread = solve_triangular(R, jnp.eye(len(R), dtype=R.dtype))
            center = ridge / noise if family == "normal" else center
        else:
            spread = jnp.diag(1 / jnp.sqrt(1 + worth * (A * A).sum(axis=0)))
        if family == "normal":
            y, offset = (y - offset) / noise - A @ center, jnp.zeros_like(offset)
        log_volume = jnp.log(jnp.abs(jnp.diagonal(spread))).sum()
        design = A @ spread
    return Target(y, offset, design, center, spread, log_volume, noise, prior, is_bad)


def whiten(A: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return R of RᵀR = I + AᵀA, argmin |y − A z|² + |z|², and that least. O((n + p) p²).

    Example:
        >>> R, z, least = whiten(jnp.array([[1.0]]), jnp.array([2.0]))
        >>> (R[0, 0] ** 2).round(3), z.round(3), least.round(3)
        (Array(2., dtype=float32), Array([1.], dtype=float32), Array(2., dtype=float32))
    """
    n, p = A.shape
    with jax.default_matmul_precision("highest"):
        Q, R = jnp.linalg.qr(jnp.concatenate([A, jnp.eye(p, dtype=A.dtype)]))
        z = solve_triangular(R, Q[:n].T @ y)
        least = ((y - A @ z) ** 2).sum() + (z * z).sum()
    return R, z, least


def origin(target: Target, *, family: Family) -> dict[str, Array]:
    """Return the position of all zeros: u, and t where there is noise. O(p).

    Example:
        >>> X, y = jnp.ones((3, 1)), jnp.array([0.0, 1.0, 1.0])
        >>> belief = priors.weakly_informative(X, y, family="bernoulli")
        >>> origin(pose(X, y, prior=belief, family="bernoulli"), family="bernoulli")
        {'u': Array([0.], dtype=float32)}
    """
    position = {"u": jnp.zeros_like(target.center)}
    return {"t": jnp.zeros_like(target.noise), **position} if family == "normal" else position


def log_density(target: Target, *, family: Family) -> Partial:
    """Return ``position -> log p(y, u, t)`` in nats, normalized. O(n p) a call.

    Example:
        >>> X, y = jnp.ones((2, 1)), jnp.array([0.0, 1.0])
        >>> belief = priors.weakly_informative(X, y, family="bernoulli")
        >>> target = pose(X, y, prior=belief, family="bernoulli")
        >>> f = log_density(target, family="bernoulli")
        >>> f"{f(origin(target, family='bernoulli')):.3f}"
        '-3.014'
    """
    return Partial({"normal": _normal, "bernoulli": _bernoulli}[family], target)


def program(target: Target, *, family: Family) -> Partial:
    """Return the same as a NumPyro model of u and, where there is noise, (σ/σ̂)² = e²ᵗ. O(1).

    Its log density of (u, 2t) is that of (u, t) less log 2.

    Example:
        >>> X, y = jnp.ones((2, 1)), jnp.array([0.0, 1.0])
        >>> belief = priors.weakly_informative(X, y, family="bernoulli")
        >>> model = program(pose(X, y, prior=belief, family="bernoulli"), family="bernoulli")
        >>> known = numpyro.handlers.substitute(model, {"u": jnp.zeros(1)})
        >>> sorted(numpyro.handlers.trace(known).get_trace())
        ['u', 'units', 'y', 'z']
    """
    chosen = {"normal": _normal_program, "bernoulli": _bernoulli_program}[family]
    return Partial(chosen, target)


def draws(target: Target, u: Array, t: Array | None) -> Draws:
    """Return draws in the units of the data, from positions (chain, draw, ...). O(p²) each.

    Example:
        >>> X, y = jnp.ones((3, 1)), jnp.array([1.0, 2.0, 3.0])
        >>> target = pose(X, y, prior=priors.weakly_informative(X, y))
        >>> draws(target, jnp.zeros((1, 2, 1)), jnp.zeros((1, 2))).weights
        Array([[[2.],
                [2.]]], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        z = target.center[None, None, :] + u @ target.spread.T
        weights = target.prior.mean[None, None, :] + target.noise * (z @ target.prior.root.T)
    return Draws(weights, None if t is None else target.noise * jnp.exp(t))


def ended(target: Target, status: Array) -> Array:
    """Return a status, BAD_INPUT where the target is bad. O(1).

    Example:
        >>> X, y = jnp.ones((2, 1)), jnp.array([0.0, 2.0])
        >>> belief = priors.weakly_informative(X, y, family="bernoulli")
        >>> int(ended(pose(X, y, prior=belief, family="bernoulli"), jnp.int32(1)))
        9
    """
    return jnp.where(target.is_bad, Status.BAD_INPUT, status).astype(jnp.int32)


def refuse_counts(where: str, *, least: int = 1, **counts: int) -> None:
    """Raise where a number that sizes the draws is below the least. O(1).

    Raises:
        ValueError: naming the count.

    Example:
        >>> refuse_counts("here", num_draws=3)
    """
    for name, value in counts.items():
        if value < least:
            raise ValueError(f"{where}: {name} is {value}, not at least {least}")


def _normal(target: Target, position: dict[str, Array]) -> Array:
    u, t, (_, _, a, b) = position["u"], position["t"], target.prior
    n, p = target.design.shape
    with jax.default_matmul_precision("highest"):
        z, residual = target.center + target.spread @ u, target.y - target.design @ u
    rate = b / target.noise**2
    square = (residual**2).sum() + (z * z).sum() + 2 * rate
    known = a * jnp.log(rate) - gammaln(a) + math.log(2) - n * jnp.log(target.noise)
    known = known - (n + p) / 2 * math.log(2 * math.pi) + target.log_volume
    return known - (n + p + 2 * a) * t - square * jnp.exp(-2 * t) / 2


def _bernoulli(target: Target, position: dict[str, Array]) -> Array:
    with jax.default_matmul_precision("highest"):
        z = target.center + target.spread @ position["u"]
        logits = target.offset + target.design @ position["u"]
    told = (target.y * logits - jax.nn.softplus(logits)).sum()
    known = target.log_volume - len(z) / 2 * math.log(2 * math.pi)
    return told - (z * z).sum() / 2 + known


def _latent(target: Target) -> tuple[Array, Array]:
    """Sample u, and return z and the prediction that belong to it."""
    u = numpyro.sample("u", dist.ImproperUniform(dist.constraints.real, (), target.center.shape))
    # u has a density for z, and y one in its own unit: the evidence is then that of the data.
    numpyro.factor("units", target.log_volume - len(target.y) * jnp.log(target.noise))
    with jax.default_matmul_precision("highest"):
        return target.center + target.spread @ u, target.design @ u


def _normal_program(target: Target) -> None:
    # A guide of NumPyro orders its numbers as they are sampled, compiled by name: both agree here.
    z, mean = _latent(target)
    rate = target.prior.rate / target.noise**2
    sd = jnp.sqrt(numpyro.sample("variance", dist.InverseGamma(target.prior.shape, rate)))
    numpyro.sample("z", dist.Normal(0.0, sd).expand(z.shape).to_event(1), obs=z)
    numpyro.sample("y", dist.Normal(mean, sd).to_event(1), obs=target.y)


def _bernoulli_program(target: Target) -> None:
    z, away = _latent(target)
    numpyro.sample("z", dist.Normal(0.0, 1.0).expand(z.shape).to_event(1), obs=z)
    logits = target.offset + away
    numpyro.sample("y", dist.Bernoulli(logits=logits).to_event(1), obs=target.y)
