"""Tables of runs and of the lanes of sweeps: means, intervals and paired differences over seeds.

Runs are grouped by the fields in which they differ. Within a group the values of one seed are
averaged first, so that n counts seeds; ``estimates`` has the interval of their mean. The difference
of two groups is taken seed by seed and has the same interval: what a seed does to both groups drops
out. An interval stands for one comparison, and the best group is best partly by luck: with many
groups read the differences as too favorable to it, also those that are tested.

A lane that failed has no end worth comparing. One that early stopping ended has, but at fewer steps
than those that went on, and it was chosen for being bad: in a mean with them it would count for
what it would not have been. Both are left out of the means, counted, and told; stopped ones can be
asked for.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow.compare import pareto
from mastery_jax.workflow.compare.estimates import Estimate, PairedTest, estimate, holm, paired
from mastery_jax.workflow.compare.members import Member, confirm
from mastery_jax.workflow.compare.metrics import Metric, choose
from mastery_jax.workflow.errors import RunError

__all__ = ["BROKEN", "Row", "Table", "differing", "table", "top"]

BROKEN = ("failed", "nan", "damaged")  # their last numbers are of no state worth comparing
_ENDED = ("finished", "done")
# Of float32, half a unit of the last place in each of four numbers: one row of a test set more for
# every seed is the same difference, and no proof that it never spreads.
_ROUNDING = 2.0**-22
_RUNNER = ("evaluate_every", "save_every", "best")  # how often one looked is no difference


class Row(NamedTuple):
    """One group."""

    fields: Mapping[str, Any]
    members: tuple[str, ...]
    counted: tuple[str, ...]  # those whose values enter the means
    num_broken: int  # members that failed or met NaN; their values are left out
    num_stopped: int  # members that early stopping ended; the same, unless they are asked for
    values: Mapping[str, Mapping[Any, float]]  # metric -> seed -> value, NaN where none is left
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]  # to the reference group of the metric, seed by seed
    tests: Mapping[str, PairedTest]  # of these differences, where asked for
    is_front: bool  # no group is better in every objective, or as good and better in one


class Table(NamedTuple):
    """Groups in the order of their fields, or the best first."""

    by: tuple[str, ...]
    over: str
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    reference: Mapping[str, int]  # metric -> the row with which others are compared
    notes: tuple[str, ...]  # what a reader must know
    objectives: tuple[Metric, ...] = ()  # two or more, or none
    front: tuple[Row, ...] = ()  # the groups that none dominates
    first: Metric | None = None  # by which the best groups come first
    is_tested: bool = False

    @property
    def shows_p(self) -> bool:
        """Say whether any difference could be tested, of those that were to be."""
        return any(not math.isnan(test.p) for row in self.rows for test in row.tests.values())


def table(
    compared: Sequence[Member],
    *,
    by: Sequence[str] = (),
    over: str = "seed",
    metrics: Sequence[str] = (),
    best: str = "",
    objectives: Sequence[str] = (),
    test: bool = False,
    include_stopped: bool = False,
) -> Table:
    """Group members and compare the groups. Cost: O(n log n) for n members.

    Args:
        compared: See ``members.members``.
        by: Paths to group by, or ``config`` or ``run``; by default every field that differs
            between the members, except ``over``.
        over: The path whose values are repetitions.
        metrics: ``NAME`` or ``NAME:max``; by default those that begin with ``test_``, or else
            all.
        best: ``NAME`` or ``NAME:max``: the best groups come first, ties in the order of lanes.
        objectives: Two or more metrics in which groups are held against each other at once; by
            default those that the sweeps seek, where they seek several.
        test: Test the paired differences.
        include_stopped: Let lanes that were stopped early count in the means.

    Raises:
        RunError: There is nothing to compare, or a field or a metric does not exist.
    """
    if not compared:
        raise RunError("there is nothing to compare: the sweep has no lanes yet")
    apart = differing(compared)
    by = tuple(by) or _groups(compared, over, apart)
    confirm((*by, over), {path for member in compared for path in member.fields}, "a field")
    sought, chosen = choose(compared, metrics, objectives, best)
    out = BROKEN if include_stopped else (*BROKEN, "stopped")
    rows = [_row(g, by, over, [m.name for m in chosen], out) for g in _grouped(compared, by)]
    first = next(m for m in chosen if m.name == best.partition(":")[0]) if best else None
    if first:
        place = {member.label: index for index, member in enumerate(compared)}
        rows.sort(key=lambda row: (_rank(row, first), min(place[each] for each in row.members)))
    reference = {m.name: _reference(rows, m) for m in chosen}
    rows = _compared(rows, reference, test)
    if sought:
        points = [[m.sign * row.estimates[m.name].mean for m in sought] for row in rows]
        held = pareto.front(points)
        rows = [row._replace(is_front=is_so) for row, is_so in zip(rows, held, strict=True)]
    front = tuple(row for row in rows if row.is_front)
    made = Table(by, over, chosen, tuple(rows), reference, (), sought, front, first, test)
    return made._replace(notes=tuple(_notes(made, compared, apart, include_stopped)))


def top(made: Table, count: int) -> Table:
    """Return the first rows of a table, and a note of how many there are."""
    if count >= len(made.rows):
        return made
    order = "best" if made.first else "first"
    note = f"the {order} {count} of {len(made.rows)} groups"
    reference = {name: at for name, at in made.reference.items() if at < count}
    return made._replace(rows=made.rows[:count], reference=reference, notes=(note, *made.notes))


def differing(compared: Sequence[Member]) -> dict[str, None]:
    """Return the paths whose values differ between members, in order. Cost: O(members)."""
    first = compared[0].fields
    differ = set()
    for member in compared:
        fields = member.fields
        for path, value in fields.items():
            if path not in differ and (
                path not in first or (value is not first[path] and repr(value) != repr(first[path]))
            ):
                differ.add(path)
        if fields.keys() != first.keys():
            differ |= first.keys() - fields.keys()
    paths = dict.fromkeys(path for member in compared for path in member.fields)
    return {path: None for path in paths if path in differ}


def _groups(compared: Sequence[Member], over: str, apart: Collection[str]) -> tuple[str, ...]:
    """Return the fields that differ; the runs themselves where nothing does, not even a seed.

    Lanes of a population end with fields that they took from each other: equal ones are no
    repetitions, and each lane is a group.
    """
    found = tuple(path for path in apart if path not in (over, "config", "run", *_RUNNER))
    if len(compared) > 1 and any(member.is_of_population for member in compared):
        return ("run", *found)
    return found if found or over in apart or len(compared) == 1 else ("run",)


def _grouped(compared: Sequence[Member], by: Sequence[str]) -> Iterable[list[Member]]:
    """Return the members that share the fields, in the order of these."""
    groups: dict[str, list[Member]] = {}
    for member in sorted(compared, key=lambda m: [_order(m.fields.get(path)) for path in by]):
        groups.setdefault(repr([member.fields.get(path) for path in by]), []).append(member)
    return groups.values()


def _rank(row: Row, which: Metric) -> tuple[bool, float]:
    """Sort the best first, and last what has no mean."""
    found = row.estimates[which.name]
    return (not found.n, -which.sign * found.mean if found.n else 0.0)


def _order(value: Any) -> tuple[int, float, str]:
    """Sort numbers by size, and before everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, value, "")
    return (1, 0.0, str(value))


