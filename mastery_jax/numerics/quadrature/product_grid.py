"""Product grids: a Gauss rule on every axis. Exact, and n^d points.

    ∫ f(x) dx ≈ Σ_k1 … Σ_kd w_k1 … w_kd f(x_k1, …, x_kd)

over a box by Gauss-Legendre, or as the mean under N(mean, cov) by Gauss-Hermite, with x = mean +
C z, C Cᵀ = cov. For more than some five dimensions: ``sparse_grid``, or Monte Carlo.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, section 5.6.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.quadrature import gauss_hermite, gauss_legendre, report
from mastery_jax.numerics.quadrature.report import Bound

__all__ = ["expectation", "integrate", "make"]


def make(rule: tuple[Any, Any], *, dim: int) -> tuple[Any, Any]:
    """Return the points (n^d, d) and the weights of a rule on every axis, in NumPy. O(d n^d).

    Args:
        rule: Nodes and weights of one axis.
        dim: d.

    Example:
        >>> points, weights = make(gauss_legendre.nodes(3), dim=2)
        >>> points.shape, round(float(weights.sum()), 12)
        ((9, 2), 4.0)
    """
    nodes, weights = rule
    points = np.stack(np.meshgrid(*[nodes] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    grids = np.stack(np.meshgrid(*[weights] * dim, indexing="ij"))
    return points, grids.prod(axis=0).reshape(-1)


@partial(jax.jit, static_argnames=("num_nodes", "max_points"))
@checked
def integrate(
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_nodes: int = 8,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
    max_points: int = 1_000_000,
) -> tuple[Array, Bound]:
    """Integrate over a box by n nodes an axis, and again by half as many. O(n^d) calls.

    Args:
        fn: The integrand: a point (d) to a number, or to an array, whose entries are integrated.
        lower: One corner of the box, finite.
        upper: The other; each axis on which it is below ``lower`` turns the sign.
        num_nodes: n ≥ 2. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.
        max_points: Refuse a grid of more. Static.

    Returns:
        The estimate and its ``Bound``, whose error is the distance to the coarser grid. CONVERGED
        within the tolerance, else OUT_OF_STEPS; NOT_FINITE where the integrand is not; BAD_INPUT,
        and NaN, for an end that is infinite or NaN.

    Raises:
        ValueError: fewer than two nodes, or more points than allowed; nothing is allocated then.

    Example:
        >>> estimate, bound = integrate(Partial(jnp.prod), jnp.zeros(3), jnp.ones(3), num_nodes=4)
        >>> round(float(estimate), 5), int(bound.num_evals)
        (0.125, 72)
    """
    dim = len(lower)
    _refuse("integrate", num_nodes, dim, max_points)
    dtype = report.dtype_of(fn, lower, upper)
    half = (upper - lower) / 2
    is_bad = ~(jnp.isfinite(lower) & jnp.isfinite(upper)).all()

    def by(count: int) -> Array:
        x, weights = (jnp.asarray(a, dtype) for a in make(gauss_legendre.nodes(count), dim=dim))
        points = (lower + half)[None] + half[None] * x
        return half.prod() * report.weighted(fn, points, weights)

    return report.judge_pair(by, num_nodes, is_bad=is_bad, rtol=rtol, atol=atol, dim=dim)


@partial(jax.jit, static_argnames=("num_nodes", "max_points"))
@checked
def expectation(
    fn: Partial,
    mean: Float[Array, " d"],
    cov: Float[Array, "d d"],
    *,
    num_nodes: int = 8,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
    max_points: int = 1_000_000,
) -> tuple[Array, Bound]:
    """Return E f(X) for X ~ N(mean, cov), by n nodes an axis. O(n^d) calls, O(d³) once.

    Args:
        fn: f: a point (d) to a number, or to an array, whose entries are averaged.
        mean: Of X.
        cov: Covariance of X, positive definite; its lower triangle is read.
        num_nodes: n ≥ 2. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.
        max_points: Refuse a grid of more. Static.

    Returns:
        As ``integrate``; BAD_INPUT, and NaN, for a covariance that is not positive definite.

    Raises:
        ValueError: fewer than two nodes, or more points than allowed; nothing is allocated then.

    Example:
        >>> cov = jnp.array([[2.0, 0.5], [0.5, 1.0]])
        >>> estimate, _ = expectation(Partial(jnp.prod), jnp.zeros(2), cov, num_nodes=3)
        >>> round(float(estimate), 4)
        0.5
    """
    dim = len(mean)
    _refuse("expectation", num_nodes, dim, max_points)
    dtype = report.dtype_of(fn, mean, cov)
    stretch, is_bad = report.normal(mean, cov)

    def by(count: int) -> Array:
        x, weights = make(gauss_hermite.nodes(count), dim=dim)
        points = stretch(jnp.asarray(math.sqrt(2) * x, dtype))
        return report.weighted(fn, points, jnp.asarray(weights / math.pi ** (dim / 2), dtype))

    return report.judge_pair(by, num_nodes, is_bad=is_bad, rtol=rtol, atol=atol, dim=dim)


def _refuse(verb: str, num_nodes: int, dim: int, max_points: int) -> None:
    if num_nodes < 2:
        raise ValueError(f"product_grid.{verb}: num_nodes is {num_nodes}, not at least 2")
    if num_nodes**dim > max_points:
        raise ValueError(
            f"product_grid.{verb}: num_nodes is {num_nodes}, which makes {num_nodes**dim} points "
            f"in {dim} dimensions, not at most max_points = {max_points}"
        )
