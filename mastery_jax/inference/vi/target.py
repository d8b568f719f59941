"""The posterior as a function of one vector, whatever tree its positions are.

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
from jaxtyping import Array, Float

__all__ = ["flat", "of_vector", "unflat"]


def flat(where: str, position: Any) -> Float[Array, " d"]:
    """Return the numbers of a position. O(d).

    Args:
        where: Of the function that asks, for its error.
        position: A tree of floats of one dtype.

    Raises:
        ValueError: leaves that are no floats, of several dtypes, or none at all.

    Example:
        >>> flat("here", {"a": jnp.ones(2), "b": jnp.zeros(())})
        Array([1., 1., 0.], dtype=float32)
    """
    dtypes = {jnp.result_type(leaf) for leaf in jax.tree.leaves(position)}
    if len(dtypes) != 1 or not all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
        came = sorted(map(str, dtypes)) or "none"
        raise ValueError(f"{where}: position has leaves of {came}, not of one floating dtype")
    return ravel_pytree(position)[0]


def unflat(like: Any) -> Callable[[Array], Any]:
    """Return the way back from a vector to a tree like this one. O(d).

    Args:
        like: A tree of floats.

    Example:
        >>> unflat({"a": jnp.ones(2)})(jnp.array([3.0, 4.0]))
        {'a': Array([3., 4.], dtype=float32)}
    """
    return ravel_pytree(like)[1]


def of_vector(where: str, log_density: Partial, like: Any) -> Callable[[Array], Array]:
    """Return the log density of a vector. O(1) besides the density itself.

    Args:
        where: Of the function that asks, for its error.
        log_density: ``position -> nats``, up to a constant.
        like: A position.

    Raises:
        ValueError: the density of a position is not one number.

    Example:
        >>> fn = of_vector("here", Partial(lambda x: -x["a"].sum()), {"a": jnp.ones(2)})
        >>> fn(jnp.ones(2))
        Array(-2., dtype=float32)
    """
    shape = getattr(jax.eval_shape(log_density, like), "shape", None)
    if shape != ():
        raise ValueError(f"{where}: log_density has shape {shape}, not of a scalar")
    rebuild = unflat(like)
    return lambda u: log_density(rebuild(u))
