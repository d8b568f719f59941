"""Rules of more and more nodes, until they agree or the joules are spent.

    n = …, ⌈s/4⌉, ⌈s/2⌉, s nodes an axis, of Gauss-Legendre,    error = the distance of the last two

s is the largest number of nodes for which all of them together can be paid, so that a larger budget
never ends with fewer nodes. They stop earlier where two rules agree within the tolerance, or within
the rounding of Σ |w f|. On an interval, where the distance falls by less than 8 from one rule to
the next, which it does at kinks and singular ends, Gauss-Kronrod takes what is left. From four
dimensions on, and where a box has no end, the points are a randomly shifted lattice.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, sections 2.7 and 6.2.
"""

import math
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_kronrod, gauss_legendre, product_grid, report
from mastery_jax.numerics.quadrature.energy.task import (
    COPIES,
    CUT,
    MOST_NODES,
    Task,
    cast,
    num_payable,
    price,
)
from mastery_jax.numerics.quadrature.monte_carlo import quasi

__all__ = ["Found", "climb"]

LEAST_NODES = 8  # with fewer, two rules may agree by chance
SLOW = 8  # a distance that falls by less, from n to 2n, falls like a power of n, not exponentially
SLOW_FROM = 16  # nodes
LEAST_CUTS, MOST_CUTS = 4, 127
FIRST_EACH, MOST_EACH = 32, 2**16  # points of a copy of the lattice
AT_ROUNDING = 8  # units of rounding of Σ |w f|
KRONROD_LIMIT = 50  # units of rounding below which it cannot tell errors


class Found(NamedTuple):
    """What came of it, on the host."""

    estimate: Any
    error: float  # estimated, absolute, of the largest entry
    num_evals: int
    joules: float  # modelled
    rule: str
    dtype: str
    status: Status
    is_rounded: bool  # rounding forbids a smaller error in this dtype


def climb(task: Task, dtype: Any, *, joules: float) -> Found:
    """Integrate by larger and larger rules in a dtype. O(nodes) calls.

    Args:
        task: What is integrated.
        dtype: Of the points, and of the floats inside the integrand.
        joules: What may be spent; ∞ for all that the tolerance needs.

    Returns:
        ``Found``, whose ``joules`` are at most those given. CONVERGED within the tolerance, or
        where that is 0 within rounding; STALLED where rounding forbids it; OUT_OF_STEPS where the
        joules or the largest rule end first; otherwise the status of the rule.

    Example:
        >>> from mastery_jax.numerics.quadrature.energy import devices, task as tasks
        >>> iot = devices.DEVICES["iot"]
        >>> unit = np.zeros(()), np.ones(())
        >>> task = tasks.make(Partial(jnp.exp), *unit, device=iot, dtypes=[np.single])
        >>> found = climb(task._replace(rtol=1e-5), np.single, joules=math.inf)
        >>> found.rule, found.num_evals, found.error < 1e-5
        ('gauss_legendre of 8 nodes', 15, True)
    """
    task = task._replace(fn=cast(task.fn, dtype))
    ways = {"quasi": _random, "gauss_kronrod": _adaptive}
    return ways.get(task.rule, _fixed)(task, dtype, price(task, dtype), joules)


@jax.jit
def _sums(fn: Partial, points: Any, weights: Any) -> tuple[Any, Any]:
    """Return Σ w f and |Σ w |f||, for weights of one sign."""

    def both(x: Any) -> Any:
        value = jnp.asarray(fn(x), weights.dtype)
        return jnp.stack([value, jnp.abs(value)])

    fold, size = report.weighted(Partial(both), points, weights)
    return fold, jnp.abs(size)


