"""The three ways to run the lanes of one program, in this process.

loop  the solo program, called once a lane: see ``loop``
vmap  lanes as a batch axis of one program, sharded over the devices: see ``batch``
map   lanes one after another inside one program, shared out over the devices: see ``batch``
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mastery_jax.workflow import launch
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import memory
from mastery_jax.workflow.sweep.batch import Batch
from mastery_jax.workflow.sweep.ledger import Entry, Ledger, Listener
from mastery_jax.workflow.sweep.loop import Loop
from mastery_jax.workflow.sweep.plan import Group

__all__ = ["Due", "Here", "Place", "choose_width"]

Due = Sequence[tuple[Group, Sequence[Entry]]]


class Place(Protocol):
    """Where lanes are run: this process, or others."""

    def advance(self, due: Due, until: int, listener: Ledger, interrupt: Interrupt) -> None:
        """Run every lane to the step ``until`` or its end, and tell the listener."""
        ...

    def digests(self) -> list[str]:
        """Return ``program.Program.digest`` of what was compiled, here or where lanes ran."""
        ...


class Here:
    """This process, group after group."""

    def __init__(
        self,
        module: str,
        *,
        strategy: str,
        width: int,
        say: Callable[[str], None],
        threads: int | None = None,
    ) -> None:
        """Compile nothing yet.

        Args:
            module: The experiment.
            strategy: ``loop``, ``vmap`` or ``map``.
            width: The most lanes of a batch.
            say: Where to say what went otherwise than planned.
            threads: How many lanes ``loop`` runs at a time on a CPU; by default one a core.
        """
        self._module, self._strategy, self._width, self._say = module, strategy, width, say
        self.threads = threads or launch.cores()
        self._engines: dict[str, Loop | Batch] = {}
        self._arrays: dict[Any, Any] = {}  # data on devices, which programs share

    def advance(self, due: Due, until: int, listener: Listener, interrupt: Interrupt) -> None:
        """Run every lane to the step ``until`` or its end, and tell the listener."""
        for group, entries in due:
            if not interrupt.asked:
                self._engine(group).advance(entries, until, listener, interrupt)

    def digests(self) -> list[str]:
        """Return ``program.Program.digest`` of what was compiled."""
        return sorted({each for engine in self._engines.values() for each in engine.digests()})

    def _engine(self, group: Group) -> Loop | Batch:
        """Return what runs the lanes that differ from these in floats and seed alone."""
        key = repr(group.constants)
        if key not in self._engines:
            self._engines[key] = (
                Loop(self._module, group, self.threads, self._say, self._arrays)
                if self._strategy == "loop"
                else Batch(
                    self._module, group, self._strategy, self._width, self._say, self._arrays
                )
            )
        return self._engines[key]


def choose_width(groups: Sequence[Group], wanted: int | None) -> int:
    """Return how many lanes one program of ``vmap`` or ``map`` takes; a multiple of the devices.

    Args:
        groups: What is to be run.
        wanted: What the user asked for; by default what memory allows.
    """
    most = max(len(group.lanes) for group in groups)
    return memory.choose_width(max(group.state_bytes for group in groups), most, wanted)
