"""What a plan would cost: its programs compiled, and a few of their steps measured.

    seconds of a program = compilations + visits · seconds a visit + steps · seconds a step

A visit is a lane that is begun, or taken up again at a rung: all that does not grow with the steps.
Both are the best of several measurements, of as many lanes as the strategy runs at a time. Where
compiled programs are kept, a sweep after its probe finds them there, and does not compile again.
"""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from mastery_jax.workflow import program
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.progress import duration
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import memory
from mastery_jax.workflow.sweep.batch import Batch
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.plan import Group, Lane, Plan

__all__ = ["Cost", "Measured", "Probe", "probe"]

ENOUGH = 0.25  # seconds that tell the steps from the noise
TOO_LONG = 2.0  # seconds after which an evaluation in between is not waited for
ROUNDS = 3


class Cost(NamedTuple):
    """Seconds of something."""

    wall: float
    cpu: float  # of all threads of this process

    def plus(self, other: "Cost", times: float = 1.0) -> "Cost":
        """Return this and another so many times, which may be negative."""
        return Cost(self.wall + times * other.wall, self.cpu + times * other.cpu)

    def over(self, count: float) -> "Cost":
        """Return a part."""
        return Cost(self.wall / count, self.cpu / count)


class Measured(NamedTuple):
    """What one program costs."""

    flops: float  # of one step of one lane; a loop inside a step is counted once
    peak_bytes: int  # of one lane on its device, arguments, outputs and temporaries
    temporary_bytes: int  # among them
    compilation: Cost  # once
    num_compilations: int
    visit: Cost  # of one lane
    step: Cost  # of one lane
    whole: Cost  # of all its lanes

    def describe(self) -> str:
        """Return this in a line of text."""
        return (
            f"compiled in {self.compilation.wall:.2g} s; a step of a lane is {self.flops:,.0f} "
            f"FLOPs, {1e3 * self.step.wall:.3g} ms ({1e3 * self.step.cpu:.3g} ms of CPU); a lane "
            f"needs {self.peak_bytes:,} bytes, {self.temporary_bytes:,} of them temporary; "
            f"{_seconds(self.whole)}"
        )


class Probe(NamedTuple):
    """What a sweep would cost."""

    name: str
    strategy: str
    programs: tuple[Measured, ...]
    whole: Cost  # of the sweep, imports and plan apart

    def to_json(self) -> dict[str, Any]:
        """Return this as plain data, in seconds and bytes."""
        return {
            "strategy": self.strategy,
            "programs": [
                {k: v._asdict() if isinstance(v, Cost) else v for k, v in each._asdict().items()}
                for each in self.programs
            ],
            "whole": self.whole._asdict(),
        }

    def describe(self) -> str:
        """Return this as lines of text."""
        head = f"{self.name}, strategy {self.strategy}: {_seconds(self.whole)}, as measured here"
        return "\n".join(
            [head, *(f"  program {n}: {each.describe()}" for n, each in enumerate(self.programs))]
        )


class _Bench(NamedTuple):
    """A program that can be measured."""

    compiled: program.Program
    compilation: Cost
    lanes: Sequence[Lane]  # that are run at a time
    together: int  # lanes in one program of one device
    counted: int  # lanes that FLOPs count
    go: Callable[[int], None]  # run the lanes from their begin to a step


def probe(made: Plan, *, width: int | None = None) -> Probe:
    """Compile every program of a plan, measure some steps, and say what the sweep would cost.

    Cost: the compilations, and about two seconds a program.

    Args:
        made: From ``plan.plan``.
        width: Lanes in one program of ``vmap`` and ``map``; by default the plan's.
    """
    made = made._replace(width=width or made.width)
    traced = sum(len(group.lanes) for group in made.groups)
    programs = []
    for number, group in enumerate(made.groups):
        with tempfile.TemporaryDirectory() as folder:
            bench = (_loop if made.strategy == "loop" else _batch)(made, group, folder)
            visit, step = _measure(bench, group.value.num_steps, group.value.evaluate_every)
        lanes = made.num_lanes / traced  # that stand behind each that was traced
        budget, count = made.budget, _compilations(made, group)
        whole = Cost(0.0, 0.0).plus(bench.compilation, count)
        whole = whole.plus(visit, lanes * budget.visits[number])
        whole = whole.plus(step, lanes * budget.steps[number])
        programs.append(_measured(bench, count, visit, step, whole))
    total = Cost(0.0, 0.0)
    for each in programs:
        total = total.plus(each.whole)
    return Probe(made.loaded.name, made.strategy, tuple(programs), total)


