"""A position of any form as one vector, and the log density there.

    u = (u_1, …, u_d): the numbers of all leaves, in the order of the tree

Source: https://docs.jax.dev/en/latest/_autosummary/jax.flatten_util.ravel_pytree.html, which makes
the vector and the way back.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array

__all__ = ["flat", "native", "refuse", "value_at"]


def flat(where: str, position: Any) -> tuple[Array, Callable[[Array], Any]]:
    """Return the numbers of a position as a vector, and the way back. O(d).

    Raises:
        ValueError: leaves that are no floats, of several dtypes, or none at all.

    Example:
        >>> x, back = flat("here", {"a": jnp.ones(2), "b": jnp.zeros(())})
        >>> x
        Array([1., 1., 0.], dtype=float32)
    """
    leaves = jax.tree.leaves(position)
    dtypes = {jnp.result_type(leaf) for leaf in leaves}
    if len(dtypes) != 1 or not all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
        came = sorted(map(str, dtypes)) or "none"
        raise ValueError(f"{where}: position has leaves of {came}, not of one floating dtype")
    if sum(jnp.size(leaf) for leaf in leaves) == 0:
        raise ValueError(f"{where}: position has no numbers, not at least one")
    return ravel_pytree(position)


def value_at(where: str, log_density: Partial, position: Any) -> Array:
    """Return the log density of a position, in its dtype. O(1) besides the density.

    Raises:
        ValueError: the log density is not one number.

    Example:
        >>> value_at("here", Partial(lambda x: -x @ x), jnp.ones(2))
        Array(-2., dtype=float32)
    """
    found = log_density(position)
    if jnp.shape(found):
        raise ValueError(f"{where}: log_density has shape {jnp.shape(found)}, not of a scalar")
    return jnp.asarray(found, jnp.result_type(*jax.tree.leaves(position)))


def refuse(where: str, log_density: Partial, position: Any) -> None:
    """Raise what ``value_at`` would, without computing anything.

    Raises:
        ValueError: the log density is not one number.

    Example:
        >>> refuse("here", Partial(lambda x: -x @ x), jnp.ones(2))
    """
    jax.eval_shape(lambda x: value_at(where, log_density, x), position)


def native(x: Array) -> Array:
    """Return an array in the widest dtype that jax computes with now, at most its own. O(d)."""
    return jax.lax.convert_element_type(x, jax.dtypes.canonicalize_dtype(x.dtype))
