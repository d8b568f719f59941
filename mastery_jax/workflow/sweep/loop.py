"""``loop``: the solo program, called once a lane, lanes dealt over devices or threads.

Every lane equals its solo run bit for bit. A lane that stops is not called again, and nothing
compiles after the first. Where threads run out of the memory that they share, there is one less,
and its lane waits.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mastery_jax.workflow import program
from mastery_jax.workflow.keeper import SECONDS_A_SAVE
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import memory, states
from mastery_jax.workflow.sweep.ledger import Entry, Listener
from mastery_jax.workflow.sweep.plan import Group

__all__ = ["Loop"]


class _OutOfMemory(Exception):
    """A lane found too little memory, and can go on from an entry."""

    def __init__(self, entry: Entry, lane: Any, why: Exception) -> None:
        super().__init__(str(why))
        self.left, self.why = (entry, lane), why


class Loop:
    """The programs of one group, compiled for the devices that are used."""

    def __init__(
        self,
        module: str,
        group: Group,
        threads: int,
        say: Callable[[str], None],
        arrays: dict[Any, Any] | None = None,
    ) -> None:
        """Compile nothing yet.

        Args:
            module: The experiment.
            group: Whose lanes are run.
            threads: How many at a time, on a CPU that is one device.
            say: Where to say that there are fewer.
            arrays: Data that other programs have put on devices, and where this one puts its own.
        """
        self._group, self._threads, self._say = group, threads, say
        self._lock = threading.Lock()
        self._functions = program.functions(module, group.value, group.spec)
        self._arrays = {} if arrays is None else arrays  # by data and device
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
        waiting: queue.SimpleQueue[tuple[Entry, Any]] = queue.SimpleQueue()
        # Traced here and not in the threads: contexts such as jax.enable_x64 are a thread's own.
        for entry in entries:
            waiting.put((entry, program.lane(entry.lane.value)))
        # One CPU device has one queue: a thread a core keeps all of them busy with one program.
        is_one_cpu = len(devices) == 1 and devices[0].platform == "cpu"
        for device in devices[: len(entries)]:
            self._prepare(device, program.lane(entries[0].lane.value))
        while not waiting.empty():
            workers = (devices * self._threads if is_one_cpu else devices)[: waiting.qsize()]
            self._work(workers, is_one_cpu, waiting, until, listener, interrupt)
            if interrupt.asked:
                return

    def _work(
        self,
        workers: Sequence[Any],
        is_shared: bool,
        waiting: queue.SimpleQueue[tuple[Entry, Any]],
        until: int,
        listener: Listener,
        interrupt: Interrupt,
    ) -> None:
        """Run what waits, but for what found too little memory that the workers share."""
        broken = threading.Event()  # an error in one thread stops the others

        def work(device: Any) -> None:
            try:
                while not (interrupt.asked or broken.is_set()):
                    entry, lane = waiting.get_nowait()
                    self._run(device, entry, lane, until, listener, interrupt)
            except queue.Empty:
                return
            except _OutOfMemory as error:
                if not is_shared or len(workers) == 1:
                    broken.set()
                    raise error.why from None
                waiting.put(error.left)
                self._narrow()
            except BaseException:
                broken.set()
                raise

        with ThreadPoolExecutor(len(workers)) as pool:
            for finished in [pool.submit(work, device) for device in workers]:
                finished.result()

    def _narrow(self) -> None:
        """Run fewer lanes at a time from here on; the thread that calls this ends."""
        with self._lock:
            if self._threads == 1:  # the last of them, which is going to be tried alone
                return
            self._threads -= 1
            lanes = f"{self._threads} lane{'s' if self._threads > 1 else ''}"
            self._say(f"out of memory: from here on {lanes} at a time")

    def _prepare(self, device: Any, lane: Any) -> None:
        import jax

        if device not in self._programs:
            self._programs[device] = program.prepare(
                self._functions, jax.device_put(lane, device), self._data(device)
            )

    def _data(self, device: Any) -> Any:
        import jax

        key = (self._group.value.data, device)
        if key not in self._arrays:
            self._arrays[key] = jax.device_put(self._group.dataset.arrays, device)
        return self._arrays[key]

    def _run(
        self,
        device: Any,
        entry: Entry,
        lane: Any,
        until: int,
        listener: Listener,
        interrupt: Interrupt,
    ) -> None:
        """Run one lane.

        Raises:
            _OutOfMemory: There was too little memory for it.
        """
        kept = [entry]
        try:
            self._follow(device, kept, lane, until, listener, interrupt)
        except Exception as error:
            if memory.OUT_OF_MEMORY not in str(error):
                raise
            raise _OutOfMemory(kept[-1], lane, error) from error

    def _follow(
        self,
        device: Any,
        kept: list[Entry],
        lane: Any,
        until: int,
        listener: Listener,
        interrupt: Interrupt,
    ) -> None:
        """Run one lane, and keep as what it could go on."""
        import jax

        entry = kept[-1]
        compiled, state = self._programs[device], None
        if (content := entry.content()) is not None:
            state = jax.device_put(states.load(content, compiled.state), device)
        num_steps = self._group.value.num_steps
        log, rows = Log(num_steps, step=entry.step), list(entry.rows)
        saved = time.monotonic()
        for event in program.drive(
            compiled,
            jax.device_put(lane, device),
            self._data(device),
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
                kept[:] = [Entry(entry.lane, event.step, list(rows), content)]
                saved = time.monotonic()
            if log.is_over:
                listener.end(entry.lane, rows)
            if log.is_over or interrupt.asked:
                return
