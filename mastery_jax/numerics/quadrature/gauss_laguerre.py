"""Gauss-Laguerre quadrature: n nodes on a half-line, exact for polynomials of degree 2n − 1.

    ∫_0^∞ x^α e^−x f(x) dx ≈ Σ_k w_k f(x_k)
    L_n(x_k) = 0,    w_k ∝ 1 / (x_k L_n'(x_k)²),    Σ_k w_k = Γ(1 + α)

The eigenvalues of the Jacobi matrix are polished by Newton's method on the differences

    (k + 1) (L_k+1 − L_k) = (k + α) (L_k − L_k−1) − x L_k

which keep the digits of the smallest nodes. L grows as e^(x/2): it is held as a power of two times
a number near 1, so that no order overflows.

Source: Golub & Welsch (1969), *Mathematics of Computation* 23; Abramowitz & Stegun (1964), 22.7.12
and 25.4.45.
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
from mastery_jax.numerics.quadrature import report
from mastery_jax.numerics.quadrature.report import Bound

__all__ = ["integrate", "nodes"]


@functools.cache
def nodes(num_nodes: int, alpha: float = 0.0) -> tuple[Any, Any]:
    """Return the nodes, ascending, and their weights, in NumPy. O(n³), once.

    Args:
        num_nodes: n ≥ 1.
        alpha: α > −1: the power of x in the weight.

    Returns:
        Nodes and weights, in double precision; far out the weights of many nodes are 0.

    Raises:
        ValueError: no nodes are asked for, or α ≤ −1.

    Example:
        >>> nodes(2)
        (array([0.58578644, 3.41421356]), array([0.85355339, 0.14644661]))
    """
    if num_nodes < 1:
        raise ValueError(f"gauss_laguerre.nodes: num_nodes is {num_nodes}, not at least 1")
    if not -1 < alpha <= 170:  # Γ(1 + α) is a number
        raise ValueError(f"gauss_laguerre.nodes: alpha is {alpha}, not above -1 and at most 170")
    k = np.arange(num_nodes)
    off = np.sqrt(k[1:] * (k[1:] + alpha))
    x = np.linalg.eigvalsh(np.diag(2 * k + 1 + alpha) + np.diag(off, 1) + np.diag(off, -1))
    x = np.maximum(x, 0.1 / num_nodes**2)  # the smallest may be off by its own size
    for _ in range(5):
        value, slope, _ = _laguerre(num_nodes, alpha, x)
        x = x - value / slope
    _, slope, power = _laguerre(num_nodes, alpha, x)
    weights = np.ldexp(1 / (x * slope**2), -2 * power)
    return x, weights * (math.gamma(1 + alpha) / weights.sum())


def _laguerre(n: int, alpha: float, x: Any) -> tuple[Any, Any, Any]:
    """Return L_n and its slope, both times 2^−power, and that power."""
    value, step, power = np.ones_like(x), np.zeros_like(x), np.zeros(x.shape, int)
    for k in range(n):
        step = ((k + alpha) * step - x * value) / (k + 1) if k else alpha - x
        value = value + step
        if k % 16 == 0:
            shift = np.frexp(np.maximum(np.abs(value), np.abs(step)))[1]
            value, step, power = np.ldexp(value, -shift), np.ldexp(step, -shift), power + shift
    # x L_n' = n L_n − (n + α) L_n−1, and L_n−1 = L_n − step.
    return value, ((n + alpha) * step - alpha * value) / x, power


@partial(jax.jit, static_argnames=("num_nodes",))
@checked
def integrate(
    fn: Partial,
    lower: Scalar,
    *,
    rate: Scalar = 1.0,
    num_nodes: int = 32,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
) -> tuple[Array, Bound]:
    """Return ∫ e^(−rate (x − lower)) f(x) dx from ``lower`` to infinity. O(1.5 n) calls.

    Args:
        fn: f: one number to a number, or to an array, whose entries are integrated.
        lower: Where to start, finite. Traced.
        rate: Of the decay, > 0, per unit of x. Traced.
        num_nodes: n ≥ 2. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.

    Returns:
        The estimate and its ``Bound``, whose error is the distance to the rule of half as many
        nodes. CONVERGED within the tolerance, else OUT_OF_STEPS; NOT_FINITE where f is not;
        BAD_INPUT, and NaN, for a start that is not finite or a rate that is not positive.

    Raises:
        ValueError: fewer than two nodes.

    Example:
        >>> estimate, _ = integrate(Partial(lambda x: x**3), 0.0)
        >>> round(float(estimate), 4)
        6.0
    """
    if num_nodes < 2:
        raise ValueError(f"gauss_laguerre.integrate: num_nodes is {num_nodes}, not at least 2")
    dtype = report.dtype_of(fn, lower, rate)
    lower, rate = jnp.asarray(lower, dtype), jnp.asarray(rate, dtype)
    is_bad = ~(jnp.isfinite(lower) & (rate > 0) & jnp.isfinite(rate))

    def by(count: int) -> Array:
        x, weights = report.cast(nodes(count), dtype)
        return report.weighted(fn, lower + x / rate, weights) / rate

    return report.judge_pair(by, num_nodes, is_bad=is_bad, rtol=rtol, atol=atol)
