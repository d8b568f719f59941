"""Gibbs sampling: blocks of the position, each moved by a kernel of its own, in turn.

    x_b ~ K_b( · | x_b; log p(x_b, x_rest)),        for every block b

A kernel that leaves each conditional as it is leaves the whole as it is; a block may be drawn from
its conditional itself where that is known.

Source: Geman & Geman (1984), *IEEE Trans. Pattern Anal.* 6, 721; Metropolis within Gibbs: Müller
(1991), Purdue technical report 91-09.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc.kernel import Kernel, refresh

__all__ = ["Info", "State", "init", "step"]

Position = dict[str, Any]  # block -> a pytree of floats


class State(NamedTuple):
    """Where one chain stands."""

    position: Position
    log_density: Float[Array, ""]  # of all blocks, nats, up to a constant
    blocks: dict[str, Any]  # the states of their kernels; empty where a block is drawn


class Info(NamedTuple):
    """What happened in one sweep."""

    blocks: dict[str, Any]  # the infos of the kernels; empty where a block is drawn
    is_divergent: Bool[Array, ""]  # of any


@jax.jit
@checked
def init(position: Position, *, log_density: Partial, kernels: dict[str, Any]) -> State:
    """Return a chain that stands at ``position``. What the kernels' ``init`` cost.

    Args:
        position: Name of a block -> its part of the position, any pytree of floats of one dtype.
        log_density: ``position -> log density`` of all blocks, in nats, up to a constant. As
            ``Partial(fn, data)`` its data is traced, its code is static.
        kernels: Name of a block -> the ``Kernel`` that moves it; or ``Partial(fn, data)`` with
            ``fn(*data, key, position) -> block``, which draws it from its conditional exactly.

    Raises:
        ValueError: the names differ, a kernel is none, or the density is no scalar.

    Example:
        >>> from mastery_jax.inference.mcmc import kernel, metropolis
        >>> walk = kernel.bind(metropolis, step_size=1.0)
        >>> f = Partial(lambda p: -((p["a"] - p["b"]) ** 2) / 2 - p["b"] ** 2 / 2)
        >>> at = {"a": jnp.ones(()), "b": jnp.zeros(())}
        >>> float(init(at, log_density=f, kernels={"a": walk, "b": walk}).log_density)
        -0.5
    """
    vector.flat("gibbs.init", position)
    _refuse("gibbs.init", position, kernels)
    value = vector.value_at("gibbs.init", log_density, position)
    blocks = {
        name: kernel.init(position[name], log_density=_conditional(log_density, position, name))
        if isinstance(kernel, Kernel)
        else ()
        for name, kernel in kernels.items()
    }
    return State(position, value, blocks)


@partial(jax.jit, static_argnames=("num_warmup",))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    log_density: Partial,
    kernels: dict[str, Any],
    num_warmup: int = 0,
) -> tuple[State, Info]:
    """Move every block once, in the order of their names. What the kernels' two verbs cost.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        kernels: As in ``init``.
        num_warmup: Sweeps in which kernels that tune do so. Static.

    Returns:
        The new state, and what happened to each block.

    Raises:
        ValueError: the names differ, a kernel is none, or the density is no scalar.

    Example:
        >>> f = Partial(lambda p: -((p["a"] - p["b"]) ** 2) / 2 - p["b"] ** 2 / 2)
        >>> draw_a = Partial(lambda key, p: p["b"] + jax.random.normal(key))
        >>> draw_b = Partial(lambda key, p: p["a"] / 2 + jax.random.normal(key) / 2**0.5)
        >>> kernels = {"a": draw_a, "b": draw_b}
        >>> at = {"a": jnp.ones(()), "b": jnp.zeros(())}
        >>> start = init(at, log_density=f, kernels=kernels)
        >>> state, info = step(jax.random.key(0), start, log_density=f, kernels=kernels)
        >>> bool(state.position["a"] == 1), bool(info.is_divergent)
        (False, False)
    """
    _refuse("gibbs.step", state.position, kernels)
    vector.refuse("gibbs.step", log_density, state.position)
    position, blocks, infos = dict(state.position), dict(state.blocks), {}
    keys = jax.random.split(key, len(kernels))
    is_divergent = jnp.array(False)
    for name, block_key in zip(sorted(kernels), keys, strict=True):
        kernel = kernels[name]
        if not isinstance(kernel, Kernel):
            position[name], infos[name] = _drawn(name, kernel(block_key, position), position), ()
            continue
        density = _conditional(log_density, position, name)
        # The other blocks have moved since this one's density was known.
        here = refresh(blocks[name], kernel.init(position[name], log_density=density))
        blocks[name], infos[name] = kernel.step(
            block_key, here, log_density=density, num_warmup=num_warmup
        )
        position[name] = blocks[name].position
        is_divergent = is_divergent | getattr(infos[name], "is_divergent", False)
    value = vector.value_at("gibbs.step", log_density, position)
    return State(position, value, blocks), Info(blocks=infos, is_divergent=is_divergent)


def _refuse(where: str, position: Position, kernels: dict[str, Any]) -> None:
    if not isinstance(position, dict) or position.keys() != kernels.keys():
        came = sorted(position) if isinstance(position, dict) else type(position).__name__
        raise ValueError(f"{where}: position has blocks {came}, not those of {sorted(kernels)}")
    for name, kernel in kernels.items():
        if not isinstance(kernel, Kernel | Partial):
            raise ValueError(
                f"{where}: kernels[{name!r}] is a {type(kernel).__name__}, not a Kernel"
            )


def _conditional(log_density: Partial, position: Position, name: str) -> Partial:
    rest = {other: value for other, value in position.items() if other != name}
    return Partial(partial(_with_block, name), log_density, rest)


def _with_block(name: str, log_density: Partial, rest: Position, block: Any) -> Array:
    return log_density({**rest, name: block})


def _drawn(name: str, block: Any, position: Position) -> Any:
    """Insist that what was drawn can stand for the block."""
    shapes = [
        jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), tree)
        for tree in (block, position[name])
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(f"gibbs.step: {name} was drawn as {shapes[0]}, not as {shapes[1]}")
    return block
