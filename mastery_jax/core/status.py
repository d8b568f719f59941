"""How an iteration ended, as a number that can live inside a compiled program.

An ``Info`` carries ``status: Int[Array, ""]``; nobody inside the library acts on it. The program
that called decides whether a bad end is fatal (``mastery_jax.workflow.run`` does).
"""

from enum import IntEnum

__all__ = ["Status", "describe"]


class Status(IntEnum):
    """Why an iteration stopped, or that it has not."""

    RUNNING = 0
    CONVERGED = 1
    OUT_OF_STEPS = 2
    NOT_FINITE = 3
    DIVERGED = 4
    STALLED = 5
    SINGULAR = 6
    INFEASIBLE = 7
    UNBOUNDED = 8
    BAD_INPUT = 9


_MEANING = {
    Status.RUNNING: "still running",
    Status.CONVERGED: "converged",
    Status.OUT_OF_STEPS: "stopped at max_steps before reaching its tolerance",
    Status.NOT_FINITE: "met a value that is not finite",
    Status.DIVERGED: "moved away from any solution",
    Status.STALLED: "could make no more progress before reaching its tolerance",
    Status.SINGULAR: "met a matrix that has no inverse",
    Status.INFEASIBLE: "found that no point meets the constraints",
    Status.UNBOUNDED: "found that the objective has no lower bound",
    Status.BAD_INPUT: "was given values that have no answer",
}


def describe(status: int) -> str:
    """Return the sentence that belongs to a status.

    Example:
        >>> describe(Status.OUT_OF_STEPS)
        'stopped at max_steps before reaching its tolerance'
    """
    return _MEANING[Status(int(status))]
