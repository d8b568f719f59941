"""What a sweep would cost, found by compiling its programs and running a few of their steps.

    seconds of a program = compilations + visits · seconds a visit + steps · seconds a step

A visit is a lane that is begun, or taken up again at a rung: all that does not grow with the steps,
an evaluation and its record among it. Both are the best of several measurements, of as many lanes
as the strategy runs at a time. Where compiled programs are kept, a sweep after its probe finds them
there, and does not compile again.

FLOPs are XLA's own count of one step: its analysis counts the body of a loop once, and the program
of a chunk is one loop over steps. A loop inside a step is counted once too.
"""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from mastery_jax.workflow import launch, program
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.progress import duration
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import memory
from mastery_jax.workflow.sweep.batch import Batch
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.plan import Group, Lane, Plan

__all__ = ["Cost", "Probe", "probe"]

ENOUGH = 0.25  # seconds that tell the steps from the noise
TOO_LONG = 2.0  # seconds after which an evaluation in between is not waited for
ROUNDS = 3


class Cost(NamedTuple):
    """One program; unless it says otherwise, everything is of one lane, in seconds."""

    compile_seconds: float  # once
    num_compilations: int
    flops_per_step: float
    bytes_per_lane: int  # state, what is measured and temporaries of a compiled chunk
    temporary_bytes: int  # of them, what is needed only while it runs
    cpu_per_step: float
    wall_per_step: float  # the devices being busy with other lanes too
    cpu_per_visit: float
    wall_per_visit: float
    cpu_seconds: float  # of all its lanes
    wall_seconds: float


class Probe(NamedTuple):
    """All programs, and the whole sweep, imports and plan apart."""

    programs: tuple[Cost, ...]
    cpu_seconds: float
    wall_seconds: float

    def describe(self) -> str:
        """Return lines that go below those of the plan."""
        lines = []
        for number, each in enumerate(self.programs):
            lines.append(
                f"  program {number}: compiled in {each.compile_seconds:.1f} s, "
                f"{each.flops_per_step:,.0f} FLOP and {1e6 * each.cpu_per_step:,.0f} us CPU a step "
                f"({1e3 * each.wall_per_step:.3g} ms), {each.bytes_per_lane:,} bytes a lane, "
                f"{each.temporary_bytes:,} of them temporary"
            )
        whole = f"{duration(self.wall_seconds)} ({self.cpu_seconds:,.0f} CPU-s)"
        compiling = sum(each.compile_seconds * each.num_compilations for each in self.programs)
        lines.append(
            f"  the whole sweep takes about {whole}, {duration(compiling)} of it to compile: "
            "now that this is done, it is left out where compiled programs are kept"
        )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        programs = [each._asdict() for each in self.programs]
        return self._asdict() | {"programs": programs}


