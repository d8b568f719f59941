"""What an integrand looks like on an interval: numbers by which a method can be chosen.

    f(x) ≈ Σ_k a_k T_k        Gauss with n nodes errs by at most (b − a) Σ_k≥2n |a_k|
    f(x) ≈ Σ_k c_k cos(π k (x − a)/(b − a))        n trapezoids err by (b − a) Σ_m c_2nm

Both series come from one cosine transform: of values at Chebyshev's points, and at equal distances.
``degrees`` and ``harmonics`` hold the largest |a_k| from each degree on, and the largest |c_2n|
from each number of trapezoids on; a rate is how they fall, fitted where they stand above rounding.
Jumps, kinks and peaks are looked for in the cells between the points (``places``). At an end,
f(end + d) − f(end + d/2) ~ d^p. Where an end is infinite, all of it is measured in the variable t
of ``variable_change``, of f(x(t)) dx/dt.

Source: Trefethen (2013), *Approximation Theory and Approximation Practice*, chapters 3, 7, 8 and
19; Trefethen & Weideman (2014), *SIAM Review* 56, section 3 (the trapezoidal rule).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.quadrature import report, variable_change
from mastery_jax.numerics.quadrature.choosing import places, series

__all__ = ["Features", "Marks", "measure"]

NUM_PEAKS = 2
FLAT = 4.0  # the exponent of an end where f does not change


class Features(NamedTuple):
    """Numbers without unit, all of one dtype, so that ``jnp.stack`` makes a vector of them.

    None changes when f or x is stretched; ``chebyshev`` and ``trapezoid`` ones, when a number is
    added to f.
    """

    chebyshev_rate: Float[Array, ""]  # factor of the coefficients from one degree to the next
    chebyshev_order: Float[Array, ""]  # power of the degree by which they fall
    trapezoid_rate: Float[Array, ""]  # factor of the error from one interval more
    trapezoid_order: Float[Array, ""]  # power of the intervals by which it falls
    is_periodic: Float[Array, ""]  # 1 where f and its odd derivatives agree at the ends
    num_modes: Float[Array, ""]  # maxima inside that stand out by a hundredth of the range
    num_turns: Float[Array, ""]  # such maxima and minima: changes of the slope's sign
    num_jumps: Float[Array, ""]  # places where f jumps, or has a pole
    num_kinks: Float[Array, ""]  # places where f' jumps
    spread: Float[Array, ""]  # least share of the interval that holds 0.9 of ∫|f|
    balance: Float[Array, ""]  # |∫f| / ∫|f|
    lower_exponent: Float[Array, ""]  # p at the lower end; at most 4
    upper_exponent: Float[Array, ""]
    is_finite: Float[Array, ""]  # 1 where every value inside is finite


class Marks(NamedTuple):
    """Where the features were found, and what the number of nodes follows from."""

    jumps: Float[Array, " places"]  # ascending, unit of x; NaN where there is none
    kinks: Float[Array, " places"]
    peaks: Float[Array, " peaks"]  # where |f| is largest
    degrees: Float[Array, " n"]  # largest |a_k| from each degree on, over the largest |f|
    harmonics: Float[Array, " m"]  # largest |c_2n| from each n on, over the largest |f|
    level: Float[Array, ""]  # |∫f| over the width and the largest |f|
    scale: Float[Array, ""]  # largest |f|, times the width: unit of the integral
    has_ends: Bool[Array, ""]  # f is finite at both ends
    num_evals: Int[Array, ""]  # calls of the integrand


@partial(jax.jit, static_argnames=("num_samples", "num_places"))
@checked
def measure(
    fn: Partial,
    lower: Scalar,
    upper: Scalar,
    *,
    num_samples: int = 128,
    num_places: int = 4,
) -> tuple[Features, Marks]:
    """Measure an integrand on an interval. O(n) calls, O(n²) work.

    A feature narrower than some (b − a)/2n falls between the points, and is not seen.

    Args:
        fn: The integrand: one number to one number.
        lower: Where to start; −∞ and ∞ are places too. Traced.
        upper: Where to end; below ``lower`` the same interval is meant. Traced.
        num_samples: n ≥ 32, of Chebyshev's points and of equal distances, each. Static.
        num_places: How many cells are searched for jumps and kinks. Static.

    Returns:
        ``Features`` and ``Marks``. A value that is not finite counts as 0, and ``is_finite`` says
        it. NaN in every feature for an end that is NaN, or two ends at one infinity.

    Raises:
        ValueError: fewer than 32 samples, no place, or an integrand that gives no single number.

    Example:
        >>> found, marks = measure(Partial(lambda x: jnp.abs(x - 0.3)), 0.0, 1.0)
        >>> int(found.num_kinks), round(float(marks.kinks[0]), 4), int(found.num_jumps)
        (1, 0.3, 0)
    """
    dtype = report.dtype_of(fn, lower, upper)
    _refuse(fn, dtype, num_samples, num_places)
    lower, upper = jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)
    where, _, is_bad = variable_change.frame(lower, upper, jnp.zeros(0, dtype))
    low, high = where.edges

    def raw(t: Array) -> Array:
        x, slope = variable_change.abscissae(t, where)
        return jnp.asarray(jax.vmap(fn)(x), dtype) * slope

    def f(t: Array) -> Array:
        y = raw(t)
        return jnp.where(jnp.isfinite(y), y, 0)

    n = num_samples
    share = (np.arange(n) + 0.5) / n
    nodes = np.stack([(1 - np.cos(np.pi * share)) / 2, share])
    t = low + (high - low) * jnp.asarray(nodes, dtype)
    y = raw(t.reshape(-1)).reshape(t.shape)
    is_finite = jnp.isfinite(y).all()
    y = jnp.where(jnp.isfinite(y), y, 0)
    scale = jnp.abs(y).max()
    rates, degrees, harmonics = _rates(y, scale, low, high)
    bends = places.bends(f, t[1], y[1], scale, num_places=num_places)
    t, y = _ascending(t.reshape(-1), y.reshape(-1))
    peaks = places.peaks(f, t, y, num_places=NUM_PEAKS)
    t, y = _ascending(
        jnp.concatenate([t, bends.points, peaks.points]),
        jnp.concatenate([y, bends.values, peaks.values]),
    )
    spread, balance, level = _masses(t, y, low, high)
    exponents, num_near = _exponents(f, low, high)
    at_ends = raw(jnp.stack([low, high]))
    is_closed = jnp.abs(at_ends[1] - at_ends[0]) <= jnp.sqrt(jnp.finfo(dtype).eps) * scale
    is_periodic = (rates[3] > series.FAST) & is_closed
    marked = _sorted_out(bends, (high - low) / n)
    counts = (jnp.isfinite(place).sum() for place in marked)
    values = (*rates, is_periodic, *_turns(y), *counts, spread, balance, *exponents, is_finite)
    values = [jnp.where(is_bad, jnp.nan, jnp.asarray(each, dtype)) for each in values]
    in_x = partial(_in_x, where=where)
    marks = Marks(
        *map(in_x, (*marked, jnp.where(peaks.height >= scale / 10, peaks.place, jnp.nan))),
        degrees=degrees,
        harmonics=harmonics,
        level=level,
        scale=scale * (high - low),
        has_ends=jnp.isfinite(at_ends).all(),
        num_evals=jnp.asarray(len(t) + num_near + 2, jnp.int32),
    )
    return Features(*values), marks


def _refuse(fn: Partial, dtype: Any, num_samples: int, num_places: int) -> None:
    if num_samples < 32:
        raise ValueError(f"features.measure: num_samples is {num_samples}, not at least 32")
    if num_places < 1:
        raise ValueError(f"features.measure: num_places is {num_places}, not at least 1")
    value = jax.eval_shape(fn, jax.ShapeDtypeStruct((), dtype))
    if getattr(value, "shape", None) != ():
        raise ValueError(f"features.measure: fn(x) is {value}, not a number")


def _ascending(t: Array, y: Array) -> tuple[Array, Array]:
    order = jnp.argsort(t)
    return t[order], y[order]


def _rates(
    y: Array, scale: Array, low: Array, high: Array
) -> tuple[tuple[Array, ...], Array, Array]:
    """Return rates and orders of both series, and what is left of both."""
    # What rounding does to f, and what rounding t does to a steep f.
    steep = jnp.abs(jnp.diff(y[1])).max() * y.shape[1] / jnp.where(high > low, high - low, 1)
    noise = series.NOISE * scale + 2 * steep * jnp.maximum(jnp.abs(low), jnp.abs(high))
    top = jnp.where(scale > 0, scale, 1)
    eps = jnp.finfo(y.dtype).eps
    floor = eps * jnp.maximum(noise / top, series.NOISE)
    sizes = jnp.abs(series.cosine(y)) / top
    degrees, rate, order = series.decay(sizes[0], floor)
    harmonics, even_rate, even_order = series.decay(sizes[1, ::2].at[0].set(sizes[1].max()), floor)
    return (rate, order, even_rate, even_order), degrees, harmonics


def _masses(t: Array, y: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Return the share of the interval that holds 0.9 of ∫|f|, |∫f|/∫|f|, and |∫f|/(b − a)/max."""
    borders = jnp.concatenate([low[None], t[:-1] + jnp.diff(t) / 2, high[None]])
    width = jnp.diff(borders)
    mass = width * jnp.abs(y)
    order = jnp.argsort(-jnp.abs(y))
    held, taken = jnp.cumsum(mass[order]), jnp.cumsum(width[order])
    wanted = held[-1] * jnp.asarray(0.9, t.dtype)
    zero = jnp.zeros(1, t.dtype)
    spread = jnp.interp(wanted, jnp.concatenate([zero, held]), jnp.concatenate([zero, taken])) / (
        high - low
    )
    spread = jnp.where(held[-1] > 0, spread, 1)
    net = jnp.abs((width * y).sum())
    top = (high - low) * jnp.abs(y).max()
    return spread, net / jnp.where(held[-1] > 0, held[-1], 1), net / jnp.where(top > 0, top, 1)


