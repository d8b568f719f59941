"""Generalized linear models with a ridge penalty, by Newton's method on reweighted least squares.

    maximize  Σ_i w_i ℓ(η_i; y_i) / Σ_i w_i  −  penalty/2 Σ_j (s_j β_j)²,      η = b + X β

    normal    ℓ = −(y − η)² / 2φ − log(2πφ)/2                  E y = η
    logit     ℓ = y η − log(1 + e^η)                           E y = 1 / (1 + e^−η)
    probit    ℓ = y log Φ(η) + (1 − y) log Φ(−η)               E y = Φ(η)
    poisson   ℓ = y η − e^η − log y!                           E y = e^η

s_j is the weighted standard deviation of column j; b is not penalized. The search runs in other
coordinates, u = (b + β·x̄, L⁻¹β), in which the columns are centered, of size 1 and uncorrelated,
so that raw powers and products of columns do no harm in single precision. With J = Σ w (−ℓ'') a aᵀ
plus the penalty's part,

    cov = φ J⁻¹        robust_cov = J⁻¹ (Σ_i w_i² ℓ'_i² a_i a_iᵀ) J⁻¹

Source: McCullagh & Nelder (1989), *Generalized Linear Models*, section 2.5; White (1982),
*Econometrica* 50(1), theorem 3.2 (robust covariance); Albert & Anderson (1984), *Biometrika* 71(1)
(separation).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, log_ndtr, ndtr, ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.activations import sigmoid
from mastery_jax.probability import reweighting

__all__ = ["Family", "Info", "State", "fit", "log_prob", "predict"]

Family = Literal["normal", "logit", "probit", "poisson"]


class State(NamedTuple):
    """A fitted model."""

    coefs: Float[Array, " d"]  # β, unit of η per unit of the column
    bias: Float[Array, ""]  # b, unit of η
    dispersion: Float[Array, ""]  # φ: variance about the mean if normal, in squared y; else 1


class Info(NamedTuple):
    """How the fit ended, and how sure it is. Covariances are of (b, β_1 … β_d)."""

    log_likelihood: Float[Array, ""]  # Σ w ℓ, nats
    cov: Float[Array, "p p"]  # right if the model is; weights are counts
    robust_cov: Float[Array, "p p"]  # the sandwich; weights are of sampling
    is_separated: Bool[Array, ""]  # some direction fits ever better: there is no finite maximum
    num_steps: Int[Array, ""]
    status: Int[Array, ""]  # core.status.Status


@partial(jax.jit, static_argnames=("family", "max_steps"))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    family: Family,
    weights: Float[Array, " n"] | None = None,
    penalty: Scalar = 0.0,
    atol: Scalar = 1e-12,
    max_steps: int = 50,
) -> tuple[State, Info]:
    """Maximize by some 7 Newton steps. O(n d² + d³) a step.

    Differentiable in both modes with respect to the data, the weights and ``penalty``, by the
    implicit function theorem.

    Args:
        X: One row per sample, raw; it needs no column of ones.
        y: Any number if normal; in [0, 1] for logit and probit; ≥ 0 for poisson.
        family: Distribution and link. Static.
        weights: ≥ 0, one where None. A row of weight 0 has no say in the model, and its y is not
            read; its X must be finite.
        penalty: ≥ 0, per row, in nats per squared standard deviation (if normal, in squared
            standard deviations of y). Traced: sweep it with ``vmap``.
        atol: Stop one step after half the squared Newton decrement is this small, nats per row.
        max_steps: Newton steps at most. Static.

    Returns:
        The model, and Info: CONVERGED; DIVERGED where the classes are separated, when the means
        are on their way to 0 or 1 and the coefficients to infinity; SINGULAR where columns are
        constant or collinear among the rows with weight and ``penalty`` is 0, when the means are
        right and coefficients and covariances are not determined; BAD_INPUT, with NaN, for
        weights that are negative or all 0, or y outside its range; OUT_OF_STEPS; NOT_FINITE.

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of rows, or there is none.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([1.0, 3.0, 4.0, 12.0])
        >>> state, info = fit(X, y, family="poisson")
        >>> state.coefs.round(3), predict(state, X, family="poisson").sum().round(3)
        (Array([0.795], dtype=float32), Array(20., dtype=float32))
    """
    if not len(X):
        raise ValueError("glm.fit: X has no rows")
    weights = jnp.ones_like(y) if weights is None else weights
    total, is_seen = weights.sum(), weights > 0
    is_bad = (weights < 0).any() | ~(total > 0) | (is_seen & _is_outside(family, y)).any()
    share = weights / jnp.where(total > 0, total, 1)
    y = jnp.where(is_bad, jnp.nan, jnp.where(is_seen, y, 0))
    with jax.default_matmul_precision("highest"):
        center, unit = _center_and_unit(family, y, share)
        coordinates = reweighting.coordinates(X)
        problem = reweighting.pose(X, (y - center) / unit, share, coordinates, penalty=penalty)
        terms = partial(_terms, family)
        start = _start(family, problem)
        u, excess, num_steps = reweighting.search(
            terms, problem, start, atol=atol, max_steps=max_steps
        )
        change = reweighting.change(coordinates) * unit
        flat = (change @ u).at[0].add(center)
        dispersion = jnp.ones_like(total)
        if family == "normal":
            freedom = total - len(u)
            residual = (weights * (y - flat[0] - X @ flat[1:]) ** 2).sum()
            dispersion = jnp.where(freedom > 0, residual / freedom, jnp.nan)
        state = State(coefs=flat[1:], bias=flat[0], dispersion=dispersion)
        cov, robust_cov, reach, is_singular = reweighting.curvature(
            terms, problem, u, change, weights
        )
        log_likelihood = (weights * log_prob(state, X, y, family=family)).sum()
    verdict = (excess, reach, is_singular, jnp.isfinite(flat).all())
    is_separated, status = _end(verdict, atol, is_bad)
    cov = cov * dispersion / unit**2
    return state, Info(log_likelihood, cov, robust_cov, is_separated, num_steps, status)


@partial(jax.jit, static_argnames=("family",))
@checked
def predict(state: State, X: Float[Array, "n d"], *, family: Family) -> Float[Array, " n"]:
    """Return the mean of y for every row: a probability for logit and probit. O(n d)."""
    with jax.default_matmul_precision("highest"):
        eta = X @ state.coefs + state.bias
    return {"normal": lambda x: x, "logit": sigmoid, "probit": ndtr, "poisson": jnp.exp}[family](
        eta
    )


@partial(jax.jit, static_argnames=("family",))
@checked
def log_prob(
    state: State, X: Float[Array, "n d"], y: Float[Array, " n"], *, family: Family
) -> Float[Array, " n"]:
    """Return the log density or log probability of every y, in nats. O(n d)."""
    with jax.default_matmul_precision("highest"):
        eta = X @ state.coefs + state.bias
    if family == "normal":
        return norm.logpdf(y, eta, jnp.sqrt(state.dispersion))
    if family == "logit":
        return y * eta - jax.nn.softplus(eta)
    if family == "poisson":
        return y * eta - jnp.exp(eta) - gammaln(y + 1)
    return y * log_ndtr(eta) + (1 - y) * log_ndtr(-eta)


def _is_outside(family: Family, y: Array) -> Array:
    if family == "normal":
        return jnp.zeros_like(y, bool)
    return (y < 0) | (y > 1) if family != "poisson" else y < 0


def _center_and_unit(family: Family, y: Array, share: Array) -> tuple[Array, Array]:
    """Return what a normal y is reduced by, so that every tolerance is free of its unit."""
    one = jnp.ones((), y.dtype)
    if family != "normal":
        return 0 * one, one
    center = (share * y).sum()
    variance = (share * (y - center) ** 2).sum()
    return jax.lax.stop_gradient((center, jnp.sqrt(jnp.where(variance > 0, variance, 1))))


def _start(family: Family, problem: reweighting.Problem) -> Array:
    """Return the model that has the mean of y everywhere, which is kept off 0 and 1."""
    mean = (problem.weights * problem.y).sum()
    low = jnp.clip(mean, 1e-3, 1 - 1e-3)
    bias = {
        "normal": mean,
        "logit": jnp.log(low) - jnp.log1p(-low),
        "probit": ndtri(low),
        "poisson": jnp.log(jnp.maximum(mean, 1e-3)),
    }[family]
    return jnp.zeros_like(problem.A[0]).at[0].set(bias)


def _terms(family: Family, eta: Array, y: Array) -> tuple[Array, Array]:
    """Return the slope of ℓ in η, and −1 times its curvature."""
    if family == "normal":
        return y - eta, jnp.ones_like(eta)
    if family == "logit":
        mean = sigmoid(eta)
        return y - mean, mean * (1 - mean)
    if family == "poisson":
        mean = jnp.exp(eta)
        return y - mean, mean
    above, below = (jnp.exp(norm.logpdf(eta) - log_ndtr(x)) for x in (eta, -eta))
    curvature = y * above * (above + eta) + (1 - y) * below * (below - eta)
    return y * above - (1 - y) * below, jnp.maximum(curvature, 0)


def _end(verdict: tuple[Array, ...], atol: Scalar, is_bad: Array) -> tuple[Array, Array]:
    """Return whether the classes are separated, and the status."""
    excess, reach, is_singular, is_finite = verdict
    is_done = excess <= jnp.asarray(atol, excess.dtype)
    # Near a maximum one more step is tiny; on the way to infinity every step is about 1 / η.
    is_separated = is_done & (reach > 0.05)
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_singular, Status.SINGULAR, status)
    status = jnp.where(is_separated, Status.DIVERGED, status)
    status = jnp.where(is_finite, status, Status.NOT_FINITE)
    return is_separated, jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