class _Spent(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float  # of all threads

    def plus(self, other: "_Spent", times: float = 1.0) -> "_Spent":
        """Return this and another so many times, which may be negative."""
        return _Spent(self.wall + times * other.wall, self.cpu + times * other.cpu)

    def over(self, count: float) -> "_Spent":
        """Return a part."""
        return _Spent(self.wall / count, self.cpu / count)


class _Bench(NamedTuple):
    """A program that can be measured."""

    compiled: program.Program
    compilation: _Spent
    num_compilations: int
    lanes: Sequence[Lane]  # that are run at a time
    together: int  # lanes in one program of one device
    counted: int  # lanes that FLOPs count
    go: Callable[[int], None]  # run the lanes from their begin to a step


def probe(made: Plan) -> Probe:
    """Compile every program of a plan, as it would be run, and time some of its steps.

    Cost: the compilations, and about two seconds a program.
    """
    found = tuple(_cost(made, group) for group in made.groups)
    cpu, wall = sum(each.cpu_seconds for each in found), sum(each.wall_seconds for each in found)
    return Probe(found, cpu, wall)


def _cost(made: Plan, group: Group) -> Cost:
    import jax

    num_steps = group.value.num_steps
    with tempfile.TemporaryDirectory() as folder:
        bench = (_loop if made.strategy == "loop" else _batch)(made, group, folder)
        visit, step = _measure(bench, num_steps, group.value.evaluate_every)
    lanes = made.num_lanes / sum(len(each.lanes) for each in made.groups) * len(group.lanes)
    visits, steps = _amounts(made, num_steps)
    whole = _Spent(0.0, 0.0).plus(bench.compilation, bench.num_compilations)
    whole = whole.plus(visit, lanes * visits).plus(step, lanes * steps)
    one: Any = bench.compiled
    said, counted = one.advance.memory_analysis(), one.advance.cost_analysis() or {}
    fed = sum(leaf.nbytes for leaf in jax.tree.leaves(group.dataset.arrays))
    needed = memory.needed((one.start, one.advance, one.evaluate))
    return Cost(
        compile_seconds=bench.compilation.wall,
        num_compilations=bench.num_compilations,
        flops_per_step=counted.get("flops", 0.0) / bench.counted,
        bytes_per_lane=max(0, needed - fed) // bench.together,
        temporary_bytes=(said.temp_size_in_bytes if said else 0) // bench.together,
        cpu_per_step=step.cpu,
        wall_per_step=step.wall,
        cpu_per_visit=visit.cpu,
        wall_per_visit=visit.wall,
        cpu_seconds=whole.cpu,
        wall_seconds=whole.wall,
    )


def _amounts(made: Plan, num_steps: int) -> tuple[float, float]:
    """Return visits and steps of a mean lane of a program with so many steps.

    A rule looks at the lanes of all programs together: how many of one go on is taken as its part.
    """
    visits = steps = 0.0
    before = 0
    for until, count in made.rungs:
        share = count / made.num_lanes
        if before < num_steps or not before:
            visits += share
        steps += share * (min(until, num_steps) - min(before, num_steps))
        before = until
    return visits, steps


def _loop(made: Plan, group: Group, folder: str) -> _Bench:
    """Prepare ``loop``: solo lanes, one a device or a thread."""
    import jax

    device = jax.local_devices()[0]
    arrays = jax.device_put(group.dataset.arrays, device)
    fns = program.functions(made.loaded.experiment, group.value, group.spec)
    first = jax.device_put(program.lane(group.value), device)
    compiled, compilation = _timed(lambda: program.prepare(fns, first, arrays))
    is_one_cpu = list(made.devices) == ["cpu"]
    lanes = group.lanes[: launch.cores() if is_one_cpu else len(made.devices)]
    ledger = _ledger(folder)

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

    count = min(len(made.devices), len(group.lanes))
    return _Bench(compiled, compilation, count, lanes, 1, 1, go)


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
    parts = [count / made.num_lanes for _, count in made.rungs]
    widths = {engine.narrow(max(1, min(round(x * len(group.lanes)), width))) for x in parts}

    def go(until: int) -> None:
        engine.advance(entries, until, ledger, Interrupt())

    together = width // jax.device_count()
    counted = together if made.strategy == "vmap" else 1  # map is a loop: its body counts once
    return _Bench(prepared[0], compilation, len(widths), lanes, together, counted, go)


def _ledger(folder: str) -> Ledger:
    return Ledger(pathlib.Path(folder), say=lambda text: None)


def _measure(bench: _Bench, num_steps: int, evaluate_every: int) -> tuple[_Spent, _Spent]:
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
        return short.over(count), _Spent(0.0, 0.0)
    step = long.plus(short, -1.0).over(many - few)
    step = _Spent(max(step.wall, 0.0), max(step.cpu, 0.0))
    return short.plus(step, -few).over(count), step.over(count)


def _best(work: Callable[[], Any], rounds: int) -> _Spent:
    found = [_timed(work)[1] for _ in range(rounds)]
    return _Spent(min(each.wall for each in found), min(each.cpu for each in found))


def _timed(work: Callable[[], Any]) -> tuple[Any, _Spent]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return done, _Spent(time.perf_counter() - wall, time.process_time() - cpu)
