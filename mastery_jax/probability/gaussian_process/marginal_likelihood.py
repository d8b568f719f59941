"""The marginal likelihood of a Gaussian process, and the hyperparameters that maximize it.

    log p(y | X) = −rᵀ K⁻¹ r / 2 − Σ_i log L_ii − n/2 log 2π,        r = y − m,   K = L Lᵀ
    ∂/∂θ         = tr((α αᵀ − K⁻¹) ∂K/∂θ) / 2,                       α = K⁻¹ r

The derivative is this closed form, and not one of the Cholesky factorization: K⁻¹ is made once,
by blocks, and one pull-back through the kernel gives every hyperparameter's slope.

Source: Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, eq. 5.8 and 5.9.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import solve_triangular
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import lbfgs, report
from mastery_jax.probability.gaussian_process import kernels

__all__ = ["Info", "log_prob", "maximize"]

BLOCK = 64  # rows of a triangle that LAPACK inverts faster than two halves and two products
MEMORY = 5  # pairs of L-BFGS: with 10, compiling takes twice as long
GTOL = 1e-5  # nats per unit of a logarithm


class Info(NamedTuple):
    """How the searches ended."""

    log_prob: Float[Array, ""]  # of y, at the answer, nats
    best: Int[Array, ""]  # index of the search that led there
    search: report.Info  # of each start; value is −log p(y), less the prior if there is one
    last: report.Info  # of the best search, gone on with
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
        noise: More variance of each observation, or of all, squared unit of y.
        mean: The constant that the function is drawn around.
        is_observed: False for rows that only fill up the arrays; they do not count.

    Returns:
        log p(y | X); NaN where the covariance is not positive definite in this precision.

    Raises:
        ValueError: shapes disagree, or ``kernel`` is none.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0]]), jnp.array([0.5, -0.5])
        >>> log_prob(kernels.RBF(lengthscale=1.0), X, y, noise=0.1).round(4)
        Array(-2.2586, dtype=float32)
    """
    seen = jnp.ones(len(X), bool) if is_observed is None else is_observed
    covariance = kernels.gram(kernel, X, noise=noise, is_observed=is_observed)
    residual = jnp.where(seen, jnp.where(seen, y, 0) - jnp.asarray(mean, X.dtype), 0)
    count = jnp.sum(seen, dtype=X.dtype)
    return _log_density(covariance, residual) - count / 2 * math.log(2 * math.pi)


