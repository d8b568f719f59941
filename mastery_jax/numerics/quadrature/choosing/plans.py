"""What each method would need on an interval, from what was measured of the integrand.

    Gauss-Legendre   n with (largest |a_k|, k ≥ 2n) / (1 − rate) ≤ tolerance
    trapezoid        n with (largest |c_2k|, k ≥ n) / (1 − rate) ≤ tolerance
    Gauss-Kronrod    breakpoints where f jumps, bends or peaks; ⌈log2(1/rtol) / (1 + p)⌉ more
                     intervals toward an end where f grows like d^p, p < 0

The fixed rules are given twice the nodes, for their error is the distance to half as many.

Source: Trefethen (2013), *Approximation Theory and Approximation Practice*, theorem 19.3; Trefethen
& Weideman (2014), *SIAM Review* 56, theorem 2.1; Davis & Rabinowitz (1984), *Methods of Numerical
Integration*, section 2.12 (singular ends).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mastery_jax.numerics.quadrature.choosing import series
from mastery_jax.numerics.quadrature.choosing.features import Features, Marks

__all__ = ["PLANS", "Plan", "Wanted", "best", "kronrod", "legendre", "trapezoid"]

MAX_NODES = 256
MAX_DEPTH = 512  # intervals toward one singular end
LOOSE = 1e-5  # a tolerance that one cut of a smooth integrand often meets
PER_TURN = 10  # calls that the search spends on a turn of the slope: measured, on waves
NARROW = 0.1  # the spread below which the search is shown the peaks
SINGULAR = 0.9  # the exponent of an end below which f' is infinite there


class Wanted(NamedTuple):
    """How good the integral shall be, and between which ends, on the host."""

    rtol: float
    atol: float
    low: float  # the lesser end
    high: float
    eps: float  # rounding unit of the dtype

    @property
    def width(self) -> float:
        """Return how far apart the ends are."""
        return self.high - self.low

    @property
    def is_finite(self) -> bool:
        """Return whether both ends are."""
        return math.isfinite(self.width)


class Plan(NamedTuple):
    """A method, the keywords that it needs, and why."""

    method: str
    options: dict[str, Any]
    num_evals: float  # expected; of a search the least; ∞ where the method does not suit
    reason: str


def trapezoid(found: Features, marks: Marks, wanted: Wanted) -> Plan:
    """Return as many trapezoids as the harmonics ask for. O(n)."""
    n = series.first_below(marks.harmonics, _target(found.trapezoid_rate, marks, wanted))
    is_smooth = found.trapezoid_order > series.FAST and not _num_breaks(found)
    suits = wanted.is_finite and bool(marks.has_ends) and bool(is_smooth)
    least = max(len(marks.harmonics) if n is None else n, 1)
    rate = float(found.trapezoid_rate)
    return Plan(
        "trapezoid",
        {"num_intervals": 2 * least, "rtol": wanted.rtol, "atol": wanted.atol},
        2 * least + 1 if n is not None and suits else math.inf,
        f"the odd derivatives agree at both ends: the error of trapezoids falls by {rate:.2g} from "
        f"one interval to the next, {least} reach {wanted.rtol:.1e}, and twice as many prove it",
    )


def legendre(found: Features, marks: Marks, wanted: Wanted) -> Plan:
    """Return as many Gauss nodes as the Chebyshev coefficients ask for. O(n)."""
    rate, order = float(found.chebyshev_rate), float(found.chebyshev_order)
    target = _target(found.chebyshev_rate, marks, wanted)
    degree = series.first_below(marks.degrees, target)
    seen = int(series.TRUSTED * len(marks.degrees)) - 1
    if degree is None and order > series.FAST and rate < 1:
        # Faster than any power: the rate goes on beyond the degrees that were seen.
        more = math.log(float(marks.degrees[seen]) / target) / -math.log(rate)
        degree = seen + math.ceil(more)
    least = max(math.ceil(((degree or 0) + 1) / 2), 2)
    is_smooth = not _num_breaks(found) and _worst_end(found) > SINGULAR
    suits = wanted.is_finite and is_smooth and degree is not None and 2 * least <= MAX_NODES
    least = min(least, MAX_NODES // 2) if degree is not None else MAX_NODES // 2
    return Plan(
        "gauss_legendre",
        {"num_nodes": 2 * least, "rtol": wanted.rtol, "atol": wanted.atol},
        3 * least if suits else math.inf,
        f"Chebyshev coefficients fall by {rate:.2g} per degree: {least} nodes reach "
        f"{wanted.rtol:.1e}, and twice as many prove it",
    )


def kronrod(found: Features, marks: Marks, wanted: Wanted) -> Plan:
    """Return a search that begins at the places that were found. O(places)."""
    jumps, kinks = (_finite(part) for part in (marks.jumps, marks.kinks))
    peaks = _finite(marks.peaks) if wanted.is_finite and found.spread < NARROW else []
    reach = 2 * float(found.spread) * wanted.width / max(len(peaks), 1)
    sides = [x + side for x in peaks for side in (-reach, reach)]
    breaks = sorted({x for x in (*jumps, *kinks, *sides) if wanted.low < x < wanted.high})
    worst = _worst_end(found)
    depth = 0.0
    if worst < SINGULAR:
        depth = math.log2(1 / wanted.rtol) / max(1 + min(worst, 0), 1 / MAX_DEPTH)
    num_nodes = 15 if worst < SINGULAR else 21  # of many short intervals, the cheaper rule
    options: dict[str, Any] = {
        "num_nodes": num_nodes,
        "max_intervals": 64 + len(breaks) + math.ceil(min(depth, MAX_DEPTH)),
        "rtol": wanted.rtol,
        "atol": wanted.atol,
    }
    if breaks:
        options["breakpoints"] = tuple(breaks)
    cuts = len(breaks) + (1 if wanted.rtol > LOOSE else 2) + depth
    evals = 2 * num_nodes * cuts + PER_TURN * float(found.num_turns)
    return Plan("gauss_kronrod", options, evals, _why(found, wanted, jumps, kinks, peaks))


PLANS: dict[str, Callable[[Features, Marks, Wanted], Plan]] = {
    "trapezoid": trapezoid,
    "gauss_legendre": legendre,
    "gauss_kronrod": kronrod,
}


def best(found: Features, marks: Marks, wanted: Wanted) -> Plan:
    """Return the plan of fewest calls; the search where values are not finite. O(n)."""
    search = kronrod(found, marks, wanted)
    if not found.is_finite:
        return search
    fixed = (trapezoid(found, marks, wanted), legendre(found, marks, wanted))
    return min(*fixed, search, key=lambda plan: plan.num_evals)


def _why(
    found: Features, wanted: Wanted, jumps: list[float], kinks: list[float], peaks: list[float]
) -> str:
    """Say in one sentence what keeps the fixed rules from converging fast."""
    parts = [
        _listed(jumps, "jumps or has a pole at"),
        _listed(kinks, "bends at"),
        _listed(peaks, f"holds 0.9 of its mass in {float(found.spread):.2g} of the range, around"),
    ]
    for name in ("lower", "upper"):
        p = float(getattr(found, f"{name}_exponent"))
        if p < SINGULAR:
            says = f"{'grows' if p < 0 else 'changes'} like d^{p:.2f} at the {name} end"
            parts.append(says + (", where it has no integral" if p <= -0.99 else ""))
    if not wanted.is_finite:
        parts.append("reaches to infinity")
    if not found.is_finite:
        parts.append("is not finite everywhere")
    said = [part for part in parts if part] or [
        f"has Chebyshev coefficients that fall by {float(found.chebyshev_rate):.3g} per degree, "
        f"or the power −{max(float(found.chebyshev_order), 0):.1f} of it: too slowly for one rule"
    ]
    return f"f {' and '.join(said)}, so that nodes are put where they are needed"


def _listed(places: list[float], what: str) -> str:
    return f"{what} {', '.join(f'{x:.5g}' for x in places)}" if places else ""


def _finite(places: Any) -> list[float]:
    return [float(x) for x in np.asarray(places) if np.isfinite(x)]


def _num_breaks(found: Features) -> int:
    return int(found.num_jumps + found.num_kinks)


def _worst_end(found: Features) -> float:
    return min(float(found.lower_exponent), float(found.upper_exponent))


def _target(rate: Any, marks: Marks, wanted: Wanted) -> float:
    """Return the coefficient, over the largest |f|, from which on the others are small enough."""
    scale = float(marks.scale)
    absolute = wanted.atol / scale if scale > 0 else math.inf
    allowed = max(wanted.rtol * float(marks.level), absolute)
    return max(allowed * (1 - min(float(rate), 0.99)), series.NOISE * wanted.eps)
