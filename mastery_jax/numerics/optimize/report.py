"""How a search ended: what every solver of this room returns beside its answer.

A search that fails says so here, never by an exception: it may be one of a thousand under ``vmap``.

Source: Nocedal & Wright (2006), *Numerical Optimization*, section 2.2 (what a stopping test knows).
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int

__all__ = ["Info"]


class Info(NamedTuple):
    """The end of one search."""

    value: Float[Array, ""]  # objective at the answer, its own unit
    gradient_norm: Float[Array, ""]  # largest absolute entry of the gradient there
    num_steps: Int[Array, ""]  # iterations taken
    num_evals: Int[Array, ""]  # calls of the objective, with or without its gradient
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED
