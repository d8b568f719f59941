"""What a sweep would cost, found by compiling its programs and running a few of their steps.

FLOPs are XLA's own count of one step: its analysis counts the body of a loop once, and the program
of a chunk is one loop over steps. Memory is what the compiled chunk needs beside the data. The
time of a step is the fastest of some chunks; the whole sweep is that times the steps of its lanes.
"""

import time
from typing import Any, NamedTuple

from mastery_jax.workflow import launch, program
from mastery_jax.workflow.progress import duration
from mastery_jax.workflow.sweep import memory
from mastery_jax.workflow.sweep.batch import Batch
from mastery_jax.workflow.sweep.plan import Group, Plan

__all__ = ["Cost", "Probe", "probe"]

SECONDS = 0.3  # that the steps of one program are timed for
ROUNDS = 3  # of which the fastest counts


class Cost(NamedTuple):
    """One program; everything is of one lane."""

    compile_seconds: float
    flops_per_step: float
    bytes_per_lane: int  # state and temporaries of a compiled chunk
    cpu_per_step: float  # seconds
    wall_per_step: float  # seconds, the devices being busy with other lanes too


class Probe(NamedTuple):
    """All programs, and the whole sweep."""

    programs: tuple[Cost, ...]
    cpu_seconds: float  # of the whole, compilation included
    wall_seconds: float

    def describe(self) -> str:
        """Return lines that go below those of the plan."""
        lines = []
        for number, each in enumerate(self.programs):
            micro = f"{1e6 * each.cpu_per_step:,.0f} us CPU a step"
            lines.append(
                f"  program {number}: compiled in {each.compile_seconds:.1f} s, "
                f"{each.flops_per_step:,.0f} FLOP and {micro}, {each.bytes_per_lane:,} bytes a lane"
            )
        whole = f"{duration(self.wall_seconds)} ({self.cpu_seconds:,.0f} CPU-s)"
        return "\n".join((*lines, f"  the whole sweep takes about {whole}"))

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        programs = [each._asdict() for each in self.programs]
        return self._asdict() | {"programs": programs}


def probe(made: Plan) -> Probe:
    """Compile every program of a plan, as it would be run, and time some of its steps."""
    found = tuple(_cost(made, group) for group in made.groups)
    workers = launch.cores() if len(made.devices) == 1 else len(made.devices)
    cpu = wall = sum(each.compile_seconds for each in found)
    for each, group in zip(found, made.groups, strict=True):
        steps = len(group.lanes) * group.value.num_steps * made.share
        cpu += steps * each.cpu_per_step
        at_a_time = min(workers, len(group.lanes)) if made.strategy == "loop" else 1
        wall += steps * each.wall_per_step / at_a_time
    return Probe(found, cpu, wall)


def _cost(made: Plan, group: Group) -> Cost:
    import jax

    begun = time.perf_counter()
    if made.strategy == "loop":
        width, fns = 1, program.functions(made.loaded.experiment, group.value, group.spec)
        device = jax.local_devices()[0]
        lanes = jax.device_put(program.lane(group.value), device)
        data = jax.device_put(group.dataset.arrays, device)
        compiled = program.prepare(fns, lanes, data)
    else:
        width = made.width
        batch = Batch(made.loaded.experiment, group, made.strategy, width, lambda line: None)
        while (prepared := batch.prepare(group.lanes[:width])) is None:
            width = batch.width
        (compiled, lanes), data = prepared, batch.data
        width = len(jax.tree.leaves(lanes)[0])
    seconds = time.perf_counter() - begun
    cost = compiled.advance.cost_analysis() or {}
    needed = memory.needed((compiled.start, compiled.advance, compiled.evaluate))
    parts = len(made.devices) if made.strategy == "vmap" else 1
    fed = sum(leaf.nbytes for leaf in jax.tree.leaves(data))
    cpu, wall = _step(compiled, lanes, data)
    return Cost(
        compile_seconds=seconds,
        flops_per_step=cost.get("flops", 0.0) * parts / (width if made.strategy == "vmap" else 1),
        bytes_per_lane=max(0, needed - fed) * (1 if width == 1 else len(made.devices)) // width,
        cpu_per_step=cpu / width,
        wall_per_step=wall / width,
    )


def _step(compiled: program.Program, lanes: Any, data: Any) -> tuple[float, float]:
    """Return the CPU and the wall seconds of one step of a batch."""
    import jax
    import numpy as np

    state, steps = compiled.start(lanes, data), 1
    best = (float("inf"), float("inf"))
    rounds = 0
    while rounds < ROUNDS:
        begun, cpu = time.perf_counter(), time.process_time()
        found = compiled.advance(lanes, state, data, np.int32(0), np.int32(steps))
        jax.block_until_ready(found)
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        if wall < SECONDS / ROUNDS and steps < compiled.chunk:
            steps = min(compiled.chunk, 2 * steps)
            continue
        best = min(best, (cpu / steps, wall / steps))
        rounds += 1
    return best
