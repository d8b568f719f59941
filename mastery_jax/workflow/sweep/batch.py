"""``vmap`` and ``map``: several lanes in one program, sharded over the devices.

A batch has ``width`` lanes of the same step; fewer are filled up with copies. When half of a batch
or more has ended, what is left goes on in a narrower one, compiled once for each width. A batch
that would not fit into memory is halved before it is run; one that does not, where it is.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mastery_jax.workflow import program
from mastery_jax.workflow.keeper import SECONDS_A_SAVE
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import memory, processes, states
from mastery_jax.workflow.sweep.ledger import Entry, Listener
from mastery_jax.workflow.sweep.plan import Group, Lane

__all__ = ["Batch", "batched"]


class _Course:
    """One lane on its way through a batch."""

    def __init__(self, entry: Entry, num_steps: int) -> None:
        self.lane, self.rows = entry.lane, list(entry.rows)
        self._log = Log(num_steps, step=entry.step)
        self.is_over = False

    def add(self, event: program.Event, place: int) -> bool:
        """Take in what an event of the batch says of this lane; say whether it ends with it."""
        if self.is_over:
            return False
        self.rows += self._log.add(_take(event, place))
        self.is_over = self._log.is_over
        return self.is_over

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


class Batch:
    """The programs of one group, compiled for the widths that are used."""

    def __init__(
        self,
        module: str,
        group: Group,
        strategy: str,
        width: int,
        say: Callable[[str], None],
        arrays: dict[Any, Any] | None = None,
    ) -> None:
        """Compile nothing yet.

        Args:
            module: The experiment.
            group: Whose lanes are run.
            strategy: ``vmap`` or ``map``.
            width: The most lanes of a batch, a multiple of the number of devices.
            say: Where to say that a batch was halved.
            arrays: Data that other programs have put on devices, and where this one puts its own.
        """
        import jax

        self._group, self.width, self._say = group, width, say
        self._memory = memory.available()
        self._least = jax.device_count()
        mesh = jax.make_mesh((self._least,), ("lane",), axis_types=(jax.sharding.AxisType.Auto,))
        self._split = jax.NamedSharding(mesh, jax.P("lane"))
        self._whole = jax.NamedSharding(mesh, jax.P())
        one = program.functions(module, group.value, group.spec)
        arrays, key = {} if arrays is None else arrays, (group.value.data, None)
        if key not in arrays:
            arrays[key] = jax.device_put(group.dataset.arrays, self._whole)
        self.data = arrays[key]
        self._like = jax.eval_shape(one.start, program.lane(group.value), self.data)
        self._functions = batched(one, strategy, mesh)
        self.programs: dict[int, program.Program] = {}  # by width

    def digests(self) -> set[str]:
        """Return the digests of what was compiled."""
        return {compiled.digest for compiled in self.programs.values()}

    def advance(
        self, entries: Sequence[Entry], until: int, listener: Listener, interrupt: Interrupt
    ) -> None:
        """Run every lane to the step ``until`` or its end, whichever is first."""
        waiting = list(entries)
        while waiting and not interrupt.asked:
            step = min(entry.step for entry in waiting)
            batch = [entry for entry in waiting if entry.step == step][: self.width]
            chosen = {entry.lane.number for entry in batch}
            waiting = [entry for entry in waiting if entry.lane.number not in chosen]
            waiting += self._run(batch, until, listener, interrupt)

    def prepare(self, lanes: Sequence[Lane]) -> tuple[program.Program, Any] | None:
        """Compile for so many lanes, once a width; halve the width where they do not fit.

        Args:
            lanes: At most the width; filled up with copies of the last.

        Returns:
            The program and the lanes on their devices, or ``None`` where there are now too many.
        """
        width = self.narrow(len(lanes))
        filled = itertools.islice(itertools.chain(lanes, itertools.repeat(lanes[-1])), width)
        try:
            stacked = self._stack([program.lane(each.value) for each in filled])
            if width not in self.programs:
                self.programs[width] = program.prepare(
                    self._functions, stacked, self.data, place=self._split, metrics=self._whole
                )
        except Exception as error:
            self._halve(width, error)
            return None
        made = self.programs[width]
        needed = memory.needed((made.start, made.advance, made.evaluate))
        if needed > self._memory * memory.SHARE_OF_PROGRAMS and width > self._least:
            del self.programs[width]
            self._narrow_to(
                width // 2,
                f"{width} lanes need {needed:,} bytes of a device that has {self._memory:,.0f} "
                "left",
            )
            return None
        return made, stacked

    def _halve(self, width: int, error: Exception) -> None:
        """Go on with half as many lanes, if memory is what there was too little of."""
        if memory.OUT_OF_MEMORY not in str(error) or width <= self._least:
            raise error
        self._narrow_to(width // 2, "out of memory")

    def _narrow_to(self, count: int, why: str) -> None:
        self.width = self._fit(count)
        self._say(f"{why}: from here on {self.width} lanes at a time")

    def _fit(self, count: int) -> int:
        """Return the least multiple of the devices that holds ``count``."""
        return max(1, -(-count // self._least)) * self._least

    def narrow(self, count: int) -> int:
        """Return the narrowest of the widths, each half of the one before, for ``count`` lanes."""
        width = self.width
        while (half := self._fit(width // 2)) >= count and half < width:
            width = half
        return width

    def _stack(self, trees: Sequence[Any]) -> Any:
        """Put trees of arrays of the host along a leading axis, split over the devices."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        def stack(*leaves: Any) -> Any:
            # NumPy is faster, one jax operation a lane being saved, but knows no random keys.
            return (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves)

        return jax.device_put(jax.tree.map(stack, *trees), self._split)

    def _run(
        self, batch: Sequence[Entry], until: int, listener: Listener, interrupt: Interrupt
    ) -> list[Entry]:
        """Run one batch; return the lanes that go on in a narrower one."""
        prepared = self.prepare([entry.lane for entry in batch])
        if prepared is None:
            return list(batch)
        courses = [_Course(entry, self._group.value.num_steps) for entry in batch]
        event: program.Event | None = None
        try:
            for event in self._events(prepared, batch, until):
                paused = self._look(event, courses, until, listener, interrupt)
                if paused is not None:
                    return paused
        except Exception as error:
            self._halve(self.narrow(len(batch)), error)
            # What the last event left is sound: those that go on do so from there.
            return self._pause(event, courses, listener) if event else list(batch)
        return []

    def _events(
        self, prepared: tuple[program.Program, Any], batch: Sequence[Entry], until: int
    ) -> Iterator[program.Event]:
        """Yield what the batch as a whole goes through."""
        compiled, lanes = prepared
        width = self.narrow(len(batch))
        kept = [content for each in batch if (content := each.content()) is not None]
        kept += kept[-1:] * (width - len(batch))
        self._saved = time.monotonic()
        return program.drive(
            compiled,
            lanes,
            self.data,
            num_steps=min(until, self._group.value.num_steps),
            evaluate_every=self._group.value.evaluate_every,
            state=self._stack([states.load(each, self._like) for each in kept]) if kept else None,
            first=batch[0].step,
            is_steady=processes.are_several(),
        )

    def _look(
        self,
        event: program.Event,
        courses: Sequence[_Course],
        until: int,
        listener: Listener,
        interrupt: Interrupt,
    ) -> list[Entry] | None:
        """Take in an event; return the lanes that go on otherwise, if the batch is to end here."""
        ended = [(i, course) for i, course in enumerate(courses) if course.add(event, i)]
        if listener.keeps_states and ended:
            everything = processes.fetch(event.state)
            for place, course in ended:
                course.pause(everything, place, listener)
        for _, course in ended:
            listener.end(course.lane, course.rows)
        count = sum(not course.is_over for course in courses)
        is_narrower = count > 0 and self.narrow(count) < self.narrow(len(courses))
        is_due = time.monotonic() - self._saved > SECONDS_A_SAVE
        is_due = processes.settle(interrupt, is_due)
        if not (is_due or is_narrower or interrupt.asked or event.step >= until):
            return None
        paused = self._pause(event, courses, listener)
        is_on = event.step < min(until, self._group.value.num_steps)
        return paused if interrupt.asked or (is_narrower and is_on) else None

    def _pause(
        self, event: program.Event, courses: Sequence[_Course], listener: Listener
    ) -> list[Entry]:
        """Keep the lanes that are not over as the event left them."""
        self._saved = time.monotonic()
        alive = [(place, course) for place, course in enumerate(courses) if not course.is_over]
        everything = processes.fetch(event.state) if alive else None
        return [course.pause(everything, place, listener) for place, course in alive]


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