def _row(
    group: Sequence[Member],
    by: Sequence[str],
    over: str,
    names: Sequence[str],
    out: Collection[str],
) -> Row:
    counted = [member for member in group if member.state not in out]
    values: dict[str, dict[Any, float]] = {}
    for name in names:
        seeds: dict[Any, list[float]] = {member.fields.get(over): [] for member in group}
        for member in counted:
            seeds[member.fields.get(over)].append(member.metrics.get(name, math.nan))
        values[name] = {seed: estimate(found).mean for seed, found in seeds.items()}
    return Row(
        fields={path: group[0].fields.get(path) for path in by},
        members=tuple(member.label for member in group),
        counted=tuple(member.label for member in counted),
        num_broken=sum(member.state in BROKEN for member in group),
        num_stopped=sum(member.state == "stopped" for member in group),
        values=values,
        estimates={name: estimate(values[name].values()) for name in names},
        differences={},
        tests={},
        is_front=False,
    )


def _reference(rows: Sequence[Row], which: Metric) -> int:
    """Return the best group, if possible one where nothing broke; without a mode, the first."""
    name = which.name
    alive = [i for i, row in enumerate(rows) if row.estimates[name].n]
    whole = [i for i in alive if rows[i].estimates[name].n == len(rows[i].values[name])]
    whole = [i for i in whole if not rows[i].num_broken]
    return max(whole or alive or [0], key=lambda i: which.sign * rows[i].estimates[name].mean)


