"""Gauss-Hermite quadrature: the mean of a function of a normal variable, by n nodes.

    E f(X) ≈ Σ_k p_k f(mean + scale √2 x_k),    X ~ N(mean, scale²),    p_k = w_k / √π

exact for polynomials of degree 2n − 1. H_n is a Laguerre polynomial in x² with α = ∓1/2: nodes are
roots of Laguerre nodes, which reach any order without overflow.

Source: Abramowitz & Stegun (1964), 22.5.40-41 and 25.4.46; Davis & Rabinowitz (1984), *Methods of
Numerical Integration*, section 3.6.
"""

import functools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.quadrature import gauss_laguerre, report
from mastery_jax.numerics.quadrature.report import Bound

__all__ = ["expectation", "nodes"]


@functools.cache
def nodes(num_nodes: int) -> tuple[Any, Any]:
    """Return the nodes of ∫ e^(−x²) f(x) dx, ascending, and their weights, in NumPy. O(n³), once.

    Args:
        num_nodes: n ≥ 1.

    Returns:
        Nodes and weights, in double precision; they add up to √π, and far out many are 0.

    Raises:
        ValueError: no nodes are asked for.

    Example:
        >>> nodes(2)
        (array([-0.70710678,  0.70710678]), array([0.88622693, 0.88622693]))
    """
    if num_nodes < 1:
        raise ValueError(f"gauss_hermite.nodes: num_nodes is {num_nodes}, not at least 1")
    half, is_odd = divmod(num_nodes, 2)
    if half == 0:
        return np.zeros(1), np.full(1, math.sqrt(math.pi))
    squares, weights = gauss_laguerre.nodes(half, 0.5 if is_odd else -0.5)
    x, weights = np.sqrt(squares), weights / 2
    if is_odd:
        weights = weights / squares
        x = np.append(0, x)
        weights = np.append(math.sqrt(math.pi) - 2 * weights.sum(), weights)
    mirror = slice(None, 0 if is_odd else None, -1)
    return np.append(-x[mirror], x), np.append(weights[mirror], weights)


@partial(jax.jit, static_argnames=("num_nodes",))
@checked
def expectation(
    fn: Partial,
    mean: Scalar,
    scale: Scalar,
    *,
    num_nodes: int = 32,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
) -> tuple[Array, Bound]:
    """Return E f(X) for X ~ N(mean, scale²). O(1.5 n) calls. In more dimensions: ``product_grid``.

    Differentiable in every mode with respect to the data in ``fn``, ``mean`` and ``scale``.

    Args:
        fn: f: one number to a number, or to an array, whose entries are averaged.
        mean: Of X, finite. Traced.
        scale: Standard deviation of X, ≥ 0. Traced.
        num_nodes: n ≥ 2. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.

    Returns:
        The estimate and its ``Bound``, whose error is the distance to the rule of half as many
        nodes. CONVERGED within the tolerance, else OUT_OF_STEPS; NOT_FINITE where f is not;
        BAD_INPUT, and NaN, for a mean that is not finite or a scale that is negative.

    Raises:
        ValueError: fewer than two nodes.

    Example:
        >>> estimate, _ = expectation(Partial(jnp.square), 1.0, 2.0)
        >>> round(float(estimate), 4)
        5.0
    """
    if num_nodes < 2:
        raise ValueError(f"gauss_hermite.expectation: num_nodes is {num_nodes}, not at least 2")
    dtype = report.dtype_of(fn, mean, scale)
    mean, scale = jnp.asarray(mean, dtype), jnp.asarray(scale, dtype)
    is_bad = ~(jnp.isfinite(mean) & (scale >= 0) & jnp.isfinite(scale))

    def by(count: int) -> Array:
        x, weights = nodes(count)
        x, probs = report.cast((math.sqrt(2) * x, weights / math.sqrt(math.pi)), dtype)
        return report.weighted(fn, mean + scale * x, probs)

    return report.judge_pair(by, num_nodes, is_bad=is_bad, rtol=rtol, atol=atol)
