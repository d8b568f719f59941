"""``vmap`` and ``map``: several lanes in one program, sharded over the devices.

A batch has ``width`` lanes of the same step; fewer are filled up with copies. When half of a batch
or more has ended, what is left goes on in a narrower one, compiled once for each width. A batch
that does not fit into memory is halved.
"""

import contextlib
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from mastery_jax.workflow import program
from mastery_jax.workflow.keeper import SECONDS_A_SAVE
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import processes, states
from mastery_jax.workflow.sweep.ledger import Entry, Listener
from mastery_jax.workflow.sweep.plan import Group

__all__ = ["Batch", "batched", "memory"]

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
MOST_OF_MEMORY = 0.9  # of a device, for what a batch needs beside its data


def memory() -> int:
    """Return the bytes that one device has; of a CPU, its share of what others leave."""
    import jax

    devices = jax.local_devices()
    stats = devices[0].memory_stats() or {}
    return stats.get("bytes_limit") or _host_memory() // len(devices)


def _host_memory() -> int:
    """Return the bytes of the machine that are free, or fewer where this process may have fewer."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(free.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        found.append(int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found)


class Batch:
    """The programs of one group, compiled for the widths that are used."""

    def __init__(
        self, module: str, group: Group, strategy: str, width: int, say: Callable[[str], None]
    ) -> None:
        """Compile nothing yet.

        Args:
            module: The experiment.
            group: Whose lanes are run.
            strategy: ``vmap`` or ``map``.
            width: The most lanes of a batch, a multiple of the number of devices.
            say: Where to say that a batch was halved.
        """
        import jax

        self._group, self._width, self._say = group, width, say
        self._least = jax.device_count()
        mesh = jax.make_mesh((self._least,), ("lane",), axis_types=(jax.sharding.AxisType.Auto,))
        self._split = jax.NamedSharding(mesh, jax.P("lane"))
        self._whole = jax.NamedSharding(mesh, jax.P())
        one = program.functions(module, group.value, group.spec)
        self._data = jax.device_put(group.dataset.arrays, self._whole)
        self._like = jax.eval_shape(one.start, program.lane(group.value), self._data)
        self._functions = batched(one, strategy, mesh)
        self._programs: dict[int, program.Program] = {}

    def digests(self) -> set[str]:
        """Return the digests of what was compiled."""
        return {compiled.digest for compiled in self._programs.values()}

    def advance(
        self, entries: Sequence[Entry], until: int, listener: Listener, interrupt: Interrupt
    ) -> None:
        """Run every lane to the step ``until`` or its end, whichever is first."""
        waiting = list(entries)
        while waiting and not interrupt.asked:
            step = min(entry.step for entry in waiting)
            batch = [entry for entry in waiting if entry.step == step][: self._width]
            chosen = {entry.lane.number for entry in batch}
            waiting = [entry for entry in waiting if entry.lane.number not in chosen]
            try:
                waiting += self._run(batch, until, listener, interrupt)
            except Exception as error:
                if OUT_OF_MEMORY not in str(error) or self._width <= self._least:
                    raise
                self._width = self._fit(self._width // 2)
                self._say(f"out of memory: from here on {self._width} lanes at a time")
                waiting += batch

    def prepared(self, lanes: Sequence[Any]) -> tuple[program.Program, Any, Any]:
        """Return the program for so many lanes, compiled once, the lanes as its batch, its data.

        Raises:
            MemoryError: It needs more than a device has.
        """
        batch, width = self._stack(lanes), len(lanes)
        if width not in self._programs:
            compiled = program.prepare(
                self._functions, batch, self._data, place=self._split, metrics=self._whole
            )
            needs = compiled.advance.memory_analysis()
            needed = needs.output_size_in_bytes + needs.temp_size_in_bytes
            if needed > (most := int(memory() * MOST_OF_MEMORY)):
                raise MemoryError(
                    f"{OUT_OF_MEMORY}: {width} lanes need {needed:,} bytes of each device, "
                    f"{most:,} can be used"
                )
            self._programs[width] = compiled
        return self._programs[width], batch, self._data

    def _fit(self, count: int) -> int:
        """Return the least multiple of the devices that holds ``count``."""
        return max(1, -(-count // self._least)) * self._least

    def _narrow(self, count: int) -> int:
        """Return the narrowest of the widths, each half of the one before, for ``count`` lanes."""
        width = self._width
        while (half := self._fit(width // 2)) >= count and half < width:
            width = half
        return width

    def _stack(self, trees: Sequence[Any]) -> Any:
        import jax
        import jax.numpy as jnp

        return jax.device_put(jax.tree.map(lambda *xs: jnp.stack(xs), *trees), self._split)

    def _run(
        self, batch: Sequence[Entry], until: int, listener: Listener, interrupt: Interrupt
    ) -> list[Entry]:
        """Run one batch; return the lanes that go on in a narrower one."""
        width, num_steps = self._narrow(len(batch)), self._group.value.num_steps
        filled = list(itertools.islice(itertools.chain(batch, itertools.repeat(batch[-1])), width))
        compiled, lanes, data = self.prepared([program.lane(each.lane.value) for each in filled])
        kept = [entry.state for entry in filled if entry.state is not None]
        state = self._stack([states.load(each, self._like) for each in kept]) if kept else None
        courses = [_Course(entry, num_steps) for entry in batch]
        saved = time.monotonic()
        for event in program.drive(
            compiled,
            lanes,
            data,
            num_steps=min(until, num_steps),
            evaluate_every=self._group.value.evaluate_every,
            state=state,
            first=batch[0].step,
            is_steady=processes.are_several(),
        ):
            for place, course in enumerate(courses):
                course.add(event, place, listener)
            if listener.keeps_states and event.step >= num_steps:
                everything = processes.fetch(event.state)
                for place, course in enumerate(courses):
                    course.pause(everything, place, listener)
            alive = [(place, course) for place, course in enumerate(courses) if not course.is_over]
            is_narrower = bool(alive) and self._narrow(len(alive)) < width
            is_due = time.monotonic() - saved > SECONDS_A_SAVE
            is_due, interrupt.asked = processes.agree(is_due, interrupt.asked)
            if not (is_due or is_narrower or interrupt.asked or event.step >= until):
                continue
            everything = processes.fetch(event.state)
            paused = [course.pause(everything, place, listener) for place, course in alive]
            saved = time.monotonic()
            if interrupt.asked or (is_narrower and event.step < min(until, num_steps)):
                return paused
        return []


class _Course:
    """One lane on its way through a batch."""

    def __init__(self, entry: Entry, num_steps: int) -> None:
        self.lane, self.rows = entry.lane, list(entry.rows)
        self._log = Log(num_steps, step=entry.step)
        self.is_over = False

    def add(self, event: program.Event, place: int, listener: Listener) -> None:
        """Take in what an event of the batch says of this lane."""
        if self.is_over:
            return
        self.rows += self._log.add(_take(event, place))
        if self._log.is_over:
            self.is_over = True
            listener.end(self.lane, self.rows)

    def pause(self, everything: Any, place: int, listener: Listener) -> Entry:
        """Keep the lane's own part of the batch's state."""
        import jax

        state = jax.tree.map(lambda leaf: leaf[place], everything)
        step, fields = self._log.step, self.lane.fields
        content = states.dump(state, step=step, rows=self.rows, fields=fields)
        listener.pause(self.lane, step, self.rows, content)
        return Entry(self.lane, step, self.rows, content)


def _take(event: program.Event, place: int) -> program.Event:
    """Return what an event of a batch says of one lane."""
    metrics = {name: x[place] for name, x in event.metrics.items()}
    evaluation = event.evaluation and {name: x[place] for name, x in event.evaluation.items()}
    return event._replace(metrics=metrics, evaluation=evaluation)


def batched(fns: program.Functions, strategy: str, mesh: Any) -> program.Functions:
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
