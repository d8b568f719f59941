"""The marginal likelihood of a Gaussian process, and the hyperparameters that maximize it.

    log p(y | X) = −rᵀ K⁻¹ r / 2 − Σ_i log L_ii − n/2 log 2π,        r = y − m,   K = L Lᵀ
    ∂/∂θ         = tr((α αᵀ − K⁻¹) ∂K/∂θ) / 2,                       α = K⁻¹ r

The derivative is this closed form, and not one of the Cholesky factorization: K⁻¹ is made once,
by blocks, and one pull-back through the kernel gives every hyperparameter's slope.

A search begins at the likelier of a few points that are drawn, each with its variances multiplied
by the factor that makes the values most probable, rᵀ K⁻¹ r / n: most of what a search from a point
as drawn does is to find that factor.

Source: Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, eq. 5.8 and 5.9;
Jones, Schonlau & Welch (1998), J. Glob. Optim. 13, eq. 3-5 (the factor); Rinnooy Kan & Timmer
(1987), Math. Program. 39, section 2 (searches from the best of what is drawn).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import lbfgs, objective, report
from mastery_jax.probability.gaussian_process import hyperparameters, kernels

__all__ = ["Info", "log_prob", "maximize"]

BLOCK = 50  # rows of a triangle that LAPACK inverts faster than two halves and two products
MEMORY = 5  # pairs of L-BFGS: with 10, compiling takes twice as long
GTOL = 1e-5  # nats per unit of a logarithm


class Info(NamedTuple):
    """How the searches ended."""

    log_prob: Float[Array, ""]  # of y, at the answer, nats
    best: Int[Array, ""]  # index of the search that led there
    search: report.Info  # of each start; value is −log p(y), less the prior if there is one
    last: report.Info  # of the best search, gone on with
    is_at_bound: kernels.Kernel  # hyperparameters within 0.1 % of a bound that ends the search
    status: Int[Array, ""]  # core.status.Status of ``last``
    is_done: Bool[Array, ""]  # status is CONVERGED


class _Leader(NamedTuple):
    """The best that was found so far."""

    logs: Float[Array, " hyperparameters"]
    value: Float[Array, ""]
    row: Int[Array, ""]


@jax.jit
@checked
def log_prob(
    kernel: kernels.Kernel,
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    noise: Scalar | Float[Array, " n"] = 0.0,
    mean: Scalar = 0.0,
    is_observed: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """Return the log density of the observations, in nats. O(n³/3), and 2 n³ with a derivative.

    Args:
        kernel: Covariance, with its hyperparameters; White noise is that of ``y``.
        X: One row per observation.
        y: What was seen there.
        noise: More variance of each observation, or of all, ≥ 0, squared unit of y.
        mean: The constant that the function is drawn around.
        is_observed: False for rows that only fill up the arrays; they do not count.

    Returns:
        log p(y | X); NaN where the covariance is not positive definite in this precision, or a
        noise is negative.

    Raises:
        ValueError: shapes disagree, or ``kernel`` is none.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0]]), jnp.array([0.5, -0.5])
        >>> log_prob(kernels.RBF(lengthscale=1.0), X, y, noise=0.1).round(4)
        Array(-2.2586, dtype=float32)
    """
    covariance, residual, count = _normal(kernel, X, y, noise, mean, is_observed)
    return _log_density(covariance, residual) - count / 2 * math.log(2 * math.pi)


@partial(jax.jit, static_argnames=("num_starts", "num_draws", "max_steps"))
@checked
def maximize(
    key: Key[Array, ""],
    kernel: kernels.Kernel,
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    lower: kernels.Kernel | Scalar = 1e-5,
    upper: kernels.Kernel | Scalar = 1e5,
    noise: Scalar | Float[Array, " n"] = 0.0,
    mean: Scalar = 0.0,
    is_observed: Bool[Array, " n"] | None = None,
    log_prior: Partial | None = None,
    ftol: Scalar = 1e-9,
    screen_ftol: Scalar = 1e-3,
    num_starts: int = 32,
    num_draws: int = 2,
    max_steps: int = 200,
) -> tuple[kernels.Kernel, Info]:
    """Find the likeliest hyperparameters, by L-BFGS on their logarithms. O(n³) an evaluation.

    Every search stops early, where its mode is told apart from others; the best one goes on to
    the end. Searches run one after another, each for as long as it takes.

    Args:
        key: Consumed: starts but the first are drawn evenly between the logarithms of the bounds.
        kernel: The first start. Every number in it is taken for a positive hyperparameter, those
            in a ``Partial`` too: what is none belongs into its function.
        X: One row per observation.
        y: What was seen there.
        lower: Bounds > 0, one for all hyperparameters, or a kernel of the same form whose
            hyperparameters are the bounds; equal bounds hold one fixed.
        upper: Likewise.
        noise: More variance of each observation, or of all, ≥ 0; it is not learned.
        mean: The constant that the function is drawn around; it is not learned.
        is_observed: False for rows that only fill up the arrays.
        log_prior: ``Partial(f, *data)``: f(*data, kernel) is added to the log likelihood: maximum
            a posteriori, for a density of the logarithms of the hyperparameters.
        ftol: The best search ends when a step gains no more than this part of max(|f|, 1).
        screen_ftol: The same for all searches before. Equal to ``ftol``: each is finished.
        num_starts: Searches. Static.
        num_draws: Points that are drawn for each search but the first; each has its variances
            brought to the scale of y, and the likeliest is the start. Static.
        max_steps: Steps of one search at most. Static.

    Returns:
        The best kernel, and Info. A search from hyperparameters whose covariance is not positive
        definite is NOT_FINITE, and leaves the others alone; if all are, the kernel given comes
        back. So it does with BAD_INPUT: a bound, a noise or a hyperparameter that is not positive
        (a noise may be 0), or bounds that cross.

    Raises:
        ValueError: ``num_starts`` or ``num_draws`` < 1, shapes disagree, ``kernel`` is none or
            holds integers, or ``lower`` or ``upper`` are of another form.
    """
    where = "marginal_likelihood.maximize"
    objective.require_at_least(where, 1, num_starts=num_starts, num_draws=num_draws)
    space = hyperparameters.make(where, kernel, lower, upper, X.dtype)
    is_valid = space.is_valid & ~_has_negative(noise, is_observed)
    data = (X, y, noise, mean, is_observed)
    fn = Partial(_loss, log_prior, kernel, space, *data)
    starts = _starts(key, fn, num_starts - 1, num_draws)
    starts = jnp.concatenate([space.first[None, :], starts, space.first[None, :]])
    tolerances = jnp.full(num_starts + 1, screen_ftol, X.dtype).at[-1].set(ftol)
    bounds = {"lower": space.lower, "upper": jnp.where(is_valid, space.upper, space.lower - 1)}
    minimize = partial(lbfgs.minimize, fn, gtol=GTOL, max_steps=max_steps, memory=MEMORY, **bounds)
    rows = jnp.arange(num_starts + 1, dtype=jnp.int32)
    leader = _Leader(space.first, jnp.full_like(space.first[0], jnp.inf), rows[0])
    slots = (rows, starts, tolerances, rows == num_starts)
    leader, search = loop.scan(_search, leader, slots, minimize=minimize)
    found = hyperparameters.insert(kernel, space, leader.logs)
    found = jax.tree.map(
        lambda new, old: jnp.where(is_valid, new, jnp.asarray(old, X.dtype)), found, kernel
    )
    last, each = (jax.tree.map(lambda leaf, s=s: leaf[s], search) for s in (-1, slice(-1)))
    return found, Info(
        log_prob=log_prob(found, X, y, noise=noise, mean=mean, is_observed=is_observed),
        best=leader.row,
        search=each,
        last=last,
        is_at_bound=hyperparameters.ends(kernel, space, leader.logs),
        status=last.status,
        is_done=last.is_done,
    )


def _search(
    leader: _Leader, slot: tuple[Array, ...], *, minimize: Callable[..., Any]
) -> tuple[_Leader, report.Info]:
    """Search from a start, or at last from the leader to the end: one program for both."""
    row, start, ftol, is_last = slot
    logs, info = minimize(jnp.where(is_last, leader.logs, start), ftol=ftol)
    is_better = info.value < leader.value  # false for NaN
    return _Leader(
        logs=jnp.where(is_better | is_last, logs, leader.logs),
        value=jnp.where(is_better, info.value, leader.value),
        row=jnp.where(is_better & ~is_last, row, leader.row),
    ), info


def _loss(log_prior: Partial | None, kernel: kernels.Kernel, space: Any, *rest: Any) -> Array:
    *data, logs = rest
    kernel = hyperparameters.insert(kernel, space, logs)
    covariance, residual, count = _normal(kernel, *data)
    value = count / 2 * math.log(2 * math.pi) - _log_density(covariance, residual)
    return value if log_prior is None else value - log_prior(kernel)


def _starts(key: Array, fn: Partial, num_starts: int, num_draws: int) -> Array:
    """Return where to search from: of every few points the likeliest, at its likeliest scale."""
    log_prior, kernel, space, *data = fn.args
    direction = hyperparameters.scaling(kernel, space.first.dtype)
    along = direction > 0

    def scaled(logs: Array) -> tuple[Array, Array]:
        covariance, residual, count = _normal(hyperparameters.insert(kernel, space, logs), *data)
        square, log_det = _terms(jnp.linalg.cholesky(covariance), residual)
        least = jnp.where(along, space.lower - logs, -jnp.inf).max()
        most = jnp.where(along, space.upper - logs, jnp.inf).min()
        shift = jnp.where(along.any(), jnp.clip(jnp.log(square / count), least, most), 0)
        shift = jnp.where(jnp.isfinite(shift), shift, 0)
        value = (square * jnp.exp(-shift) + count * shift) / 2 + log_det
        logs = logs + shift * direction
        prior = log_prior(hyperparameters.insert(kernel, space, logs)) if log_prior else 0
        return logs, value - prior

    def likeliest(points: Array) -> Array:
        points, values = jax.lax.map(scaled, points)
        return points[jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))]

    low, width = (a[None, None, :] for a in (space.lower, space.upper - space.lower))
    unit = jax.random.uniform(key, (num_starts, num_draws, len(direction)), direction.dtype)
    return jax.lax.map(likeliest, low + width * unit)


def _normal(
    kernel: kernels.Kernel, X: Array, y: Array, noise: Any, mean: Any, is_observed: Array | None
) -> tuple[Array, Array, Array]:
    """Return the covariance of the observations, their residuals, and how many they are."""
    seen = jnp.ones(len(X), bool) if is_observed is None else is_observed
    covariance = kernels.gram(kernel, X, noise=noise, is_observed=is_observed)
    residual = jnp.where(seen, jnp.where(seen, y, 0) - jnp.asarray(mean, X.dtype), 0)
    return covariance, residual, jnp.sum(seen, dtype=X.dtype)


def _has_negative(noise: Any, is_observed: Array | None) -> Array:
    is_negative = ~(jnp.asarray(noise) >= 0)  # true for NaN
    return (is_negative if is_observed is None else is_negative & is_observed).any()


@jax.custom_jvp
def _log_density(covariance: Array, residual: Array) -> Array:
    """Return the log of a normal density but for its constant."""
    return _of_factor(jnp.linalg.cholesky(covariance), residual)


@_log_density.defjvp
def _log_density_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> Any:
    (covariance, residual), (d_covariance, d_residual) = primals, tangents
    factor = jnp.linalg.cholesky(covariance)
    with jax.default_matmul_precision("highest"):
        _, precision = _inverses(factor)
        weights = precision @ residual
    slope = (weights[:, None] * weights[None, :] - precision) / 2
    tangent = (slope * d_covariance).sum() - (weights * d_residual).sum()
    return _of_factor(factor, residual), tangent


def _of_factor(factor: Array, residual: Array) -> Array:
    square, log_det = _terms(factor, residual)
    return -square / 2 - log_det


def _terms(factor: Array, residual: Array) -> tuple[Array, Array]:
    """Return rᵀ K⁻¹ r and log |L|."""
    half = solve_triangular(factor, residual, lower=True)
    return (half**2).sum(), jnp.log(jnp.diagonal(factor)).sum()


def _inverses(L: Array) -> tuple[Array, Array]:
    """Return L⁻¹ and L⁻ᵀ L⁻¹, by halves: nearly all of their 4/3 n³ are products of matrices."""
    n = len(L)
    if n <= BLOCK:
        inverse = solve_triangular(L, jnp.eye(n, dtype=L.dtype), lower=True)
        return inverse, _turned(inverse) @ inverse
    h = n // 2
    top, bottom = _inverses(L[:h, :h]), _inverses(L[h:, h:])
    between = L[h:, :h] @ top[0]
    corner, across = -bottom[0] @ between, -bottom[1] @ between
    return (
        jnp.block([[top[0], jnp.zeros_like(corner.T)], [corner, bottom[0]]]),
        jnp.block([[top[1] - _turned(between) @ across, across.T], [across, bottom[1]]]),
    )


def _turned(A: Array) -> Array:
    """Return Aᵀ as an array of its own: XLA's product with a view of it takes twice as long."""
    return jax.lax.optimization_barrier(A.T)