def _compared(rows: Sequence[Row], reference: Mapping[str, int], test: bool) -> list[Row]:
    """Return the rows with their differences to the reference of each metric, and tests."""
    differences: list[dict[str, Estimate]] = [{} for _ in rows]
    tests: list[dict[str, PairedTest]] = [{} for _ in rows]
    for name, index in reference.items():
        other, ps = rows[index].values[name], []
        others = [at for at in range(len(rows)) if at != index]
        for at in others:
            pairs = [(x, other[seed]) for seed, x in rows[at].values[name].items() if seed in other]
            found = [x - y for x, y in pairs]
            differences[at][name] = estimate(found)
            size = max((abs(x) for pair in pairs for x in pair if math.isfinite(x)), default=0.0)
            ps.append(paired(found, rounding=size * _ROUNDING) if test else math.nan)
        if test:
            for at, p, adjusted in zip(others, ps, holm(ps), strict=True):
                tests[at][name] = PairedTest(p, adjusted)
    added = zip(rows, differences, tests, strict=True)
    return [row._replace(differences=found, tests=held) for row, found, held in added]


def _notes(
    made: Table, compared: Sequence[Member], apart: Collection[str], include_stopped: bool
) -> list[str]:
    """Say what the numbers hide."""
    over, rows, whole = made.over, made.rows, len(compared)
    notes = []
    within = [path for path in _groups(compared, over, apart) if path not in (*made.by, "run")]
    if within:
        notes.append(f"{', '.join(within)} also differ: averaged within each {over}")
    repeated = whole > sum(len(row.values[made.metrics[0].name]) for row in rows)
    if repeated and not within:
        notes.append(f"some runs are alike, {over} and all: averaged before n is counted")
    if "run" in made.by and any(member.is_of_population for member in compared):
        notes.append("lanes of a population took states and fields of each other: one row each")
    broken = sum(row.num_broken for row in rows)
    stopped = sum(row.num_stopped for row in rows)
    if broken:
        notes.append(f"{broken} of {whole} failed or met NaN: left out of the means")
    if stopped and include_stopped:
        notes.append(f"{stopped} of {whole} were stopped early: their last values count")
    elif stopped:
        bare = sum(not row.counted for row in rows if row.num_stopped)
        lost = f", so that {bare} of {len(rows)} rows have none" if bare else ""
        notes.append(
            f"{stopped} of {whole} were stopped early: left out of the means{lost}; "
            "--include-stopped lets them count"
        )
    counted = {label for row in rows for label in row.counted}
    measured = [member for member in compared if member.label in counted]
    for name, _ in made.metrics:
        if odd := sum(not math.isfinite(m.metrics.get(name, 0.0)) for m in measured):
            notes.append(f"{odd} values of {name} are not finite: left out of the means")
    if waiting := sum(m.state not in (*_ENDED, *BROKEN, "stopped") for m in compared):
        notes.append(f"{waiting} of {whole} have not ended: their last values count")
    counts = [row.estimates[m.name].n for row in rows for m in made.metrics]
    if 1 in counts:
        some = "some groups have" if max(counts) > 1 else "there is"
        notes.append(f"{some} one {over} only: no interval")
    untested = sum(math.isnan(test.p) for row in rows for test in row.tests.values())
    if untested:
        notes.append(f"{untested} differences have fewer than two pairs or no spread: no p")
    return notes
