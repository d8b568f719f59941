"""What a sweep would do: which programs, which lanes, how many bytes; found by tracing only.

Swept floats and seeds are *lanes* of one compiled program; every combination of the other swept
fields is a *program* of its own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mastery_jax.workflow import config, launch, program, trace, usage
from mastery_jax.workflow.config import Loaded, Sweep
from mastery_jax.workflow.experiment import Spec
from mastery_jax.workflow.goals import confirm_measured
from mastery_jax.workflow.sweep import memory
from mastery_jax.workflow.sweep.budget import Asked, Budget, spend
from mastery_jax.workflow.sweep.search import Search, Stop
from mastery_jax.workflow.sweep.store import show

__all__ = ["Group", "Lane", "Plan", "Strategy", "Traced", "lay", "plan"]

Strategy = Literal["auto", "loop", "vmap", "map"]
ACTING = frozenset({"num_steps", "evaluate_every"})  # the fields of the runner that a sweep heeds


class Lane(NamedTuple):
    """One point of the grid."""

    number: int
    fields: dict[str, Any]  # swept path -> value
    value: Any  # the whole config of this lane


class Group(NamedTuple):
    """The lanes that share a program."""

    value: Any  # with this group's constants
    constants: dict[str, Any]  # swept path -> value, of the fields that are not lanes
    lanes: tuple[Lane, ...]
    dataset: Any
    spec: Spec
    state_bytes: int  # of one lane


class Plan(NamedTuple):
    """A sweep, before it is run."""

    loaded: Loaded
    fields: dict[str, tuple[Any, ...]]  # swept path -> its values, in the order they appear
    groups: tuple[Group, ...]
    without_effect: tuple[str, ...]
    strategy: str  # loop, vmap or map
    devices: tuple[str, ...]
    width: int  # lanes in one program of vmap and map
    at_once: int  # lanes that loop runs at a time: one a device, or a core of a single CPU
    stop: Stop | None
    asked: Asked | None  # of a sampler; then the groups hold the points that were given

    @property
    def num_lanes(self) -> int:
        """Return the number of lanes of all programs, those that a sampler will choose too."""
        return self.asked.lanes if self.asked else sum(len(group.lanes) for group in self.groups)

    @property
    def datasets(self) -> tuple[Any, ...]:
        """Return what the programs are fed, one each."""
        return tuple(group.dataset for group in self.groups)

    @property
    def budget(self) -> Budget:
        """Return how many lanes go on at each rung, and how many steps that takes."""
        programs = [(len(group.lanes), group.value.num_steps) for group in self.groups]
        return spend(self.stop, programs)

    def chunk(self, group: Group) -> int:
        """Return how many lanes of a program one device holds at a time."""
        if self.strategy == "loop":
            return 1
        count = len(self.devices)
        return memory.narrow(self.width, len(group.lanes), count) // count

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        budget = self.budget
        return {
            "config": self.loaded.name,
            "lanes": self.num_lanes,
            "strategy": self.strategy,
            "devices": self.devices,
            "width": self.width,
            "at_once": self.at_once if self.strategy == "loop" else self.width,
            "fields": self.fields,
            "programs": [
                {
                    "constants": group.constants,
                    "lanes": len(group.lanes),
                    "bytes_per_lane": group.state_bytes,
                    "lanes_per_device": self.chunk(group),
                    "num_steps": group.value.num_steps,
                    "share_of_steps": steps / max(1, len(group.lanes) * group.value.num_steps),
                }
                for group, steps in zip(self.groups, budget.steps, strict=True)
            ],
            "rungs": [rung._asdict() for rung in budget.rungs],
            "share_of_steps": budget.share,
            "sampler": self.asked and self.asked._asdict(),
            "without_effect": self.without_effect,
        }

    def describe(self) -> str:
        """Return the plan as lines of text."""
        programs = f"{len(self.groups)} program{'s' if len(self.groups) > 1 else ''}"
        head = f"{self.loaded.name}: {self.num_lanes} lanes in {programs}, strategy {self.strategy}"
        lanes = set(config.lane_paths(self.loaded.value))
        lines = [f"{head} on {len(self.devices)} x {self.devices[0]}"]
        if self.asked:
            lines.append(f"  {self.asked.describe(sum(len(g.lanes) for g in self.groups))}")
        lines += [self._program(number, group) for number, group in enumerate(self.groups)]
        if self.strategy == "loop":
            where = "device" if self.at_once == len(self.devices) else "thread"
            lines.append(f"  at a time: {self.at_once} lanes, one a {where}")
        for title, keep in (("lanes", True), ("programs", False)):
            swept = [f"{k} ({len(v)})" for k, v in self.fields.items() if (k in lanes) == keep]
            lines.append(f"  swept as {title}: {', '.join(swept) or '-'}")
        if self.stop:
            lines.append(f"  {self.budget.describe(self.stop)}")
        lines.append(f"  without effect: {', '.join(self.without_effect) or '-'}")
        return "\n".join(lines)

    def _program(self, number: int, group: Group) -> str:
        made = ", ".join(f"{k}={show(v)}" for k, v in group.constants.items()) or "-"
        chunk = "" if self.strategy == "loop" else f", {self.chunk(group)} at a time a device"
        return (
            f"  program {number}: {len(group.lanes)} lanes x {group.value.num_steps} steps, "
            f"{group.state_bytes:,} bytes of state a lane{chunk}; constants: {made}"
        )


def plan(
    sweep: Sweep,
    *,
    strategy: Strategy = "auto",
    width: int | None = None,
    points: Iterable[Mapping[str, Any]] | None = None,
    num_lanes: int | None = None,
) -> Plan:
    """Lay out the lanes, load their data, and trace each of their programs once.

    Args:
        sweep: What is varied.
        strategy: How lanes will be run; ``auto`` is ``loop`` on a CPU and ``vmap`` elsewhere.
        width: Lanes in one program of ``vmap`` and ``map``; by default what memory allows.
        points: The fields of each lane, where a sampler chooses; by default the sweep's own.
        num_lanes: How many there will be in all; by default what ``search.num_samples`` says.

    Raises:
        ConfigError: a lane breaks a rule, or a float of the config cannot be traced.
        ValueError: there are no points.
    """
    import jax

    loaded, points = sweep.loaded, tuple(sweep.points if points is None else points)
    if not points:
        raise ValueError("plan.plan: a sweep whose points a sampler chooses needs some to trace")
    lanes = [
        Lane(number, dict(point), config.replace(loaded.value, point))
        for number, point in enumerate(points)
    ]
    traced = lay(loaded, lanes, sweep.search)
    groups = tuple(each.group for each in traced)
    devices = jax.local_devices()
    is_cpu = devices[0].platform == "cpu"
    if strategy == "auto":
        strategy = "loop" if is_cpu else "vmap"
    fields = {path: tuple(_distinct(points, path)) for path in sweep.swept}
    is_one_cpu = is_cpu and len(devices) == 1
    largest = max(group.state_bytes for group in groups)
    asked = _asked(sweep, num_lanes) if sweep.search.sampler else None
    return Plan(
        loaded=loaded,
        fields=fields,
        groups=groups,
        without_effect=_without_effect(fields, traced),
        strategy=strategy,
        devices=tuple(device.device_kind for device in devices),
        width=memory.choose_width(largest, max(len(group.lanes) for group in groups), width),
        at_once=launch.cores() if is_one_cpu else len(devices),
        stop=sweep.search.stop,
        asked=asked,
    )


def _asked(sweep: Sweep, num_lanes: int | None) -> Asked:
    grid = math.prod(len(axis.rows) for axis in sweep.space.axes)
    if num_lanes is None:
        num_lanes = sweep.search.num_samples * grid
    return Asked(str(sweep.search.sampler), num_lanes // grid, grid)


def _without_effect(
    fields: Mapping[str, tuple[Any, ...]], traced: Sequence["Traced"]
) -> tuple[str, ...]:
    """Return the fields with several values, none of which changes what any program computes."""
    acting = set(ACTING & fields.keys())
    acting |= {path for each in traced for path, acts in each.trace.acts.items() if acts}
    several = [path for path, values in fields.items() if len(values) > 1 and path not in acting]
    return tuple(path for path in several if not _changes(path, traced))


class Traced(NamedTuple):
    """A group, and what its trace shows."""

    group: Group
    trace: trace.Trace


def lay(loaded: Loaded, lanes: Iterable[Lane], search: Search) -> list[Traced]:
    """Put lanes that share a program into groups, in the order in which they begin.

    Cost: one trace a group; data that groups share is loaded once.

    Raises:
        ConfigError: a float of the config cannot be traced, or a metric is not measured.
    """
    shared: dict[str, list[Lane]] = {}
    for lane in lanes:
        shared.setdefault(repr(_constants(lane)), []).append(lane)
    datasets: dict[Any, Any] = {}
    return [_trace(loaded, tuple(each), search, datasets) for each in shared.values()]


def _distinct(points: Iterable[Mapping[str, Any]], path: str) -> Iterable[Any]:
    """Return the values of one field, each once."""
    return {repr(value): value for value in (point[path] for point in points)}.values()


def _constants(lane: Lane) -> dict[str, Any]:
    """Return the swept fields of a lane that are constants of its program."""
    lanes = config.lane_paths(lane.value)
    return {path: value for path, value in lane.fields.items() if path not in lanes}


def _trace(
    loaded: Loaded, lanes: tuple[Lane, ...], search: Search, datasets: dict[Any, Any]
) -> Traced:
    """Trace the program of ``lanes``."""
    import jax

    from mastery_jax.workflow import data

    value = lanes[0].value
    if value.data not in datasets:
        datasets[value.data] = data.load(value.data)
    dataset = datasets[value.data]
    spec = program.specify(dataset)
    found = trace.confirm(loaded.experiment, value, spec, dataset.arrays)
    confirm_measured("search.metrics", search.metrics, found.measured)
    state = jax.tree.leaves(found.state)
    group = Group(
        value=value,
        constants=_constants(lanes[0]),
        lanes=lanes,
        dataset=dataset,
        spec=spec,
        state_bytes=sum(math.prod(x.shape) * x.dtype.itemsize for x in state),
    )
    return Traced(group, found)


def _changes(path: str, traced: Sequence[Traced]) -> bool:
    """Say whether two programs that differ in ``path`` alone ever differ in what they compute."""
    seen: dict[str, Traced] = {}
    for each in traced:
        others = repr({k: v for k, v in each.group.constants.items() if k != path})
        if _differ(seen.setdefault(others, each), each):
            return True
    return False


def _differ(one: Traced, other: Traced) -> bool:
    """Say whether two programs differ, or their data do."""
    import jax

    if one is other:
        return False
    sets = [each.group.dataset.arrays for each in (one, other)]
    if sets[0] is not sets[1]:
        first, second = (usage.digest(jax.tree.leaves(arrays)) for arrays in sets)
        if first != second:
            return True
    # Equal texts have equal states, which cost nothing to compare.
    states = [jax.tree.leaves(each.trace.state) for each in (one, other)]
    return states[0] != states[1] or one.trace.text != other.trace.text
