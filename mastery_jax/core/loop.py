"""The two loops of the house. An algorithm writes ``step``; it never writes a loop."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key

__all__ = ["scan", "until"]

Step = Callable[..., tuple[Any, Any]]


def scan(
    step: Step,
    state: Any,
    xs: Any = None,
    *,
    key: Key[Array, ""] | None = None,
    num_steps: int | None = None,
    **hyper: Any,
) -> tuple[Any, Any]:
    """Apply ``step`` along the leading axis of ``xs``, or ``num_steps`` times.

    With ``key``, every step gets its own subkey as first argument.

    Returns:
        The last state, and every step's info stacked along a new leading axis.

    Raises:
        ValueError: neither ``xs`` nor ``num_steps`` is given.
    """
    if xs is not None:
        num_steps = jax.tree.leaves(xs)[0].shape[0]
    if num_steps is None:
        raise ValueError("loop.scan: give xs or num_steps")
    keys = None if key is None else jax.random.split(key, num_steps)

    def body(state, slot):
        subkey, x = slot
        given = (() if key is None else (subkey,)) + (state,) + (() if xs is None else (x,))
        return step(*given, **hyper)

    return jax.lax.scan(body, state, (keys, xs), length=num_steps)


def until(
    step: Step, state: Any, *, max_steps: int | jax.Array, **hyper: Any
) -> tuple[Any, Any, Any]:
    """Apply ``step`` until its info says ``is_done``, at most ``max_steps`` times.

    Forward-differentiable only; for reverse mode use ``scan`` or an implicit gradient.

    Returns:
        The last state, the last info, and the number of steps taken, at least 1.
    """

    def unfinished(carry):
        (_, info), num_steps = carry
        return (num_steps == 0) | (~info.is_done & (num_steps < max_steps))

    def body(carry):
        (state, _), num_steps = carry
        return step(state, **hyper), num_steps + 1

    # An info of zeros stands in until the first step, which is then compiled once, in the loop.
    shapes = jax.eval_shape(lambda state: step(state, **hyper)[1], state)
    info = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes)
    (state, info), num_steps = jax.lax.while_loop(unfinished, body, ((state, info), 0))
    return state, info, num_steps