def _measured(bench: _Bench, count: int, visit: Cost, step: Cost, whole: Cost) -> Measured:
    one: Any = bench.compiled
    said, costs = one.advance.memory_analysis(), one.advance.cost_analysis() or {}
    return Measured(
        flops=costs.get("flops", 0.0) / bench.counted,
        peak_bytes=memory.needed((one.start, one.advance, one.evaluate)) // bench.together,
        temporary_bytes=(said.temp_size_in_bytes if said else 0) // bench.together,
        compilation=bench.compilation,
        num_compilations=count,
        visit=visit,
        step=step,
        whole=whole,
    )


def _loop(made: Plan, group: Group, folder: str) -> _Bench:
    """Prepare ``loop``: solo lanes, one a device or a thread."""
    import jax

    device = jax.local_devices()[0]
    arrays = jax.device_put(group.dataset.arrays, device)
    fns = program.functions(made.loaded.experiment, group.value, group.spec)
    first = jax.device_put(program.lane(group.value), device)
    compiled, compilation = _timed(lambda: program.prepare(fns, first, arrays))
    lanes, ledger = group.lanes[: made.at_once], _ledger(folder)

    def run(lane: Lane, values: Any, until: int) -> None:
        log, rows = Log(group.value.num_steps), []
        for event in program.drive(
            compiled,
            jax.device_put(values, device),
            arrays,
            num_steps=until,
            evaluate_every=group.value.evaluate_every,
        ):
            rows += log.add(event)
        ledger.end(lane, rows)

    def go(until: int) -> None:
        # Traced here and not in the threads: contexts such as jax.enable_x64 are a thread's own.
        values = [program.lane(lane.value) for lane in lanes]
        with ThreadPoolExecutor(len(lanes)) as pool:
            list(pool.map(run, lanes, values, [until] * len(lanes)))

    return _Bench(compiled, compilation, lanes, 1, 1, go)


def _batch(made: Plan, group: Group, folder: str) -> _Bench:
    """Prepare ``vmap`` or ``map``: one batch, halved where it does not fit."""
    import jax

    engine = Batch(made.loaded.experiment, group, made.strategy, made.width, lambda text: None)
    prepared, compilation = _timed(lambda: engine.prepare(group.lanes[: engine.width]))
    while prepared is None:
        prepared, compilation = _timed(lambda: engine.prepare(group.lanes[: engine.width]))
    lanes = group.lanes[: engine.width]
    ledger, entries = _ledger(folder), [Entry(lane, 0, [], None) for lane in lanes]
    (width,) = engine.programs

    def go(until: int) -> None:
        engine.advance(entries, until, ledger, Interrupt())

    together = width // jax.device_count()
    counted = together if made.strategy == "vmap" else 1  # map is a loop: its body counts once
    return _Bench(prepared[0], compilation, lanes, together, counted, go)


def _ledger(folder: str) -> Ledger:
    return Ledger(pathlib.Path(folder), say=lambda text: None)


def _measure(bench: _Bench, num_steps: int, evaluate_every: int) -> tuple[Cost, Cost]:
    """Return the costs of a visit and of a step, of one lane.

    The longer of two stretches is long enough to be measured and, unless that takes long, has an
    evaluation in it where a whole lane has some.
    """
    few = many = min(1, num_steps)
    bench.go(few)  # what is done once
    short = spent = _best(lambda: bench.go(few), ROUNDS)
    while many < num_steps and spent.wall < TOO_LONG:
        if spent.wall >= ENOUGH and many > evaluate_every:
            break
        many = min(2 * many + 1, num_steps)
        spent = _best(functools.partial(bench.go, many), 1)
    long = _best(lambda: bench.go(many), ROUNDS)
    count = len(bench.lanes)
    if many == few:
        return short.over(count), Cost(0.0, 0.0)
    step = long.plus(short, -1.0).over(many - few)
    step = Cost(max(step.wall, 0.0), max(step.cpu, 0.0))
    return short.plus(step, -few).over(count), step.over(count)


def _best(work: Callable[[], Any], rounds: int) -> Cost:
    found = [_timed(work)[1] for _ in range(rounds)]
    return Cost(min(each.wall for each in found), min(each.cpu for each in found))


def _timed(work: Callable[[], Any]) -> tuple[Any, Cost]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return done, Cost(time.perf_counter() - wall, time.process_time() - cpu)


def _compilations(made: Plan, group: Group) -> int:
    """Return how often a program is compiled: for each device, or for each width."""
    if made.strategy == "loop":
        return min(len(made.devices), len(group.lanes))
    count, whole = len(group.lanes), sum(len(each.lanes) for each in made.groups)
    going = [count, *(max(1, rung.going * count // whole) for rung in made.budget.rungs)]
    devices = len(made.devices)
    return len({memory.narrow(made.width, min(each, made.width), devices) for each in going})


def _seconds(cost: Cost) -> str:
    wall, cpu = (duration(x) if x >= 60 else f"{x:.2g} s" for x in cost)
    return f"about {wall}, {cpu} of CPU"
