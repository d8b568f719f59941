"""A classifier that learns, from a family of integrands, which method is cheapest for each.

    label_i = argmin over methods of the fewest calls with which the method says CONVERGED and is
              within rtol of the reference

The reference is a search by Gauss-Kronrod at a tolerance a thousand times as tight. The classifier
is passed in; its X are the features of ``features.measure``, centered and scaled by the members
that it learns from. What it learned is tried on members that it has not seen, beside the rules of
``plans``, the search for every member, and the best that any choice could do. Each pays for what it
runs: where its method does not converge, the search is paid as well; measuring, which is done once
for a choice and then used again, is not counted.

Source: Rice (1976), *Advances in Computers* 15 (the algorithm selection problem); Bischl et al.
(2016), *Artificial Intelligence* 237, section 2 (the virtual best and the single best solver).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_kronrod
from mastery_jax.numerics.quadrature.choosing import choice, chooser, features, plans
from mastery_jax.numerics.quadrature.choosing.choice import Choice

__all__ = ["Policy", "Report", "Selector", "fit_selector"]

Member = tuple[Partial, Any, Any]

SIZES: dict[str, tuple[dict[str, Any], ...]] = {
    "trapezoid": tuple({"num_intervals": 2**k} for k in range(2, 11)),
    "gauss_legendre": tuple({"num_nodes": n} for n in (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)),
    "gauss_kronrod": tuple({"num_nodes": n, "max_intervals": 128} for n in (15, 21)),
}
"""What is tried of each method, from few calls to many."""


class Policy(NamedTuple):
    """How one way of choosing did on the members held out."""

    accuracy: float  # share whose method is the cheapest
    mean_evals: float  # calls a member, those of a second run among them
    reached: float  # share that ends within the tolerance of the reference


class Report(NamedTuple):
    """What was learned, tried on members that were not learned from."""

    selector: Policy
    rules: Policy  # those of ``chooser``
    search: Policy  # Gauss-Kronrod for every member, without breakpoints: nothing is measured
    oracle: Policy  # the cheapest of all that was tried, over the members that any reaches
    labels: dict[str, int]  # how many of all members each method is cheapest for
    num_train: int
    num_held_out: int

    def __str__(self) -> str:
        """Say it as a small table."""
        rows = [
            f"{name:10} {policy.accuracy:8.2f} {policy.mean_evals:8.1f} {policy.reached:8.2f}"
            for name, policy in zip(self._fields, self[:4], strict=False)
        ]
        return "\n".join([f"{'':10} accuracy    evals  reached", *rows])


class Selector(NamedTuple):
    """A classifier that was fitted, and how its features were scaled."""

    predict: Callable[[Any, Any], Any]
    state: Any
    center: Any
    scale: Any
    num_train: int
    rtol: float

    def choose(self, fn: Partial, lower: Any, upper: Any) -> Choice:
        """Measure an integrand, and choose as was learned. On the host.

        Args:
            fn: One number to one number.
            lower: Where to start.
            upper: Where to end.

        Returns:
            The ``Choice``. A method that cannot serve the integrand, as a fixed rule where an end
            is infinite, is replaced by the search, and the reason says so.
        """
        found, marks, wanted = chooser.interval(fn, lower, upper, rtol=self.rtol, atol=0.0)
        label = int(np.asarray(self.predict(self.state, self._rows([found])))[0])
        plan, said = _planned(label, found, marks, wanted)
        reason = f"{said} of {self.num_train} members that were learned from; {plan.reason}"
        return Choice(plan.method, reason, plan.options, found, int(marks.num_evals))

    def _rows(self, found: Sequence[features.Features]) -> Any:
        return jnp.asarray((_table(found) - self.center) / self.scale)


def fit_selector(
    key: Any,
    family: Partial | Sequence[Member],
    *,
    fit: Callable[[Any, Any], Any],
    predict: Callable[[Any, Any], Any],
    lower: Any = None,
    upper: Any = None,
    rtol: float = 1e-6,
    held_out: float = 0.3,
) -> tuple[Selector, Report]:
    """Learn which method is cheapest for the members of a family. O(members · calls).

    A verb of the host.

    Args:
        key: Consumed: which members are held out.
        family: A ``Partial`` whose leaves have a leading axis, one entry a member; or a sequence
            of (fn, lower, upper). All on intervals.
        fit: ``fit(X, y) -> state``: a classifier of rows X (n, features), y (n,) of whole numbers.
        predict: ``predict(state, X) -> labels``.
        lower: Where all members of a ``Partial`` start.
        upper: Where they end.
        rtol: The tolerance that a method has to reach.
        held_out: Share of the members that is not learned from, in (0, 1).

    Returns:
        The ``Selector``, and the ``Report`` on the members held out.

    Raises:
        ValueError: a tolerance that is not positive, a share outside (0, 1), a ``Partial`` without
            leaves or ends, fewer than four members, or a member whose reference is not found.

    Example:
        >>> waves = Partial(lambda rate, x: jnp.cos(rate * x) + 2, jnp.linspace(1.0, 60.0, 12))
        >>> nearest = {
        ...     "fit": lambda X, y: (X, y),
        ...     "predict": lambda state, X: state[1][
        ...         jnp.square(X[:, None] - state[0][None]).sum(axis=2).argmin(axis=1)
        ...     ],
        ... }
        >>> given = {**nearest, "lower": 0.0, "upper": 1.0, "rtol": 1e-3}
        >>> selector, report = fit_selector(jax.random.key(0), waves, **given)
        >>> report.oracle.mean_evals <= report.search.mean_evals
        True
    """
    members = _members(family, lower, upper, rtol, held_out)
    measured = [chooser.interval(*one, rtol=rtol, atol=0.0) for one in members]
    references = np.array([_reference(i, one, rtol) for i, one in enumerate(members)])
    known = zip(members, measured, references, strict=True)
    costs = np.array([_costs(*one, rtol) for one in known])
    names = list(plans.PLANS)
    search = names.index("gauss_kronrod")
    labels = np.where(np.isfinite(costs).any(axis=1), costs.argmin(axis=1), search)
    order = np.asarray(jax.random.permutation(key, len(members)))
    count = min(max(round(held_out * len(members)), 1), len(members) - 2)
    test, train = order[:count], order[count:]
    rows = _table([measured[i][0] for i in train])
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    X, y = jnp.asarray((rows - center) / scale), jnp.asarray(labels[train], jnp.int32)
    selector = Selector(predict, fit(X, y), center, scale, len(train), rtol)
    held = [measured[i][0] for i in test]
    learned = np.asarray(predict(selector.state, selector._rows(held))).astype(int)
    ruled = [names.index(plans.best(*measured[i]).method) for i in test]

    def policy(chosen: Any) -> Policy:
        runs = [
            _paid(members[i], measured[i], float(references[i]), int(label), rtol)
            for i, label in zip(test, chosen, strict=True)
        ]
        evals, reached = np.mean(np.array(runs, float), axis=0)
        return Policy(
            float(np.mean(np.asarray(chosen) == labels[test])), float(evals), float(reached)
        )

    bare = [_searched(members[i], float(references[i]), rtol) for i in test]
    evals, reached = np.mean(np.array(bare, float), axis=0)
    alone = Policy(float(np.mean(labels[test] == search)), float(evals), float(reached))
    tried = (policy(learned), policy(ruled), alone)
    best = costs[test].min(axis=1)
    is_reached = np.isfinite(best)
    spent = float(best[is_reached].mean()) if is_reached.any() else math.inf
    oracle = Policy(1.0, spent, float(is_reached.mean()))
    counts = {name: int((labels == i).sum()) for i, name in enumerate(names)}
    return selector, Report(*tried, oracle, counts, len(train), len(test))


def _planned(
    label: int, found: features.Features, marks: features.Marks, wanted: plans.Wanted
) -> tuple[plans.Plan, str]:
    """Return the plan of the method of that number; the search where it does not suit."""
    name = list(plans.PLANS)[label]
    plan = plans.PLANS[name](found, marks, wanted)
    if math.isinf(plan.num_evals):
        return plans.kronrod(found, marks, wanted), f"{name} does not suit, though it is the choice"
    return plan, f"{name} is the choice"


def _paid(
    member: Member, measured: Any, reference: float, label: int, rtol: float
) -> tuple[float, bool]:
    """Return the calls that a choice costs, and whether it ends within the tolerance."""
    plan, _ = _planned(label, *measured)
    estimate, bound = choice.run(plan.method, *member, options=plan.options)
    evals = float(bound.num_evals)
    if bound.status != Status.CONVERGED and plan.method != "gauss_kronrod":
        plan = plans.kronrod(*measured)
        estimate, bound = choice.run(plan.method, *member, options=plan.options)
        evals += float(bound.num_evals)
    return evals, abs(float(estimate) - reference) <= rtol * abs(reference)


def _searched(member: Member, reference: float, rtol: float) -> tuple[float, bool]:
    """Return what the search costs that knows of no place, and whether it ends as near."""
    options = {**SIZES["gauss_kronrod"][-1], "rtol": rtol, "atol": 0.0}
    estimate, bound = choice.run("gauss_kronrod", *member, options=options)
    return float(bound.num_evals), abs(float(estimate) - reference) <= rtol * abs(reference)


def _members(
    family: Any, lower: Any, upper: Any, rtol: float, held_out: float
) -> list[tuple[Partial, Any, Any]]:
    where = "selector.fit_selector"
    if not rtol > 0:
        raise ValueError(f"{where}: rtol is {rtol}, not greater than 0")
    if not 0 < held_out < 1:
        raise ValueError(f"{where}: held_out is {held_out}, not between 0 and 1")
    if isinstance(family, Partial):
        leaves = jax.tree.leaves(family)
        if not leaves or any(np.ndim(leaf) == 0 or len(leaf) != len(leaves[0]) for leaf in leaves):
            raise ValueError(
                f"{where}: family has no leaves of one leading axis, one entry a member"
            )
        if lower is None or upper is None:
            raise ValueError(f"{where}: lower and upper are {lower} and {upper}, not two numbers")
        rows = [jax.tree.map(lambda leaf, i=i: leaf[i], family) for i in range(len(leaves[0]))]
        members = [(fn, lower, upper) for fn in rows]
    else:
        members = list(family)
    if len(members) < 4:
        raise ValueError(f"{where}: family has {len(members)} members, not at least 4")
    return [(fn, *choice.ends(fn, *pair)) for fn, *pair in members]


def _reference(index: int, member: Member, rtol: float) -> float:
    """Return the integral at a thousandth of the tolerance, or what the dtype allows."""
    fn, lower, upper = member
    _, marks = features.measure(fn, lower, upper)
    places = np.concatenate([np.asarray(marks.jumps), np.asarray(marks.kinks)])
    breaks = jnp.asarray(np.where(np.isfinite(places), places, np.asarray(lower)), lower.dtype)
    tight = max(rtol / 1000, 100 * float(jnp.finfo(lower.dtype).eps))
    options = {"breakpoints": breaks, "rtol": tight, "max_intervals": 1024}
    estimate, bound = gauss_kronrod.integrate(fn, lower, upper, **options)
    if float(bound.error) > rtol / 10 * abs(float(estimate)) or not np.isfinite(estimate):
        raise ValueError(
            f"selector.fit_selector: member {index} has the integral {float(estimate):.6g} to "
            f"{float(bound.error):.1e}, not to a tenth of rtol = {rtol}"
        )
    return float(estimate)


def _costs(member: Member, measured: Any, reference: float, rtol: float) -> list[float]:
    """Return the fewest calls by which each method reaches the tolerance; ∞ where none does."""

    def cost(name: str, options: dict[str, Any]) -> float:
        estimate, bound = choice.run(name, *member, options=options)
        is_close = abs(float(estimate) - reference) <= rtol * abs(reference)
        is_good = bool(bound.status == Status.CONVERGED) and is_close
        return float(bound.num_evals) if is_good else math.inf

    costs = []
    for name, sizes in SIZES.items():
        asked = {"rtol": rtol, "atol": 0.0}
        tried = (cost(name, {**size, **asked}) for size in sizes)
        least = next((each for each in tried if math.isfinite(each)), math.inf)
        plan = plans.PLANS[name](*measured)
        planned = cost(name, plan.options) if math.isfinite(plan.num_evals) else math.inf
        costs.append(min(least, planned))
    return costs


def _table(found: Sequence[features.Features]) -> Any:
    """Return the features as rows."""
    return np.array([[float(each) for each in one] for one in found])
