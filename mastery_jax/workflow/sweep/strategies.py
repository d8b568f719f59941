"""The three ways to run the lanes of one program.

loop  the solo program, called once a lane: see ``loop``
vmap  lanes as a batch axis of one program, sharded over the devices: see ``batch``
map   lanes one after another inside one program, shared out over the devices: see ``batch``
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from mastery_jax.workflow.run import Interrupt
from mastery_jax.workflow.sweep.batch import Batch, memory
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.loop import Loop
from mastery_jax.workflow.sweep.plan import Group

__all__ = ["Engine", "choose_width", "engine"]

# A batch may fill a quarter of a device's memory with states: the program holds the old and the
# new one, gradients, and its own temporaries beside them.
SHARE_OF_MEMORY = 0.25
MOST_LANES = 256  # of one device in one program: more gain little, and temporaries are many states


class Engine(Protocol):
    """What runs the lanes of one group."""

    def advance(
        self, entries: Sequence[Entry], until: int, ledger: Ledger, interrupt: Interrupt
    ) -> None:
        """Run every lane to the step ``until`` or its end, and tell the ledger."""
        ...


def engine(
    module: str, group: Group, *, strategy: str, width: int, say: Callable[[str], None]
) -> Engine:
    """Return what runs the lanes of ``group`` in this process."""
    if strategy == "loop":
        return Loop(module, group)
    return Batch(module, group, strategy, width, say)


def choose_width(groups: Sequence[Group], wanted: int | None) -> int:
    """Return how many lanes one program of ``vmap`` or ``map`` takes; a multiple of the devices.

    Args:
        groups: What is to be run.
        wanted: What the user asked for; by default what memory allows.
    """
    import jax

    count = jax.device_count()
    most = max(len(group.lanes) for group in groups)
    if wanted is None:
        largest = max(1, *(group.state_bytes for group in groups))
        fitting = min(int(memory() * SHARE_OF_MEMORY / largest), MOST_LANES)
        wanted = max(1, fitting * count)
    return -(-min(wanted, most) // count) * count
