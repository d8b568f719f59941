"""Newton-Cotes rules: equal steps, and as many of Richardson's extrapolations as one likes.

    R_0(h) = h (f_0/2 + f_1 + … + f_n−1 + f_n/2)
    R_j(h) = R_j−1(h) + (R_j−1(h) − R_j−1(2h)) / (4^j − 1)

R_0 is the trapezoidal rule, R_1 Simpson's, R_2 Boole's; romberg takes all that n allows. Every one
is a fixed sum of the same values, whose weights are worked out while tracing.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, sections 2.1-2.2 and 6.3;
unequal steps: Cartwright (2017), *Journal of Mathematical Sciences and Mathematics Education* 12.
"""

import itertools
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.quadrature import report
from mastery_jax.numerics.quadrature.report import Bound

__all__ = ["integrate", "integrate_samples"]

Rule = Literal["trapezoid", "simpson", "boole", "romberg"]
FIXED = {"trapezoid": 0, "simpson": 1, "boole": 2}


@partial(jax.jit, static_argnames=("rule", "num_intervals"))
@checked
def integrate(
    fn: Partial,
    lower: Scalar,
    upper: Scalar,
    *,
    rule: Rule = "simpson",
    num_intervals: int = 64,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
) -> tuple[Array, Bound]:
    """Integrate by equal steps, both ends included. O(n) calls.

    Differentiable in every mode with respect to the data in ``fn`` and to both ends.

    Args:
        fn: The integrand: one number to a number, or to an array, whose entries are integrated.
        lower: Where to start, finite. Traced.
        upper: Where to end, finite; below ``lower`` the sign turns. Traced.
        rule: How many extrapolations: 0, 1, 2, or all that the number allows. Static.
        num_intervals: n, a multiple of 2, 4, 8 for trapezoid, simpson, boole; of 2 for romberg,
            which is best at a power of 2. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.

    Returns:
        The estimate and its ``Bound``. The error is the distance to the same rule with steps twice
        as long. CONVERGED within the tolerance, else OUT_OF_STEPS; NOT_FINITE where the integrand
        is not; BAD_INPUT, and NaN, for an end that is infinite or NaN.

    Raises:
        ValueError: a rule that is not known, or a number that it cannot use.

    Example:
        >>> estimate, bound = integrate(Partial(jnp.exp), 0.0, 1.0, rule="romberg", num_intervals=8)
        >>> round(float(estimate), 5), int(bound.num_evals)
        (1.71828, 9)
    """
    fine, coarse = _weights(rule, num_intervals)
    dtype = report.dtype_of(fn, lower, upper)
    lower, upper = jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)
    is_bad = ~(jnp.isfinite(lower) & jnp.isfinite(upper))
    share = jnp.asarray(np.linspace(0, 1, num_intervals + 1), dtype)
    weights = jnp.asarray(np.stack([fine, fine - coarse], axis=1), dtype)
    both = (upper - lower) * report.weighted(fn, lower * (1 - share) + upper * share, weights)
    return report.judge(both[0], both[1], num_intervals + 1, is_bad=is_bad, rtol=rtol, atol=atol)


@partial(jax.jit, static_argnames=("rule",))
@checked
def integrate_samples(
    x: Float[Array, " n"],
    y: Float[Array, "n *values"],
    *,
    rule: Literal["trapezoid", "simpson"] = "trapezoid",
) -> Float[Array, "*values"]:
    """Integrate what was measured at ``x``, at equal distances or not. O(n).

    Args:
        x: Where, ascending or descending.
        y: What, along its leading axis.
        rule: Straight lines, or parabolas through three neighbors; of an even number of samples
            the last interval takes the parabola of the last three. Static.

    Returns:
        The integral; NaN under ``simpson`` where two neighbors share an x.

    Raises:
        ValueError: fewer than two samples, or than three for ``simpson``.

    Example:
        >>> x = jnp.array([0.0, 1.0, 3.0])
        >>> integrate_samples(x, x * x, rule="simpson")
        Array(9., dtype=float32)
    """
    if rule not in ("trapezoid", "simpson"):
        raise ValueError(
            f"newton_cotes.integrate_samples: rule is {rule!r}, not 'trapezoid' or 'simpson'"
        )
    least = 3 if rule == "simpson" else 2
    if len(x) < least:
        raise ValueError(f"newton_cotes.integrate_samples: x has {len(x)} samples, not {least}")
    h = jnp.diff(x).reshape(-1, *[1] * (y.ndim - 1))
    if rule == "trapezoid":
        return (h * (y[1:] + y[:-1])).sum(axis=0) / 2
    last = (len(x) - 1) // 2 * 2
    a, b = h[:last:2], h[1:last:2]
    low, middle, high = y[:last:2], y[1:last:2], y[2 : last + 1 : 2]
    total = (a + b) / 6 * ((2 - b / a) * low + (a + b) ** 2 / (a * b) * middle + (2 - a / b) * high)
    total = total.sum(axis=0)
    if len(x) % 2 == 0:
        a, b = h[-2], h[-1]
        total = total + b / 6 * (
            (3 - b / (a + b)) * y[-1] + (3 + b / a) * y[-2] - b * b / (a * (a + b)) * y[-3]
        )
    return total


def _weights(rule: str, num_intervals: int) -> tuple[Any, Any]:
    """Return the weights of the rule on [0, 1], and of the same rule with steps twice as long."""
    where = "newton_cotes.integrate"
    if rule not in (*FIXED, "romberg"):
        raise ValueError(f"{where}: rule is {rule!r}, not one of {(*FIXED, 'romberg')}")
    halvings = (num_intervals & -num_intervals).bit_length() - 1  # n = odd · 2^halvings
    order = FIXED.get(rule, halvings - 1)
    if num_intervals < 1 or halvings <= order or halvings < 1:
        needed = 2 ** (FIXED.get(rule, 0) + 1)
        raise ValueError(f"{where}: num_intervals is {num_intervals}, not a multiple of {needed}")
    table = []
    for j in range(halvings + 1):
        weights, skip = np.zeros(num_intervals + 1), 2**j
        weights[::skip] = skip / num_intervals
        weights[[0, -1]] /= 2
        table.append(weights)
    if rule == "romberg":  # the last two columns: all extrapolations, and all but the finest step
        return _extrapolated(table, halvings), _extrapolated(table[1:], halvings - 1)
    return _extrapolated(table, order), _extrapolated(table[1:], order)


def _extrapolated(table: list[Any], order: int) -> Any:
    for j in range(1, order + 1):
        pairs = itertools.pairwise(table)
        table = [fine + (fine - coarse) / (4**j - 1) for fine, coarse in pairs]
    return table[0]
