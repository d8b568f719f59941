"""A version that is shown what others answer: its own answers are compared, and go nowhere."""

import asyncio
import functools
from collections.abc import Callable

import numpy as np
from litestar.exceptions import HTTPException

from mastery_jax.workflow.stablehlo import Arrays
from serving.engine.batcher import Outputs
from serving.engine.method import Method
from serving.engine.model import Model
from serving.engine.tally import Tally
from serving.models.served import Served

__all__ = ["shadowed"]

RTOL = 1e-3  # predicted values that differ by less are the same


def shadowed(
    served: Served, model: Model, name: str, x: Arrays
) -> Callable[[Outputs], None] | None:
    """Return what is to be done once a request has its answer; None where nothing is.

    Args:
        served: The model.
        model: The version that answers.
        name: Of the method.
        x: The inputs.
    """
    shadow = served.shadow
    if shadow is None or shadow is model:
        return None
    method, rows = shadow.methods.get(name), len(next(iter(x.values())))
    if method is None or method.spec != model.methods[name].spec or rows > method.largest:
        return None
    return functools.partial(_show, method, x, rows)


def _show(method: Method, x: Arrays, rows: int, answered: Outputs) -> None:
    """Have a shadow compute too, unless it is busy: nobody waits for it, and it waits for all."""
    tally = method.tally
    if rows == 0 or method.batcher.depth:
        tally.refused["shadow_busy"] += rows > 0
        return
    try:
        future = method.batcher.submit(x, rows, float("inf"), is_shadow=True)
    except HTTPException:
        return  # the queue has counted it
    future.add_done_callback(functools.partial(_compare, tally, answered))


def _compare(tally: Tally, answered: Outputs, future: asyncio.Future[Outputs]) -> None:
    if future.cancelled() or future.exception() is not None:
        return
    ours, theirs = (out.get("predictions") for out in (future.result(), answered))
    if ours is None or theirs is None:
        return
    same = int(np.isclose(ours, theirs, rtol=RTOL).reshape(len(ours), -1).all(axis=1).sum())
    tally.agreed += same
    tally.differed += len(ours) - same