def _turns(y: Array) -> tuple[Array, Array]:
    """Return how many maxima inside stand out, and how many maxima and minima."""
    index = jnp.arange(len(y), dtype=jnp.int32)
    least = 0.01 * (y.max() - y.min()) + 64 * jnp.finfo(y.dtype).eps * jnp.abs(y).max()

    def count(y: Array) -> Array:
        is_top = (y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:])
        is_higher = y[None] > y[:, None]
        before = jnp.where(is_higher & (index[None] < index[:, None]), index[None], -1).max(axis=1)
        after = jnp.where(is_higher & (index[None] > index[:, None]), index[None], len(y))
        after = after.min(axis=1)
        is_left = (index[None] > before[:, None]) & (index[None] <= index[:, None])
        is_right = (index[None] < after[:, None]) & (index[None] >= index[:, None])
        bases = [
            jnp.where(side, y[None], jnp.inf).min(axis=1).astype(y.dtype)
            for side in (is_left, is_right)
        ]
        stands_out = y - jnp.maximum(*bases)
        return (is_top & (stands_out[1:-1] > least)).sum()

    tops = count(y)
    return tops, tops + count(-y)


def _exponents(f: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, int]:
    """Return p at both ends, from f at distances that halve, and how many calls that took."""
    eps = jnp.finfo(low.dtype).eps
    wanted = (high - low) * jnp.asarray(0.5 ** np.arange(3, 17), low.dtype)
    t = jnp.stack([low + wanted, high - wanted])
    y = f(t.reshape(-1)).reshape(t.shape)
    step = jnp.abs(jnp.diff(y, axis=1))
    # What rounding does to f, and what rounding t does to a steep f.
    rounding = 32 * eps * jnp.abs(y).max(axis=1, keepdims=True)
    rounding = rounding + 16 * eps * jnp.abs(t[:, 1:]) * step / wanted[None, 1:]
    is_above = jnp.cumprod((step > rounding).astype(jnp.int32), axis=1)
    count = is_above.sum(axis=1, dtype=jnp.int32)
    final = jnp.maximum(count - 1, places.WINDOW)
    logs = jnp.log2(jnp.where(step > 0, step, 1))
    side = jnp.arange(2, dtype=jnp.int32)
    p = (logs[side, final - places.WINDOW] - logs[side, final]) / places.WINDOW
    return jnp.where(count > places.WINDOW, jnp.minimum(p, FLAT), FLAT), t.size


def _sorted_out(bends: places.Found, cell: Array) -> tuple[Array, Array]:
    """Return the jumps and the kinks among the places that were looked at."""
    jumps = _distinct(bends.place, bends.is_seen & (bends.order < places.JUMP), cell)
    is_kink = bends.is_seen & (bends.order >= places.JUMP) & (bends.order < places.KINK)
    # A kink beside a jump is a shadow of it.
    near = jnp.abs(bends.place[:, None] - jumps[None]) <= 4 * cell
    return jumps, _distinct(bends.place, is_kink & ~near.any(axis=1), cell)


def _distinct(place: Array, is_one: Array, cell: Array) -> Array:
    """Return places in ascending order, each once; NaN at the end."""
    place = jnp.sort(jnp.where(is_one, place, jnp.nan))
    is_new = jnp.concatenate([jnp.ones(1, bool), jnp.diff(place) > cell])
    return jnp.sort(jnp.where(is_new, place, jnp.nan))


def _in_x(t: Array, *, where: variable_change.Frame) -> Array:
    return variable_change.abscissae(t, where)[0]
