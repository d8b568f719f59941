"""What is compared: metrics by their names, and which way of each is better."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mastery_jax.workflow import spelling
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.errors import RunError

__all__ = ["Metric", "choose", "metric"]

_HIGHER = ("accuracy", "auc", "f1", "precision", "recall", "r2", "elbo", "reward", "log_prob")
_LOWER = ("loss", "error", "rmse", "mse", "mae", "perplexity", "brier", "nll")
_SIGN = {"max": 1, "min": -1, "": 0}


class Metric(NamedTuple):
    """What is compared, and which way is better."""

    name: str
    mode: str  # max, min, or empty where that is unknown: then no group is best

    @property
    def sign(self) -> int:
        """Return 1 where more is better, -1 where less is, 0 where that is unknown."""
        return _SIGN[self.mode]


def metric(text: str, best: Iterable[str] = ()) -> Metric:
    """Read ``NAME``, ``NAME:max`` or ``NAME:min``.

    Args:
        text: What the user wrote.
        best: Such texts from the configs, which know better than the name.

    Raises:
        RunError: What follows the colon is neither.
    """
    name, colon, mode = text.partition(":")
    if colon and mode not in ("max", "min"):
        raise RunError(f"metric {text}: after the colon stands max or min, not {mode or 'nothing'}")
    if not colon:
        said = {known: way for known, _, way in (each.partition(":") for each in best)}
        parts = f"_{name}_"
        higher = any(f"_{word}_" in parts for word in _HIGHER)
        lower = any(f"_{word}_" in parts for word in _LOWER)
        mode = said.get(name) or ("max" if higher > lower else "min" if lower > higher else "")
    return Metric(name, mode)


def choose(
    compared: Sequence[Member],
    wanted: Sequence[str] = (),
    objectives: Sequence[str] = (),
    first: str = "",
) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
    """Return the objectives, and all metrics: those wanted and whatever else is asked about.

    Args:
        compared: See ``members.members``.
        wanted: By default those that begin with ``test_``, or else all.
        objectives: By default those that the sweeps seek, where they seek several.
        first: The metric that decides which groups come first, if any.

    Raises:
        RunError: A metric was never recorded, or it is not known which way is better.
    """
    names = dict.fromkeys(name for member in compared for name in member.metrics)
    if not names:
        raise RunError("there is nothing to compare: no metric has been recorded yet")
    goals = dict.fromkeys(goal for member in compared for goal in member.goals)
    if not objectives and len(goals) > 1 and all(goal.partition(":")[0] in names for goal in goals):
        objectives = tuple(goals)
    texts = (member.fields.get("best") for member in compared)
    best = dict.fromkeys((*goals, *(text for text in texts if isinstance(text, str) and text)))
    tested = [name for name in names if name.startswith("test_")]
    sought = tuple(metric(text, best) for text in objectives)
    decides = (metric(first, best),) if first else ()
    found = {m.name: m for m in (metric(text, best) for text in wanted or tested or names)}
    found |= {m.name: m for m in (*sought, *decides)}
    _refuse(found.values(), (*sought, *decides), names)
    if len({m.name for m in sought}) == 1:
        raise RunError(f"{sought[0].name} is one objective; a Pareto table needs two or more")
    return sought, tuple(found.values())


def _refuse(found: Iterable[Metric], ranked: Iterable[Metric], known: Iterable[str]) -> None:
    """Refuse what was never recorded, and an order by a metric of no known direction."""
    for name, _ in found:
        if name not in known:
            hint = spelling.hint(name, known)
            they = f"{hint} They" if hint else "; they"
            raise RunError(
                f"{name} is not a metric of these runs{they} report {', '.join(sorted(known))}"
            )
    for name, mode in ranked:
        if not mode:
            raise RunError(f"which way is {name} better? write {name}:max or {name}:min")
