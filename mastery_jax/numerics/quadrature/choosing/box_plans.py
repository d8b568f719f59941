"""Which method suits an integrand over a box, and how many points it needs.

    product grid   n = 2 max_i n_i nodes an axis, n_i from the Chebyshev coefficients of axis i
    quasi          σ(n) ~ n^−r from short runs: n with 3 σ(n) ≤ tolerance, and twice as many
    VEGAS+, plain  σ(n) ~ n^−1/2 from one short run, and from the variance

Of even points and, where f is narrow, VEGAS+, that is chosen which needs the fewest.
A sparse grid is tried level by level. Two levels may agree by not seeing what lies between their
points: it is taken only where it agrees with the mean over the lattice as well.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, sections 5.6 and 6.2;
L'Ecuyer & Lemieux (2002), *Recent advances in randomized quasi-Monte Carlo methods*, section 3.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import sparse_grid
from mastery_jax.numerics.quadrature.choosing import box_features, series
from mastery_jax.numerics.quadrature.choosing.choice import SURE, Choice
from mastery_jax.numerics.quadrature.monte_carlo import quasi, vegas

__all__ = ["Given", "choose", "larger"]

MAX_GRID = 20_000  # points of a grid that are not too many
MAX_UNMERGED = 300_000  # of a sparse grid, before those that are equal are merged
COPIES = 16  # randomizations of quasi
SHORT = (COPIES * 32, COPIES * 256, COPIES * 2048)  # points of its short runs, as far as needed
FAR = 16  # times the points of a run that its error is trusted to tell
ITERATIONS = 10  # of VEGAS+
VEGAS_SHORT = 20_000
FALL = 0.1  # what one level is trusted to make of the error of that below
EVEN = ("lattice", "sobol")
TINY = 1e-300
NARROW, ROUGH, SMOOTH = 0.1, 0.5, 4.0  # spread; roughness; order of the coefficients


class Given(NamedTuple):
    """What was asked for."""

    fn: Partial
    lower: Any
    upper: Any
    rtol: float
    atol: float
    key: Any
    max_evals: int


class _Seen(NamedTuple):
    found: box_features.Features
    marks: box_features.Marks
    volume_sign: float


def choose(given: Given) -> Choice:
    """Return the choice for a box, on the host. O(d n) calls, and those of short runs."""
    measured = box_features.measure(given.fn, given.lower, given.upper)
    found, marks = jax.tree.map(np.asarray, measured)
    turn = float(np.where(np.asarray(given.upper) < np.asarray(given.lower), -1, 1).prod())
    seen = _Seen(found, marks, turn)
    spent = int(marks.num_evals)
    is_finite = bool(np.isfinite(given.lower).all() and np.isfinite(given.upper).all())
    is_smooth = bool(found.is_finite) and float(found.chebyshev_order) > SMOOTH
    if is_finite and is_smooth and float(found.spread) > NARROW:
        product = _product(given, seen)
        if product is not None and product[0] <= MAX_GRID // 10:
            return product[1]._replace(num_evals=spent)
        sparse, tried = _sparse(given, seen)
        spent += tried
        for one in (sparse, product and product[1]):
            if one is not None:
                return one._replace(num_evals=spent)
    if given.key is None:
        raise ValueError(
            "chooser.choose: key is None, not a key, which a random method needs where no grid "
            f"suits: {_shape(found)}"
        )
    method, tried = _random(given, seen)
    return method._replace(num_evals=spent + tried)


def larger(old: Choice, max_evals: int, factor: int) -> Choice | None:
    """Return even points for a grid or a map, more points for these; None where that is all."""
    options = {name: old.options[name] for name in ("rtol", "atol")}
    if old.method in ("product_grid", "sparse_grid", "vegas"):
        count = _power(max_evals, max_evals)
        points = {"points": "sobol", "num_randomizations": COPIES}
        return old._replace(method="quasi", options={**options, **points, "num_samples": count})
    count = old.options["num_samples"]
    step = 2 ** int(math.log2(max(min(factor, max_evals / count), 1)))
    if step < 2:
        return None
    return old._replace(options={**old.options, "num_samples": step * count})


def _product(given: Given, seen: _Seen) -> tuple[int, Choice] | None:
    """Return a product grid and its points, where its nodes are few enough."""
    found, marks, _ = seen
    dims, rate = len(given.lower), min(float(found.chebyshev_rate), 0.99)
    scale = float(marks.scale)
    allowed = max(given.rtol * float(marks.level), given.atol / scale if scale > 0 else math.inf)
    target = allowed * (1 - rate) / dims
    target = max(target, series.NOISE * float(jnp.finfo(marks.degrees.dtype).eps))
    needed = [series.first_below(row, target) for row in marks.degrees]
    if any(degree is None for degree in needed):
        return None
    least = max(2, *(math.ceil(((degree or 0) + 1) / 2) for degree in needed))
    count = (2 * least) ** dims + least**dims
    if count > MAX_GRID:
        return None
    options = {"num_nodes": 2 * least, "rtol": given.rtol, "atol": given.atol}
    reason = (
        f"along the axes Chebyshev coefficients fall by {rate:.2g} per degree or faster: {least} "
        f"nodes an axis reach {given.rtol:.1e}, twice as many prove it, and {count} points in "
        f"{dims} dimensions are few"
    )
    return count, Choice("product_grid", reason, options, found, 0)


def _sparse(given: Given, seen: _Seen) -> tuple[Choice | None, int]:
    """Return a sparse grid that agrees with the levels below, and the calls that looking took."""
    found, marks, turn = seen
    spent, before = 0, math.inf
    for level in _levels(len(given.lower)):
        options = {"level": level, "rtol": given.rtol, "atol": given.atol}
        estimate, bound = sparse_grid.integrate(given.fn, given.lower, given.upper, **options)
        spent += int(bound.num_evals)
        size, error = abs(float(estimate)), float(bound.error)
        apart = abs(turn * float(estimate) - float(marks.estimate))
        is_far = apart > 5 * float(marks.deviation) + given.rtol * size
        # Differences of levels turn their sign, and one may be small by chance.
        is_steady = before * FALL <= max(given.rtol * size, given.atol)
        if bound.status == Status.CONVERGED and is_steady and not is_far:
            reason = (
                f"mean dimension {float(found.mean_dimension):.2f} of {len(given.lower)}, and "
                f"coefficients that fall by {float(found.chebyshev_rate):.2g} per degree: level "
                f"{level} is {error / max(size, TINY):.1e} from the level below"
            )
            return Choice("sparse_grid", reason, options, found, 0), spent
        before = error
    return None, spent


def _levels(dims: int) -> Iterator[int]:
    """Yield the levels whose points are few enough."""
    level = 1
    while sparse_grid.num_points(dim=dims, level=level, basis="clenshaw_curtis") <= MAX_UNMERGED:
        yield level
        level += 1


def _random(given: Given, seen: _Seen) -> tuple[Choice, int]:
    """Return the random method that would need the fewest points, by short runs of each."""
    found, marks, _ = seen
    shape = _shape(found)
    if float(found.roughness) > ROUGH:
        tolerance = max(given.rtol * abs(float(marks.estimate)), given.atol, TINY)
        ratio = SURE * float(marks.deviation) / tolerance
        count = 1.5 * ratio**2 * box_features.NUM_SAMPLES
        why = f"{shape}: neighbors have nothing in common, so that no even point set gains"
        return _choice(given, seen, "plain", {}, _bounded(count, given.max_evals), why), 0
    key, *keys = jax.random.split(given.key, 3)
    tried = [_even(given, seen, points, one) for points, one in zip(EVEN, keys, strict=True)]
    plans, spent = [plan for plan, _ in tried], sum(calls for _, calls in tried)
    if float(found.spread) <= NARROW:
        plans.append(_mapped(given, seen, key))
        spent += VEGAS_SHORT
    return min(plans, key=lambda plan: plan[0])[1], spent


def _even(given: Given, seen: _Seen, points: str, key: Any) -> tuple[tuple[float, Choice], int]:
    """Return how many points of a kind are needed, that choice, and the calls of the short runs."""
    options: dict[str, Any] = {"points": points, "num_randomizations": COPIES}
    box = given.fn, given.lower, given.upper
    spent, before, need, rate = 0, math.inf, math.inf, 1.0
    for one, count in zip(jax.random.split(key, len(SHORT)), SHORT, strict=True):
        if spent and (need <= FAR * spent or count > given.max_evals // FAR):
            break
        run = quasi.integrate(one, *box, num_samples=count, **options)
        spent += count
        after = float(run[1].std_error)
        fall = before / after if after > 0 and 0 < before < math.inf else 1.0
        rate = min(max(math.log(fall) / math.log(SHORT[1] / SHORT[0]), 0.4), 2.0)
        need = 2 * count * max(_excess(given, *run), 1e-9) ** (1 / rate)
        before = after
    count = _power(max(need, SHORT[0]), given.max_evals)
    why = f"{_shape(seen.found)}: the error of {points} points falls like n^−{rate:.2f}"
    return (need, _choice(given, seen, "quasi", options, count, why)), spent


def _mapped(given: Given, seen: _Seen, key: Any) -> tuple[float, Choice]:
    """Return how many points VEGAS+ needs, and that choice."""
    options = {"num_iterations": ITERATIONS}
    box = given.fn, given.lower, given.upper
    short = vegas.integrate(key, *box, num_samples=VEGAS_SHORT, **options)
    need = VEGAS_SHORT * 1.5 * _excess(given, *short) ** 2
    count = _bounded(need, given.max_evals) // ITERATIONS * ITERATIONS
    why = f"{_shape(seen.found)}: a map that follows f puts the points there"
    return need, _choice(given, seen, "vegas", options, count, why)


def _choice(
    given: Given, seen: _Seen, method: str, options: dict[str, Any], count: int, why: str
) -> Choice:
    asked = {**options, "num_samples": count, "rtol": given.rtol, "atol": given.atol}
    reason = f"{why}; {count} are planned for {given.rtol:.1e}"
    return Choice(method, reason, asked, seen.found, 0)


def _shape(found: box_features.Features) -> str:
    """Say what was measured, in words."""
    return (
        f"order {float(found.chebyshev_order):.1f} along the worst of "
        f"{int(found.num_dims)} axes, 0.9 of the mass in {float(found.spread):.2g} of the box, "
        f"mean dimension {float(found.mean_dimension):.2f}, roughness "
        f"{float(found.roughness):.2g}"
    )


def _excess(given: Given, estimate: Any, info: Any) -> float:
    """Return how many times too large the standard error of a short run is."""
    tolerance = max(given.rtol * abs(float(estimate)), given.atol, TINY)
    excess = SURE * float(info.std_error) / tolerance
    return excess if math.isfinite(excess) else 1.0  # no number of points makes it finite


def _bounded(count: float, max_evals: int) -> int:
    return int(min(max(count, 1000), max_evals))


def _power(count: float, most: int) -> int:
    """Return copies of a power of two at or above a count, or the largest that may be."""
    largest = min(int(math.log2(max(most // COPIES, 1))), 20)
    return COPIES * 2 ** min(math.ceil(math.log2(max(count / COPIES, 1))), largest)
