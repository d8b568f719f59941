"""What every rule of this room returns beside its estimate.

A rule of fixed nodes bounds its error from a second, coarser rule; a random one has a standard
error. Neither repairs anything: an integrand that gives NaN gives NaN, and the status says it.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, sections 4.9 and 5.9.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar
from mastery_jax.core.status import Status

__all__ = [
    "Bound",
    "Spread",
    "cast",
    "dtype_of",
    "judge",
    "judge_pair",
    "normal",
    "require_real",
    "tolerance",
    "weighted",
]


class Bound(NamedTuple):
    """What is known of the error of a deterministic rule."""

    error: Float[Array, "..."]  # estimated absolute error, unit of the integral
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status


class Spread(NamedTuple):
    """What is known of the error of a random rule."""

    std_error: Float[Array, "..."]  # standard error of the estimate, unit of the integral
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status


def dtype_of(fn: Partial, *values: Any) -> Any:
    """Return the float dtype that an integrand's data and the numbers given with it agree on."""
    leaves = [
        leaf for leaf in jax.tree.leaves(fn) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    ]
    return jnp.result_type(*leaves, *values)


def weighted(fn: Partial, nodes: Any, weights: Any) -> Any:
    """Return Σ_k w_k f(x_k) over nodes along a leading axis, for values of any shape.

    Weights of several rules are columns; their sums come along a leading axis.
    """
    y = jax.vmap(lambda x: jnp.asarray(fn(x)))(nodes)
    require_real("quadrature", y)
    y = y.astype(weights.dtype)
    w = weights.reshape(*weights.shape, *[1] * (y.ndim - 1))
    return (w * y.reshape(len(y), *[1] * (weights.ndim - 1), *y.shape[1:])).sum(axis=0)


def cast(rule: tuple[Any, Any], dtype: Any) -> tuple[Array, Array]:
    """Return the nodes and weights of a rule of NumPy, less those whose weight the dtype loses.

    There f may overflow, and 0 times ∞ is no number.
    """
    is_seen = rule[1] >= float(jnp.finfo(dtype).tiny)
    x, weights = (jnp.asarray(part[is_seen], dtype) for part in rule)
    return x, weights


def require_real(where: str, value: Any) -> None:
    """Insist that an integrand's value, or its shape, is real.

    Raises:
        ValueError: it is complex.
    """
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise ValueError(
            f"{where}: fn(x) is {value.dtype}, not real: integrate its real and imaginary part, "
            "stacked in an array"
        )


def normal(mean: Any, cov: Any) -> tuple[Callable[[Any], Any], Any]:
    """Return the map of standard normal points (n, d) to N(mean, cov); whether there is none."""
    # Its derivative supposes that both triangles move; only the lower one is read.
    cov = jnp.tril(cov) + jnp.tril(cov, -1).T
    with jax.default_matmul_precision("highest"):
        factor = jnp.linalg.cholesky(cov, symmetrize_input=False)

    def stretch(points: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return mean[None] + points @ factor.T

    return stretch, ~(jnp.isfinite(factor).all() & jnp.isfinite(mean).all())


def judge(
    estimate: Any, apart: Any, num_evals: int, *, is_bad: Any, rtol: Scalar | None, atol: Scalar
) -> tuple[Any, Bound]:
    """Return an estimate and what its distance to a coarser rule says of it.

    Where the input is bad the estimate is NaN. A tolerance is met when the largest entry of the
    error is within it.
    """
    dtype = estimate.dtype
    estimate = jnp.where(is_bad, jnp.nan, estimate)
    # The last digits of either rule say nothing.
    error = jnp.maximum(jnp.abs(apart), jnp.finfo(dtype).eps * jnp.abs(estimate))
    error = jax.lax.stop_gradient(jnp.where(is_bad, jnp.inf, error))
    is_met = error.max() <= tolerance(estimate, rtol, atol)
    status = jnp.where(is_met, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(jnp.isfinite(estimate).all(), status, Status.NOT_FINITE)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    return estimate, Bound(error, jnp.asarray(num_evals, jnp.int32), status)


def judge_pair(
    by: Callable[[int], Any],
    num_nodes: int,
    *,
    is_bad: Any,
    rtol: Scalar | None,
    atol: Scalar,
    dim: int = 1,
) -> tuple[Any, Bound]:
    """Return the estimate by so many nodes an axis, judged by that of half as many."""
    sizes = (num_nodes, (num_nodes + 1) // 2)
    fine, coarse = map(by, sizes)
    num_evals = sum(size**dim for size in sizes)
    return judge(fine, fine - coarse, num_evals, is_bad=is_bad, rtol=rtol, atol=atol)


def tolerance(estimate: Any, rtol: Any, atol: Any) -> Any:
    """Return max(atol, rtol · the largest entry of the estimate)."""
    dtype = estimate.dtype
    relative = jnp.finfo(dtype).eps ** 0.5 if rtol is None else rtol
    return jnp.maximum(
        jnp.asarray(atol, dtype), jnp.asarray(relative, dtype) * jnp.abs(estimate).max()
    )
