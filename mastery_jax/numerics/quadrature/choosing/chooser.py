"""Which method suits an integrand, and why: measured first, then chosen by rules.

On an interval the number of nodes follows from how the coefficients fall (``plans``). Over a box:

    product grid   smooth along every axis, and Π n_i points are few
    sparse grid    smooth, and a level agrees with those below and with the mean over a lattice
    plain          neighbors have nothing in common: no even point set gains there
    VEGAS+         0.9 of ∫|f| in a tenth of the box or less, and fewer points than quasi
    quasi          otherwise, lattice or Sobol: which, and how many, follows from short runs

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, section 6.2 (automatic
integration); Rice (1976), *Advances in Computers* 15 (the algorithm selection problem).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.core.status import Status, describe
from mastery_jax.numerics.quadrature.choosing import box_plans, features, plans
from mastery_jax.numerics.quadrature.choosing.choice import RANDOM, Choice, ends
from mastery_jax.numerics.quadrature.report import Bound, Spread

__all__ = ["choose", "evaluate", "interval"]

LEAST = 20_000  # calls that a random method must be allowed: those of its short runs
MORE = 8  # times the intervals or points of a run that fell short


def choose(
    fn: Partial,
    lower: Any,
    upper: Any,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    key: Any = None,
    max_evals: int = 2**20,
) -> Choice:
    """Measure an integrand, and choose a method for it. O(n) calls; of a box O(d n).

    A verb of the host: call it once, outside of ``jax.jit``, and use what it returns anywhere.

    Args:
        fn: The integrand: one number to one number, or a point (d) to one number.
        lower: Where to start: a number, or d of them; −∞ and ∞ are places too.
        upper: Where to end; below ``lower`` the sign turns.
        rtol: Relative tolerance; if not given √eps on an interval, and 1e-3 over a box.
        atol: Absolute tolerance: an integral that may be 0 needs one.
        key: For boxes that no grid suits.
        max_evals: The most calls that a random method may be given; at least 20,000.

    Returns:
        The ``Choice``: ``choice.integrate(fn, lower, upper)`` carries it out.

    Raises:
        ValueError: ends that bound nothing or differ in shape, a tolerance that is not positive,
            an integrand that does not give one number, or no key where a random method is chosen.

    Example:
        >>> choice = choose(Partial(lambda x: jnp.abs(x - 0.3)), 0.0, 1.0)
        >>> print(choice)
        gauss_kronrod: f bends at 0.3, so that nodes are put where they are needed
    """
    lower, upper, rtol = _refused_or_ends(fn, lower, upper, rtol, atol)
    if not max_evals >= LEAST:
        raise ValueError(f"chooser.choose: max_evals is {max_evals}, not at least {LEAST}")
    if lower.ndim:
        given = box_plans.Given(fn, lower, upper, rtol, atol, key, max_evals)
        return box_plans.choose(given)
    found, marks, wanted = interval(fn, lower, upper, rtol=rtol, atol=atol)
    plan = plans.best(found, marks, wanted)
    return Choice(plan.method, plan.reason, plan.options, found, int(marks.num_evals))


def evaluate(
    fn: Partial,
    lower: Any,
    upper: Any,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    key: Any = None,
    max_evals: int = 2**20,
) -> tuple[jax.Array, Bound | Spread, Choice]:
    """Choose, integrate, and where that falls short try once more. O(calls of the method).

    The second run is a search of eight times the intervals on an interval; over a box a random
    method of eight times the points, or of ``max_evals``.

    Args:
        fn: As ``choose``.
        lower: As ``choose``.
        upper: As ``choose``.
        rtol: As ``choose``.
        atol: As ``choose``.
        key: As ``choose``; split for each part that is random.
        max_evals: As ``choose``.

    Returns:
        The estimate, its ``Bound`` or ``Spread``, and the ``Choice``; its reason says whether there
        was a second run. The status of the last run says whether the tolerance was met.

    Raises:
        ValueError: as ``choose``.

    Example:
        >>> estimate, bound, choice = evaluate(Partial(jnp.exp), 0.0, 1.0)
        >>> round(float(estimate), 4), choice.method
        (1.7183, 'gauss_legendre')
    """
    first, second, third = (None,) * 3 if key is None else jax.random.split(key, 3)
    asked = {"rtol": rtol, "atol": atol, "max_evals": max_evals}
    choice = choose(fn, lower, upper, **asked, key=first)
    estimate, bound = choice.integrate(fn, lower, upper, key=second)
    status = Status(int(bound.status))
    if status not in (Status.OUT_OF_STEPS, Status.STALLED, Status.DIVERGED):
        return estimate, bound, choice
    again = _again(choice, fn, lower, upper, max_evals, key=third)
    if again is None:
        return estimate, bound, choice
    said = f"{choice.reason}; {choice.method} {describe(status)}, so {again.method} was run"
    choice = again._replace(reason=said, num_evals=choice.num_evals + int(bound.num_evals))
    return *choice.integrate(fn, lower, upper, key=third), choice


def interval(
    fn: Partial, lower: Any, upper: Any, *, rtol: float, atol: float
) -> tuple[features.Features, features.Marks, plans.Wanted]:
    """Return what is measured on an interval, on the host, and what is wanted. O(n) calls."""
    lower, upper = ends(fn, lower, upper)
    found, marks = features.measure(fn, lower, upper)
    low, high = sorted((float(lower), float(upper)))
    wanted = plans.Wanted(rtol, atol, low, high, float(jnp.finfo(lower.dtype).eps))
    found, marks = jax.tree.map(np.asarray, (found, marks))
    return found, marks, wanted


def _again(
    choice: Choice, fn: Partial, lower: Any, upper: Any, max_evals: int, *, key: Any
) -> Choice | None:
    """Return what is run when a choice has fallen short; None where there is nothing left."""
    options, is_interval = choice.options, np.ndim(lower) == 0
    if is_interval:
        num = MORE * options.get("max_intervals", 64 // MORE)
        given = {**{name: options[name] for name in ("rtol", "atol")}, "max_intervals": num}
        if "breakpoints" in options:
            given["breakpoints"] = options["breakpoints"]
        return choice._replace(method="gauss_kronrod", options=given)
    if choice.method not in RANDOM and key is None:
        return None
    return box_plans.larger(choice, max_evals, MORE)


def _refused_or_ends(
    fn: Any, lower: Any, upper: Any, rtol: float | None, atol: float
) -> tuple[Any, Any, float]:
    where = "chooser.choose"
    if not isinstance(fn, Partial):
        raise ValueError(f"{where}: fn is a {type(fn).__name__}, not a jax.tree_util.Partial")
    lower, upper = ends(fn, lower, upper)
    dtype = lower.dtype
    if lower.shape != upper.shape or lower.ndim > 1 or lower.size == 0:
        raise ValueError(
            f"{where}: lower and upper have shapes {lower.shape} and {upper.shape}, not both () "
            "or (d,)"
        )
    for name, end in (("lower", lower), ("upper", upper)):
        if bool(jnp.isnan(end).any()):
            raise ValueError(f"{where}: {name} is {end}, not a number")
    if bool(((lower == upper) & jnp.isinf(lower)).any()):
        raise ValueError(f"{where}: lower and upper are both {lower}, not ends of an interval")
    value = jax.eval_shape(fn, lower)
    if getattr(value, "shape", None) != ():
        raise ValueError(f"{where}: fn(x) is {value}, not one number")
    if rtol is None:
        rtol = 1e-3 if lower.ndim else math.sqrt(float(jnp.finfo(dtype).eps))
    if not rtol > 0:
        raise ValueError(f"{where}: rtol is {rtol}, not greater than 0")
    if not atol >= 0:
        raise ValueError(f"{where}: atol is {atol}, not at least 0")
    return lower, upper, float(rtol)
