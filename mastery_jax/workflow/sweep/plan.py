"""What a sweep would do: which programs, which lanes, how many bytes; found by tracing only.

Swept floats and seeds are *lanes* of one compiled program; every combination of the other swept
fields is a *program* of its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mastery_jax.workflow import config, launch, program, trace, usage
from mastery_jax.workflow.config import Loaded, Sweep
from mastery_jax.workflow.experiment import Spec
from mastery_jax.workflow.goals import confirm_measured
from mastery_jax.workflow.progress import counted
from mastery_jax.workflow.sweep import stopping
from mastery_jax.workflow.sweep.search import Search
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
    search: Search
    width: int = 1  # lanes at a time, of all devices together
    asked: int = 0  # lanes that a sampler is going to choose; those of the groups are examples

    @property
    def num_lanes(self) -> int:
        """Return the number of lanes of all programs."""
        return self.asked or sum(len(group.lanes) for group in self.groups)

    @property
    def datasets(self) -> tuple[Any, ...]:
        """Return what the programs are fed, one each."""
        return tuple(group.dataset for group in self.groups)

    @property
    def rungs(self) -> list[tuple[int, int]]:
        """Return after which steps lanes are looked at, and how many go there at most."""
        return stopping.counts(self.search.stop, self.num_lanes, self._longest)

    @property
    def _longest(self) -> int:
        return max(group.value.num_steps for group in self.groups)

    @property
    def idle_stop(self) -> str:
        """Return why the rule that chooses lanes has no occasion to; nothing where it has one."""
        return stopping.idle(self.search.stop, self._longest)

    @property
    def share(self) -> float:
        """Return the steps that are run at most, as a share of those of all lanes to the end."""
        steps = before = 0
        for until, count in self.rungs:
            steps, before = steps + count * (until - before), until
        mine = sum(len(group.lanes) * group.value.num_steps for group in self.groups)
        whole = mine * self.num_lanes / sum(len(group.lanes) for group in self.groups)
        return min(1.0, steps / whole) if whole else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {
            "config": self.loaded.name,
            "lanes": self.num_lanes,
            "strategy": self.strategy,
            "devices": self.devices,
            "width": self.width,
            "rungs": [list(rung) for rung in self.rungs],
            "share_of_steps": self.share,
            "fields": self.fields,
            "programs": [
                {
                    "constants": group.constants,
                    "lanes": len(group.lanes),
                    "bytes_per_lane": group.state_bytes,
                    "num_steps": group.value.num_steps,
                }
                for group in self.groups
            ],
            "without_effect": self.without_effect,
        }

    def _at_a_time(self) -> str:
        if self.strategy == "loop":
            count = min(_workers(self.devices), self.num_lanes)
            return f"{counted(count, 'lane')}, each by itself"
        count = len(self.devices)
        return f"{counted(self.width, 'lane')}, {self.width // count} on each of {count} devices"

    def describe(self) -> str:
        """Return the plan as lines of text."""
        lanes_of, programs = counted(self.num_lanes, "lane"), counted(len(self.groups), "program")
        head = f"{self.loaded.name}: {lanes_of} in {programs}, strategy {self.strategy}"
        lanes = set(config.lane_paths(self.loaded.value))
        lines = [f"{head} on {len(self.devices)} x {self.devices[0]}"]
        for number, group in enumerate(self.groups):
            made = ", ".join(f"{k}={show(v)}" for k, v in group.constants.items()) or "-"
            lines.append(
                f"  program {number}: {counted(len(group.lanes), 'lane')} x "
                f"{counted(group.value.num_steps, 'step')}, "
                f"{group.state_bytes:,} bytes of state a lane; constants: {made}"
            )
        if self.asked:
            lines.append(f"  chosen by {self.search.sampler} as it goes; above are examples")
        lines.append(f"  at a time: {self._at_a_time()}")
        if self.idle_stop:
            lines.append(f"  {self.idle_stop}")
        elif self.search.stop is not None:
            steps = ", ".join(f"{count} to step {until}" for until, count in self.rungs)
            most = f"at most {self.share:.0%} of the steps of the whole"
            lines.append(f"  {type(self.search.stop).__name__.lower()}: lanes {steps}; {most}")
        for title, keep in (("lanes", True), ("programs", False)):
            swept = [f"{k} ({len(v)})" for k, v in self.fields.items() if (k in lanes) == keep]
            lines.append(f"  swept as {title}: {', '.join(swept) or '-'}")
        lines.append(f"  without effect: {', '.join(self.without_effect) or '-'}")
        return "\n".join(lines)


def _workers(devices: Sequence[str]) -> int:
    """Return how many lanes ``loop`` runs at a time: one a device, of a CPU one a core."""
    return launch.cores() if list(devices) == ["cpu"] else len(devices)


def plan(sweep: Sweep, *, strategy: Strategy = "auto") -> Plan:
    """Lay out the lanes, load their data, and trace each of their programs once.

    Args:
        sweep: What is varied.
        strategy: How lanes will be run; ``auto`` is ``loop`` on a CPU and ``vmap`` elsewhere.

    Raises:
        ConfigError: a lane breaks a rule, or a float of the config cannot be traced, or is none of
            the dtype in which lanes have it.
    """
    import jax

    loaded = sweep.loaded
    lanes = [
        Lane(number, point, config.replace(loaded.value, point))
        for number, point in enumerate(sweep.points)
    ]
    fields = {path: tuple(_distinct(sweep.points, path)) for path in sweep.swept}
    traced = lay(loaded, lanes, sweep.search)
    _confirm_numbers(each.group for each in traced)
    acting = set(ACTING & fields.keys())
    acting |= {path for each in traced for path, acts in each.acts.items() if acts}
    if len(traced) > 1:
        texts = [(each.group.constants, _text(each)) for each in traced]
        acting |= {path for path in fields if trace.changes(path, texts)}
    devices = jax.local_devices()
    if strategy == "auto":
        strategy = "loop" if devices[0].platform == "cpu" else "vmap"
    return Plan(
        loaded=loaded,
        fields=fields,
        groups=tuple(each.group for each in traced),
        without_effect=tuple(k for k in fields if k not in acting and len(fields[k]) > 1),
        strategy=strategy,
        devices=tuple(device.device_kind for device in devices),
        search=sweep.search,
    )


def _confirm_numbers(groups: Iterable[Group]) -> None:
    """Refuse a number that overflows or vanishes as an array, before any lane is run."""
    for group in groups:
        for path in config.lane_paths(group.value):
            for value in {lane.fields[path] for lane in group.lanes if path in lane.fields}:
                program.number(path, value)


class Traced(NamedTuple):
    """A group, and what its trace shows."""

    group: Group
    acts: dict[str, bool]  # lane field -> whether it changes anything
    text: Callable[[], str]  # equal for equal programs


def lay(
    loaded: Loaded,
    lanes: Iterable[Lane],
    search: Search,
    known: dict[str, Traced] | None = None,
) -> list[Traced]:
    """Put lanes that share a program into groups, in the order in which they begin.

    Cost: one trace a group; data that groups share is loaded once.

    Args:
        loaded: The config that is varied.
        lanes: What is run.
        search: Whose metrics must be measured.
        known: What calls before have traced, and where this one adds what it traces.

    Raises:
        ConfigError: a float of the config cannot be traced, or a metric is not measured.
    """
    shared: dict[str, list[Lane]] = {}
    alike: dict[Any, frozenset[str]] = {}
    for lane in lanes:
        shared.setdefault(repr(_constants(lane, alike)), []).append(lane)
    known = {} if known is None else known
    datasets = {each.group.value.data: each.group.dataset for each in known.values()}
    for key, each in shared.items():
        if key not in known:
            known[key] = _trace(loaded, tuple(each), search, datasets)
    return [
        known[key]._replace(group=known[key].group._replace(lanes=tuple(each)))
        for key, each in shared.items()
    ]


def _distinct(points: Iterable[Mapping[str, Any]], path: str) -> Iterable[Any]:
    """Return the values of one field, each once."""
    return {repr(value): value for value in (point[path] for point in points)}.values()


def _constants(lane: Lane, alike: dict[Any, frozenset[str]]) -> dict[str, Any]:
    """Return the swept fields of a lane that are constants of its program.

    Args:
        lane: One of perhaps a million.
        alike: What lanes are that differ in floats and seed alone, found once for all of them.
    """
    key = tuple(
        (path, float if isinstance(value, float) or path == "seed" else repr(value))
        for path, value in lane.fields.items()
    )
    if key not in alike:
        alike[key] = frozenset(config.lane_paths(lane.value))
    return {path: value for path, value in lane.fields.items() if path not in alike[key]}


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
    leaves = jax.tree.leaves(found.state)
    group = Group(
        value=value,
        constants=_constants(lanes[0], {}),
        lanes=lanes,
        dataset=dataset,
        spec=spec,
        state_bytes=sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves),
    )
    return Traced(group, found.acts, found.text)


def _text(traced: Traced) -> str:
    """Return what is equal for equal programs that are fed with equal data."""
    import jax

    return f"{usage.digest(jax.tree.leaves(traced.group.dataset.arrays))} {traced.text()}"
