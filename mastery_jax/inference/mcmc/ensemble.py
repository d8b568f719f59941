"""An ensemble of walkers that measure the target by each other, blind to any affine map of it.

    y = x_j + z (x_k − x_j),   z with density ∝ 1/√z on [1/a, a],   x_j any walker of the other half
    taken with probability min(1, z^(d − 1) p(y) / p(x_k))

Stretching the axes or shearing them changes nothing: no step size, no covariance, no gradient. In
more than some ten dimensions it is slow.

Source: Goodman & Weare (2010), *Commun. Appl. Math. Comput. Sci.* 5, 65, equations 7-9; halves:
Foreman-Mackey, Hogg, Lang & Goodman (2013), *PASP* 125, 306, section 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target

__all__ = ["Info", "State", "init", "rows_of", "step"]


class State(NamedTuple):
    """Where the walkers stand."""

    position: Any  # a pytree whose leaves have a leading axis of walkers
    log_density: Float[Array, " walker"]  # nats, up to a constant


class Info(NamedTuple):
    """What happened in one move of all walkers."""

    accept_prob: Float[Array, ""]  # mean over the walkers, in [0, 1]
    is_accepted: Bool[Array, " walker"]


@jax.jit
@checked
def init(position: Any, *, log_density: Partial) -> State:
    """Return walkers that stand at ``position``. A density for each.

    Args:
        position: A pytree of floats of one dtype, whose leaves have a leading axis of walkers: an
            even number, at least 2d, and not all in one plane, which they would never leave.
        log_density: ``position -> log density`` of one walker, in nats, up to a constant; −inf
            outside the support. As ``Partial(fn, data)`` its data is traced, its code is static.

    Raises:
        ValueError: the number of walkers is odd or below 2d, or the density is no scalar.

    Example:
        >>> walkers = jax.random.normal(jax.random.key(0), (6, 2))
        >>> init(walkers, log_density=Partial(lambda x: -x @ x / 2)).log_density.shape
        (6,)
    """
    rows, _ = rows_of("ensemble.init", position)
    if len(rows) % 2 or len(rows) < 2 * rows.shape[1]:
        raise ValueError(
            f"ensemble.init: position has {len(rows)} walkers, not an even number of at least "
            f"{2 * rows.shape[1]}, twice their dimension"
        )
    value = partial(vector.value_at, "ensemble.init", log_density)
    return State(position, jax.vmap(value)(position))


@jax.jit
@checked
def step(
    key: Key[Array, ""], state: State, *, log_density: Partial, stretch: Scalar = 2.0
) -> tuple[State, Info]:
    """Move every walker once, one half after the other. A density for each, all of a half at once.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the walkers stand.
        log_density: As in ``init``.
        stretch: a, > 1. Traced.

    Returns:
        The new state, and what happened. A density that is NaN or +inf is never walked to.

    Raises:
        ValueError: the density is no scalar.

    Example:
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jax.random.normal(jax.random.key(0), (6, 2)), log_density=f)
        >>> state, info = step(jax.random.key(1), start, log_density=f)
        >>> state.position.shape, bool(info.accept_prob > 0)
        ((6, 2), True)
    """
    rows, back = rows_of("ensemble.step", state.position)
    if len(rows) != state.log_density.size:
        raise ValueError(
            f"ensemble.step: position has {len(rows)} walkers, not {state.log_density.size}"
        )
    half, values, accepted, probs = len(rows) // 2, state.log_density, [], []
    halves = [rows[:half], rows[half:]]
    news = [values[:half], values[half:]]
    for mine, half_key in enumerate(jax.random.split(key)):
        walk = partial(_stretched, log_density, back, stretch, halves[1 - mine])
        keys = jax.random.split(half_key, half)
        halves[mine], news[mine], prob, is_new = jax.vmap(walk)(keys, halves[mine], news[mine])
        probs.append(prob)
        accepted.append(is_new)
    position = jax.vmap(back)(jnp.concatenate(halves))
    return State(position, jnp.concatenate(news)), Info(
        accept_prob=jnp.concatenate(probs).mean(), is_accepted=jnp.concatenate(accepted)
    )


def _stretched(
    log_density: Partial,
    back: Any,
    stretch: Scalar,
    others: Array,
    key: Array,
    x: Array,
    value: Array,
) -> tuple[Array, Array, Array, Array]:
    """Move one walker along the line through another."""
    which_key, stretch_key, accept_key = jax.random.split(key, 3)
    other = others[jax.random.randint(which_key, (), 0, len(others))]
    z = jnp.square((stretch - 1) * jax.random.uniform(stretch_key, (), x.dtype) + 1) / stretch
    there = other + z * (x - other)
    proposed = vector.value_at("ensemble.step", log_density, back(there))
    log_ratio = (x.size - 1) * jnp.log(z) + proposed - value
    prob, is_new = target.decide(accept_key, log_ratio, proposed)
    x, value = target.choose(is_new, (there, proposed), (x, value))
    return x, value, prob, is_new


def rows_of(where: str, position: Any) -> tuple[Array, Any]:
    """Return the walkers as rows, and the way from a row to a position. O(walkers d).

    Raises:
        ValueError: the leaves are no floats of one dtype, or do not share a leading axis.

    Example:
        >>> rows_of("here", {"a": jnp.ones(3), "b": jnp.ones((3, 2))})[0].shape
        (3, 3)
    """
    vector.flat(where, position)
    heads = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(position)}
    if len(heads) != 1 or heads == {()}:
        raise ValueError(f"{where}: position has leading axes {sorted(heads)}, not one of walkers")
    first = jax.tree.map(lambda x: x[0], position)
    return jax.vmap(lambda x: ravel_pytree(x)[0])(position), ravel_pytree(first)[1]
