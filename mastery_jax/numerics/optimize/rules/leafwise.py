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
        rule: Takes one leaf of each tree, then the numbers, all in the dtype of the first leaf;
            leaves of less than 32 bits, in which 0.999 is 1, are widened for it.
        *trees: Of one structure.
        numbers: Hyperparameters. Traced.

    Example:
        >>> apply(lambda x, a: (a * x, x + a), {"w": jnp.ones(2)}, numbers=(3.0,))
        ({'w': Array([3., 3.], dtype=float32)}, {'w': Array([4., 4.], dtype=float32)})
    """
    columns, rebuild = zip(*map(jax.tree.flatten, trees), strict=True)
    done = [_apply(rule, row, numbers) for row in zip(*columns, strict=True)]
    return tuple(rebuild[0].unflatten(column) for column in zip(*done, strict=True))


def _apply(rule: Callable[..., tuple[Array, ...]], row: tuple[Array, ...], numbers: Any) -> Any:
    dtype = row[0].dtype
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.result_type(float)
    results = rule(*(jnp.asarray(x, wide) for x in (*row, *numbers)))
    return tuple(result.astype(dtype) for result in results)
