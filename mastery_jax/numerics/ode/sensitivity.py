"""The continuous adjoint: how a loss of a path depends on its start, times and field's data.

With a(t) = ∂L/∂y(t) and the data θ of the field,

    y' = f(t, y)        a' = −aᵀ ∂f/∂y        g' = −aᵀ ∂f/∂θ

are solved backwards together; at every time that was asked for, the loss's own slope is added to
a. Nothing of the way there is stored but the states at those times. What comes back is the slope of
the equation, not that of its numerical solution: the two differ by the error of the solver.

Source: Pontryagin, Boltyanskii, Gamkrelidze & Mishchenko (1962), *The Mathematical Theory of
Optimal Processes*, chapter 1; Chen, Rubanova, Bettencourt & Duvenaud (2018), *Neural Ordinary
Differential Equations*, appendix B.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from mastery_jax.core import loop

__all__ = ["Slopes", "backsolve", "join", "slopes_of_times", "split"]


class Slopes(NamedTuple):
    """The slope of a loss, by what a path depends on."""

    floats: Any  # of the field's data
    y: Any  # of the first state
    times: Any


def split(field: Partial) -> tuple[tuple[Any, ...], tuple[Any, ...], Any]:
    """Return the data of a field that are floats, the other data, and what joins them again."""
    leaves, structure = jax.tree.flatten(field)
    is_float = tuple(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves)
    floats = tuple(x for x, yes in zip(leaves, is_float, strict=True) if yes)
    others = tuple(x for x, yes in zip(leaves, is_float, strict=True) if not yes)
    return floats, others, (structure, is_float)


def join(floats: Sequence[Any], others: Sequence[Any], rebuild: Any) -> Partial:
    """Return the field that was split."""
    structure, is_float = rebuild
    left, right = iter(floats), iter(others)
    return structure.unflatten([next(left if yes else right) for yes in is_float])


def backsolve(
    floats: Any,
    others: Any,
    times: Any,
    ys: Any,
    given: Any,
    *,
    rebuild: Any,
    solve: Callable[..., Any],
) -> Slopes:
    """Pull the slopes ``given`` of a loss, one for each state, back to what the states came from.

    Args:
        floats: Data of the field.
        others: Data that has no slope.
        times: When the states were.
        ys: The states, along the leading axis.
        given: ∂L/∂y at each, the other states being held.
        rebuild: As ``split`` returns it.
        solve: ``solve(field, flat, start, end)`` returns a flat vector moved along a field.
    """
    _, unravel = ravel_pytree((ys[0], ys[0], floats))

    def backwards(data: Any, t: Any, flat: Any) -> Any:
        floats, others = data
        y, a, _ = unravel(flat)
        value, pull = jax.vjp(lambda floats, y: join(floats, others, rebuild)(t, y), floats, y)
        along_floats, along_y = pull(-a)
        return ravel_pytree((value, along_y, along_floats))[0]

    def interval(carry: Any, slot: Any) -> tuple[Any, None]:
        a, g = carry
        late, early, y, slope = slot
        flat = ravel_pytree((y, a + slope, g))[0]
        _, a, g = unravel(solve(Partial(backwards, (floats, others)), flat, late, early))
        return (a, g), None

    zeros = (jnp.zeros_like(ys[0]), jax.tree.map(jnp.zeros_like, floats))
    slots = (times[1:], times[:-1], ys[1:], given[1:])
    (a, g), _ = loop.scan(interval, zeros, tuple(jnp.flip(slot, axis=0) for slot in slots))
    field = join(floats, others, rebuild)
    return Slopes(g, a + given[0], slopes_of_times(field, times, ys, given, a))


def slopes_of_times(field: Partial, times: Any, ys: Any, given: Any, a: Any) -> Any:
    """Return ∂L/∂t of every time: a later end moves along the field, a later start away from it.

    Args:
        field: f(t, y).
        times: When the states were.
        ys: The states.
        given: ∂L/∂y at each, the others being held.
        a: ∂L/∂y of the first, by way of the others.
    """
    weights = jnp.concatenate([-a[None], given[1:]])
    return (jax.vmap(field)(times, ys) * weights).reshape(len(times), -1).sum(axis=1)
