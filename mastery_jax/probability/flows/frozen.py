"""Which numbers of a flow are trained: every float that is not in a ``Frozen``.

An interval, an order of coordinates or the signs of a diagonal are numbers of a layer, and must
not follow a gradient, nor a rule that decays all it is given. ``split`` takes them out. Keys among
them (the probes of a trace) can be renewed, so that every step of a fit has its own noise.

Source: Kidger & Garcia (2021), *Equinox: neural networks in JAX via callable PyTrees and filtered
transformations*, section 3 (a tree split in two and joined again).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Frozen", "renew", "split"]


class Frozen(NamedTuple):
    """Arrays that are not trained; any part of ``params`` may be put into one."""

    value: Any


def split(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Return the arrays that are trained, and what puts others in their place. O(leaves).

    Args:
        tree: The parameters of any layers, or of a base.

    Example:
        >>> params = {"w": jnp.ones(2), "interval": Frozen(jnp.array(3.0))}
        >>> trained, join = split(params)
        >>> join([2 * leaf for leaf in trained])["w"]
        Array([2., 2.], dtype=float32)
    """
    leaves, rebuild = jax.tree.flatten(tree, is_leaf=_is_frozen)
    where = [i for i, leaf in enumerate(leaves) if not _is_frozen(leaf) and _is_float(leaf)]

    def join(trained: list[Any]) -> Any:
        filled = list(leaves)
        for i, leaf in zip(where, trained, strict=True):
            filled[i] = leaf
        return rebuild.unflatten(filled)

    return [jnp.asarray(leaves[i]) for i in where], join


def renew(key: Any, tree: Any) -> Any:
    """Return the tree with fresh keys in place of those that it holds. O(leaves).

    Args:
        key: Consumed.
        tree: As in :func:`split`.
    """
    leaves, rebuild = jax.tree.flatten(tree)
    return rebuild.unflatten(
        jax.random.split(jax.random.fold_in(key, i), leaf.shape) if _is_key(leaf) else leaf
        for i, leaf in enumerate(leaves)
    )


def _is_frozen(node: Any) -> bool:
    return isinstance(node, Frozen)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
