"""One sweep run by several processes that start alike, on one machine or many: ``jax.distributed``.

Every process plans the same lanes. Under ``loop`` they are dealt to the processes, and after each
round all tell all what became of theirs; under ``vmap`` and ``map`` a batch is sharded over the
devices of all of them, and every process is given every number. So all processes know the same and
choose alike, but the first alone writes the sweep's folder; the others keep theirs for themselves.
"""

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import processes, remote
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.strategies import Due, Here

__all__ = ["Hosts"]

LANES_A_ROUND = 8  # of a thread under loop: what one process may wait for another


class Hosts:
    """All processes of the job."""

    def __init__(
        self, experiment: str, *, strategy: str, width: int, say: Callable[[str], None]
    ) -> None:
        """Compile nothing yet; see ``strategies.Here``."""
        self._here = Here(experiment, strategy=strategy, width=width, say=say)
        self._strategy = strategy
        # Machines may differ; all must deal alike.
        self._threads = min(map(int, processes.gather(b"%d" % self._here.threads)))

    def digests(self) -> list[str]:
        """Return the digests of what was compiled in this process."""
        return self._here.digests()

    def advance(self, due: Due, until: int, listener: Ledger, interrupt: Interrupt) -> None:
        """Run every lane to the step ``until`` or its end, and tell the listener."""
        if self._strategy != "loop":
            self._here.advance(due, until, listener, interrupt)
            return
        import jax

        for group, entries in due:
            size = LANES_A_ROUND * self._threads * jax.process_count()
            for first in range(0, len(entries), size):
                processes.settle(interrupt)
                if interrupt.asked:
                    return
                self._round(group, entries[first : first + size], until, listener, interrupt)

    def _round(
        self,
        group: Any,
        entries: Sequence[Entry],
        until: int,
        listener: Ledger,
        interrupt: Interrupt,
    ) -> None:
        """Run this process's share, then hear of the others'."""
        import jax

        news: list[remote.News] = []
        mine, error = entries[jax.process_index() :: jax.process_count()], None
        reporter = remote.Reporter(news.append, listener.keeps_states)
        try:
            if mine:
                self._here.advance([(group, mine)], until, reporter, _Signal(interrupt))
        except Exception as raised:  # the others must hear of it: they wait
            error = raised
        failure = error and f"{type(error).__name__}: {error}"
        try:
            said = processes.gather(pickle.dumps((news, failure)))
        except processes.Gone:
            _tell(news, entries, listener)  # what this one has done is kept
            raise
        heard = [pickle.loads(each) for each in said]
        _tell([each for found, _ in heard for each in found], entries, listener)
        if error:
            raise error
        for number, (_, failure) in enumerate(heard):
            if failure:
                raise RunError(f"process {number} failed: {failure}")


def _tell(news: Sequence[remote.News], entries: Sequence[Entry], listener: Ledger) -> None:
    lanes = {entry.lane.number: entry.lane for entry in entries}
    for each in sorted(news, key=lambda each: each.number):
        remote.tell(each, lanes[each.number], listener)


class _Signal(Interrupt):
    """What this process alone was asked: its lanes pause at once, and then it says so."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    @property
    def asked(self) -> bool:
        """Say whether a signal came."""
        return self._interrupt.is_signaled
