"""One formula applied to every leaf of several trees, its numbers cast to the leaf's dtype.

    (u, m, v)_leaf = rule(g_leaf, m_leaf, v_leaf, *numbers)

The rules beside this file are written for one array; this is how they act on any tree of arrays.

Source: JAX, *Pytrees*, https://docs.jax.dev/en/latest/pytrees.html.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mastery_jax.core.check import Scalar

__all__ = ["apply"]


def apply(
    rule: Callable[..., tuple[Array, ...]],
    *trees: Any,
    numbers: tuple[Scalar | Int[Array, ""], ...],
) -> tuple[Any, ...]:
    """Return one tree for each result of ``rule(*leaves, *numbers)``. O(size).

    Args:
        rule: Takes one leaf of each tree, then the numbers in the dtype of the first leaf.
        *trees: Of one structure.
        numbers: Hyperparameters. Traced.

    Example:
        >>> apply(lambda x, a: (a * x, x + a), {"w": jnp.ones(2)}, numbers=(3.0,))
        ({'w': Array([3., 3.], dtype=float32)}, {'w': Array([4., 4.], dtype=float32)})
    """
    columns, rebuild = zip(*map(jax.tree.flatten, trees), strict=True)
    rows = zip(*columns, strict=True)
    done = [rule(*row, *(jnp.asarray(n, row[0].dtype) for n in numbers)) for row in rows]
    return tuple(rebuild[0].unflatten(column) for column in zip(*done, strict=True))