def _sizes(dim: int, num_calls: float) -> list[int]:
    """Return numbers of nodes an axis, each half of the next, that can all be paid."""

    def chain(last: int) -> list[int]:
        return [last] if last == 1 else [*chain(-(-last // 2)), last]

    low, high = 1, MOST_NODES[dim]
    while low < high:
        middle = (low + high + 1) // 2
        is_payable = sum(n**dim for n in chain(middle)) <= num_calls
        low, high = (middle, high) if is_payable else (low, middle - 1)
    return chain(low)


def _fixed(task: Task, dtype: Any, cost: Callable[[str], float], joules: float) -> Found:
    rule, dim, eps = task.rule, task.dim, float(jnp.finfo(dtype).eps)
    each, cutting = cost(rule), LEAST_CUTS * CUT * cost("gauss_kronrod")
    half, middle = (task.upper - task.lower) / 2, (task.upper + task.lower) / 2
    best, gap, count = None, math.inf, 0
    for n in _sizes(dim, num_payable(joules, each)):
        x, weights = product_grid.make(gauss_legendre.nodes(n), dim=dim)
        points = (middle + half * x).reshape(len(weights), *task.lower.shape)
        given = (jnp.asarray(a, dtype) for a in (points, half.prod() * weights))
        estimate, size = _sums(task.fn, *given)
        count, before = count + n**dim, gap
        apart = math.inf if best is None else _largest(estimate - best.estimate)
        gap = apart if math.isfinite(apart) else math.inf
        is_rounded = gap <= AT_ROUNDING * eps * _largest(size)
        best = Found(
            estimate=estimate,
            error=max(gap, eps * _largest(estimate)),
            num_evals=count,
            joules=count * each,
            rule=f"{rule} of {n} nodes" + (" an axis" if dim > 1 else ""),
            dtype=str(np.dtype(dtype)),
            status=_ending(task, estimate, gap, is_rounded),
            is_rounded=is_rounded,
        )
        if n >= LEAST_NODES and (best.status is Status.CONVERGED or is_rounded):
            return best
        can_cut = task.lower.ndim == 0 and joules - best.joules >= cutting
        is_last = n == MOST_NODES[dim]
        if can_cut and (is_last or (n >= SLOW_FROM and gap > before / SLOW)):
            # Less a few units of rounding, which the sum of the two may be off by.
            cut = _adaptive(task, dtype, cost, (1 - 1e-12) * joules - best.joules)
            return cut._replace(num_evals=count + cut.num_evals, joules=best.joules + cut.joules)
    return typing.cast(Found, best)


def _adaptive(task: Task, dtype: Any, cost: Callable[[str], float], joules: float) -> Found:
    each = cost("gauss_kronrod")
    cuts = int(min(num_payable(joules, each), MOST_CUTS * CUT)) // CUT
    limit = KRONROD_LIMIT * float(jnp.finfo(dtype).eps)
    ends = (jnp.asarray(end, dtype) for end in (task.lower, task.upper))
    estimate, bound = gauss_kronrod.integrate(
        task.fn, *ends, rtol=max(task.rtol, limit), atol=task.atol, max_intervals=cuts + 1
    )
    count, status, error = int(bound.num_evals), Status(int(bound.status)), _largest(bound.error)
    is_met = error <= max(task.atol, task.rtol * _largest(estimate))
    # Where its tolerance was met and ours was not, rounding stands between them.
    is_rounded = status is Status.STALLED or (status is Status.CONVERGED and not is_met)
    if is_met or is_rounded:
        is_done = is_met or task.rtol == 0
        status = Status.CONVERGED if is_done else Status.STALLED
    return Found(
        estimate=estimate,
        error=error,
        num_evals=count,
        joules=count * each,
        rule=f"gauss_kronrod of 21 nodes in {count // CUT + 1} intervals",
        dtype=str(np.dtype(dtype)),
        status=status,
        is_rounded=is_rounded,
    )


def _random(task: Task, dtype: Any, cost: Callable[[str], float], joules: float) -> Found:
    price_each = cost("quasi")
    most = int(min(num_payable(joules, price_each), COPIES * MOST_EACH)) // COPIES
    each = FIRST_EACH if math.isinf(joules) else 1 << (most.bit_length() - 1)
    ends = [jnp.asarray(end, dtype) for end in (task.lower, task.upper)]
    count = 0
    while True:
        count += COPIES * each
        key = jax.random.fold_in(task.key, each)
        estimate, info = quasi.integrate(key, task.fn, *ends, num_samples=COPIES * each)
        error = _largest(info.half_width)
        is_met = error <= max(task.atol, task.rtol * _largest(estimate))
        status = Status.CONVERGED if is_met else Status.OUT_OF_STEPS
        if Status(int(info.status)) in (Status.NOT_FINITE, Status.BAD_INPUT):
            status = Status(int(info.status))
        if status is not Status.OUT_OF_STEPS or 4 * each > most or not math.isinf(joules):
            break
        each *= 4
    return Found(
        estimate=estimate,
        error=error,
        num_evals=count,
        joules=count * price_each,
        rule=f"quasi of {COPIES} lattices of {each} points",
        dtype=str(np.dtype(dtype)),
        status=status,
        is_rounded=False,
    )


def _largest(values: Any) -> float:
    return float(np.abs(np.asarray(values)).max())


def _ending(task: Task, estimate: Any, gap: float, is_rounded: bool) -> Status:
    if not np.isfinite(np.asarray(estimate)).all():
        return Status.NOT_FINITE
    is_met = gap <= max(task.atol, task.rtol * _largest(estimate))
    if is_met or (is_rounded and task.rtol == 0):
        return Status.CONVERGED
    return Status.STALLED if is_rounded else Status.OUT_OF_STEPS
