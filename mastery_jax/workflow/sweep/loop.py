"""``loop``: the solo program, called once a lane, lanes dealt over devices or threads.

Every lane equals its solo run bit for bit. A lane that stops is not called again, and nothing
compiles after the first.
"""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mastery_jax.workflow import program
from mastery_jax.workflow.keeper import SECONDS_A_SAVE
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import states
from mastery_jax.workflow.sweep.ledger import Entry, Listener
from mastery_jax.workflow.sweep.plan import Group

__all__ = ["Loop"]


class Loop:
    """The programs of one group, compiled for the devices that are used."""

    def __init__(self, module: str, group: Group, threads: int) -> None:
        """Compile nothing yet; ``threads`` is for a CPU that is one device."""
        self._group, self._threads = group, threads
        self._functions = program.functions(module, group.value, group.spec)
        self._arrays: dict[Any, Any] = {}  # by device
        self._programs: dict[Any, program.Program] = {}

    def digests(self) -> set[str]:
        """Return the digests of what was compiled."""
        return {compiled.digest for compiled in self._programs.values()}

    def advance(
        self, entries: Sequence[Entry], until: int, listener: Listener, interrupt: Interrupt
    ) -> None:
        """Run every lane to the step ``until`` or its end, whichever is first."""
        import jax

        devices = jax.local_devices()
        # One CPU device has one queue: a thread a core keeps all of them busy with one program.
        is_one_cpu = len(devices) == 1 and devices[0].platform == "cpu"
        workers = (devices * self._threads if is_one_cpu else devices)[: len(entries)]
        waiting: queue.SimpleQueue[tuple[Entry, Any]] = queue.SimpleQueue()
        # Traced here and not in the threads: contexts such as jax.enable_x64 are a thread's own.
        for entry in entries:
            waiting.put((entry, program.lane(entry.lane.value)))
        for device in dict.fromkeys(workers):
            self._prepare(device, program.lane(entries[0].lane.value))
        broken = threading.Event()  # an error in one thread stops the others

        def work(device: Any) -> None:
            try:
                while not (interrupt.asked or broken.is_set()):
                    entry, lane = waiting.get_nowait()
                    self._run(device, entry, lane, until, listener, interrupt)
            except queue.Empty:
                return
            except BaseException:
                broken.set()
                raise

        with ThreadPoolExecutor(len(workers)) as pool:
            for finished in [pool.submit(work, device) for device in workers]:
                finished.result()

    def _prepare(self, device: Any, lane: Any) -> None:
        import jax

        if device not in self._programs:
            self._arrays[device] = jax.device_put(self._group.dataset.arrays, device)
            self._programs[device] = program.prepare(
                self._functions, jax.device_put(lane, device), self._arrays[device]
            )

    def _run(
        self,
        device: Any,
        entry: Entry,
        lane: Any,
        until: int,
        listener: Listener,
        interrupt: Interrupt,
    ) -> None:
        """Run one lane."""
        import jax

        compiled, state = self._programs[device], None
        if entry.state is not None:
            state = jax.device_put(states.load(entry.state, compiled.state), device)
        num_steps = self._group.value.num_steps
        log, rows = Log(num_steps, step=entry.step), list(entry.rows)
        saved = time.monotonic()
        for event in program.drive(
            compiled,
            jax.device_put(lane, device),
            self._arrays[device],
            num_steps=min(until, num_steps),
            evaluate_every=self._group.value.evaluate_every,
            state=state,
            first=entry.step,
        ):
            rows += log.add(event)
            is_wanted = event.step >= until or interrupt.asked
            is_wanted |= time.monotonic() - saved > SECONDS_A_SAVE
            if listener.keeps_states if log.is_over else is_wanted:
                content = states.dump(
                    event.state, step=event.step, rows=rows, fields=entry.lane.fields
                )
                listener.pause(entry.lane, event.step, rows, content)
                saved = time.monotonic()
            if log.is_over:
                listener.end(entry.lane, rows)
            if log.is_over or interrupt.asked:
                return