@partial(jax.jit, static_argnames=("num_starts", "max_steps"))
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
    max_steps: int = 200,
) -> tuple[kernels.Kernel, Info]:
    """Find the likeliest hyperparameters, by L-BFGS on their logarithms. O(n³) an evaluation.

    Every search stops early, where its mode is told apart from others; the best one goes on to
    the end. Searches run one after another, each for as long as it takes.

    Args:
        key: Consumed: starts but the first are drawn evenly between the logarithms of the bounds.
        kernel: The first start.
        X: One row per observation.
        y: What was seen there.
        lower: Bounds > 0, one for all hyperparameters, or a kernel of the same form whose
            hyperparameters are the bounds; equal bounds hold one fixed.
        upper: Likewise.
        noise: More variance of each observation, or of all; it is not learned.
        mean: The constant that the function is drawn around; it is not learned.
        is_observed: False for rows that only fill up the arrays.
        log_prior: ``Partial(f, *data)``: f(*data, kernel) is added to the log likelihood: maximum
            a posteriori, for a density of the logarithms of the hyperparameters.
        ftol: The best search ends when a step gains no more than this part of max(|f|, 1).
        screen_ftol: The same for all searches before. Equal to ``ftol``: each is finished.
        num_starts: Searches. Static.
        max_steps: Steps of one search at most. Static.

    Returns:
        The best kernel, and Info. A search from hyperparameters whose covariance is not positive
        definite is NOT_FINITE, and leaves the others alone; if all are, the kernel given comes
        back.

    Raises:
        ValueError: ``num_starts`` < 1, shapes disagree, or ``kernel`` is none.
    """
    if num_starts < 1:
        raise ValueError(
            f"marginal_likelihood.maximize: num_starts is {num_starts}, not at least 1"
        )
    fn = Partial(_loss, log_prior, kernel, X, y, noise, mean, is_observed)
    first, low, high = (_logs(tree, kernel, X.dtype) for tree in (kernel, lower, upper))
    at_random = jax.random.uniform(key, (num_starts - 1, len(first)), X.dtype)
    at_random = low[None, :] + (high - low)[None, :] * at_random
    starts = jnp.concatenate([first[None, :], at_random, first[None, :]])
    tolerances = jnp.full(num_starts + 1, screen_ftol, X.dtype).at[-1].set(ftol)
    minimize = partial(
        lbfgs.minimize, fn, lower=low, upper=high, gtol=GTOL, max_steps=max_steps, memory=MEMORY
    )
    leader = _Leader(first, jnp.full_like(first[0], jnp.inf), jnp.zeros((), jnp.int32))
    rows = jnp.arange(num_starts + 1, dtype=jnp.int32)
    slots = (rows, starts, tolerances, rows == num_starts)
    leader, search = loop.scan(_search, leader, slots, minimize=minimize)
    kernel = _kernel(kernel, leader.logs)
    value = log_prob(kernel, X, y, noise=noise, mean=mean, is_observed=is_observed)
    last, each = (jax.tree.map(lambda leaf, s=s: leaf[s], search) for s in (-1, slice(-1)))
    return kernel, Info(value, leader.row, each, last, last.status, last.is_done)


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


def _loss(log_prior: Partial | None, kernel: kernels.Kernel, *rest: Any) -> Array:
    X, y, noise, mean, is_observed, logs = rest
    kernel = _kernel(kernel, logs)
    value = log_prob(kernel, X, y, noise=noise, mean=mean, is_observed=is_observed)
    return -value if log_prior is None else -value - log_prior(kernel)


def _logs(tree: Any, kernel: kernels.Kernel, dtype: Any) -> Array:
    """Return the logarithms of a kernel's hyperparameters, or of bounds of them."""
    if jax.tree.structure(tree) != jax.tree.structure(kernel):
        tree = jax.tree.map(lambda _: tree, kernel)
    filled = jax.tree.map(
        lambda leaf, like: jnp.broadcast_to(jnp.asarray(leaf, dtype), jnp.shape(like)), tree, kernel
    )
    return jnp.log(ravel_pytree(filled)[0])


def _kernel(kernel: kernels.Kernel, logs: Array) -> kernels.Kernel:
    """Return the kernel with these logarithms in place of those of its hyperparameters."""
    like = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), logs.dtype), kernel)
    return ravel_pytree(like)[1](jnp.exp(logs))


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
    half = solve_triangular(factor, residual, lower=True)
    return -(half**2).sum() / 2 - jnp.log(jnp.diagonal(factor)).sum()


def _inverses(L: Array) -> tuple[Array, Array]:
    """Return L⁻¹ and L⁻ᵀ L⁻¹, by halves: nearly all of their 4/3 n³ are products of matrices."""
    n = len(L)
    if n <= BLOCK:
        inverse = solve_triangular(L, jnp.eye(n, dtype=L.dtype), lower=True)
        return inverse, inverse.T @ inverse
    h = n // 2
    top, bottom = _inverses(L[:h, :h]), _inverses(L[h:, h:])
    corner = -bottom[0] @ (L[h:, :h] @ top[0])
    across = bottom[0].T @ corner
    return (
        jnp.block([[top[0], jnp.zeros_like(corner.T)], [corner, bottom[0]]]),
        jnp.block([[top[1] + corner.T @ corner, across.T], [across, bottom[1]]]),
    )
