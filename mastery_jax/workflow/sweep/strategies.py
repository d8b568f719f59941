"""The three ways to run the lanes of one program.

loop  the solo program, called once a lane, lanes dealt over devices (on a CPU: over threads);
      every lane equals its solo run bit for bit
vmap  lanes as a batch axis of one program, sharded over the devices
map   lanes one after another inside one program, shared out over the devices
"""

import itertools
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mastery_jax.workflow import launch, program
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.run import Interrupt
from mastery_jax.workflow.sweep.plan import Group, Lane, Plan

__all__ = ["choose_width", "run"]

Keep = Callable[[Lane, list[dict[str, Any]]], None]

# A batch may fill a quarter of a device's memory with states: the program holds the old and the
# new one, gradients, and its own temporaries beside them.
SHARE_OF_MEMORY = 0.25
MOST_LANES = 256  # of one device in one program: more gain little, and temporaries are many states


def choose_width(made: Plan, wanted: int | None) -> int:
    """Return how many lanes one program of ``vmap`` or ``map`` takes; a multiple of the devices."""
    import jax

    devices = jax.local_devices()
    most = max(len(group.lanes) for group in made.groups)
    if wanted is None:
        stats = devices[0].memory_stats() or {}
        memory = stats.get("bytes_limit") or _host_memory() // len(devices)
        largest = max(1, *(group.state_bytes for group in made.groups))
        fitting = min(int(memory * SHARE_OF_MEMORY / largest), MOST_LANES)
        wanted = max(1, fitting * len(devices))
    return -(-min(wanted, most) // len(devices)) * len(devices)


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def run(
    group: Group,
    lanes: tuple[Lane, ...],
    *,
    module: str,
    strategy: str,
    width: int,
    keep: Keep,
    interrupt: Interrupt,
) -> None:
    """Run ``lanes``, handing each one's lines to ``keep`` when it is over."""
    fns = program.functions(module, group.value, group.spec)
    if strategy == "loop":
        _loop(fns, group, lanes, keep, interrupt)
    else:
        _batches(fns, group, lanes, strategy, width, keep, interrupt)


def _periods(group: Group) -> dict[str, int]:
    value = group.value
    return {"num_steps": value.num_steps, "evaluate_every": value.evaluate_every}


def _loop(
    fns: program.Functions,
    group: Group,
    lanes: tuple[Lane, ...],
    keep: Keep,
    interrupt: Interrupt,
) -> None:
    import jax

    devices = jax.local_devices()
    # One CPU device has one queue: a thread a core keeps all of them busy with one program.
    is_one_cpu = len(devices) == 1 and devices[0].platform == "cpu"
    workers = (devices * launch.cores() if is_one_cpu else devices)[: len(lanes)]
    used = list(dict.fromkeys(workers))
    arrays = {device: jax.device_put(group.dataset.arrays, device) for device in used}
    # Traced here and not in the threads: contexts such as jax.enable_x64 are a thread's own.
    waiting: queue.SimpleQueue[tuple[Lane, Any]] = queue.SimpleQueue()
    for lane in lanes:
        waiting.put((lane, program.lane(lane.value)))
    first = program.lane(lanes[0].value)
    programs = {d: program.prepare(fns, jax.device_put(first, d), arrays[d]) for d in used}

    broken = threading.Event()  # an error in one thread stops the others

    def work(device: Any) -> None:
        try:
            run_lanes(device)
        except BaseException:
            broken.set()
            raise

    def run_lanes(device: Any) -> None:
        while not (interrupt.asked or broken.is_set()):
            try:
                lane, values = waiting.get_nowait()
            except queue.Empty:
                return
            log, rows = Log(group.value.num_steps), []
            values = jax.device_put(values, device)
            events = program.drive(programs[device], values, arrays[device], **_periods(group))
            for event in events:
                rows += log.add(event)
                if log.reason or interrupt.asked:
                    break
            if log.is_over:
                keep(lane, rows)

    with ThreadPoolExecutor(len(workers)) as pool:
        for finished in [pool.submit(work, device) for device in workers]:
            finished.result()


def _batches(
    fns: program.Functions,
    group: Group,
    lanes: tuple[Lane, ...],
    strategy: str,
    width: int,
    keep: Keep,
    interrupt: Interrupt,
) -> None:
    import jax
    import numpy as np

    mesh = jax.make_mesh(
        (jax.local_device_count(),),
        ("lane",),
        devices=jax.local_devices(),
        axis_types=(jax.sharding.AxisType.Auto,),
    )
    split, whole = jax.NamedSharding(mesh, jax.P("lane")), jax.NamedSharding(mesh, jax.P())
    data = jax.device_put(group.dataset.arrays, whole)
    batched = _batched(fns, strategy, mesh)
    compiled = None
    for start in range(0, len(lanes), width):
        members = lanes[start : start + width]
        filled = itertools.islice(itertools.chain(members, itertools.repeat(members[-1])), width)
        values = [program.lane(lane.value) for lane in filled]
        batch = jax.device_put(jax.tree.map(lambda *xs: np.stack(xs), *values), split)
        compiled = compiled or program.prepare(batched, batch, data, place=split)
        logs = [Log(group.value.num_steps) for _ in members]
        rows: list[list[dict[str, Any]]] = [[] for _ in members]
        for event in program.drive(compiled, batch, data, **_periods(group)):
            if interrupt.asked and event.step < group.value.num_steps:
                return
            for i, log in enumerate(logs):
                if not log.reason:
                    rows[i] += log.add(_take(event, i))
        for lane, found in zip(members, rows, strict=True):
            keep(lane, found)


def _take(event: program.Event, i: int) -> program.Event:
    """Return what an event of a batch says of its i-th lane."""
    metrics = {name: x[i] for name, x in event.metrics.items()}
    evaluation = event.evaluation and {name: x[i] for name, x in event.evaluation.items()}
    return event._replace(metrics=metrics, evaluation=evaluation)


def _batched(fns: program.Functions, strategy: str, mesh: Any) -> program.Functions:
    """Give the functions of one lane a leading axis of lanes."""
    import jax

    def together(fn: Callable[..., Any], num_mapped: int) -> Callable[..., Any]:
        """Batch the first ``num_mapped`` arguments of ``fn``; the rest is shared."""
        if strategy == "vmap":

            def vmapped(*args: Any) -> Any:
                axes = [0] * num_mapped + [None] * (len(args) - num_mapped)
                return jax.vmap(fn, in_axes=axes)(*args)

            return vmapped

        def mapped(*args: Any) -> Any:
            lanes, shared = args[:num_mapped], args[num_mapped:]
            return jax.lax.map(lambda each: fn(*each, *shared), lanes)

        def on_mesh(*args: Any) -> Any:
            split = [jax.P("lane")] * num_mapped + [jax.P()] * (len(args) - num_mapped)
            return jax.shard_map(
                mapped, mesh=mesh, in_specs=tuple(split), out_specs=jax.P("lane"), check_vma=False
            )(*args)

        return on_mesh

    return fns._replace(
        start=together(fns.start, 1),
        advance=together(fns.advance, 2),
        evaluate=together(fns.evaluate, 2),
    )
