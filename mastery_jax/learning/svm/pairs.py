"""One against one: the dual of every pair of classes, cut out of the kernel of all rows.

A pair is solved over all n rows, those of other classes held at 0, unless it is known how many
rows r the largest class has. With rows in the order of their classes the kernel of a pair is four
blocks of r × r, and a step of its search costs O(r), not O(n).

Source: Chang & Lin (2011), *ACM TIST* 2(3), section 7 (rows in the order of their classes).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar
from mastery_jax.learning.svm import dual

__all__ = ["Rows", "all_of", "by_class", "folds", "sides", "solution"]


class Rows(NamedTuple):
    """What the pairs have in common."""

    gram: Float[Array, "n n"]
    labels: Int[Array, " n"]
    costs: Float[Array, " n"]  # largest coefficients; 0 for a row that is as if absent
    starts: Int[Array, " classes"] | None  # first row of every class, where they are in order


def all_of(num_classes: int) -> Int[Array, "pairs 2"]:
    """Return the pairs (0, 1), (0, 2) and so on. O(K²)."""
    return jnp.stack(jnp.triu_indices(num_classes, 1), axis=1).astype(jnp.int32)


def by_class(labels: Array, num_classes: int) -> tuple[Array, Array, Array]:
    """Return the order of rows by class, where each class starts, and how many rows most have.

    Rows of one class stay in their order. O(n (log n + K)).
    """
    codes = jnp.arange(num_classes + 1, dtype=labels.dtype)
    starts = (labels[None, :] < codes[:, None]).sum(axis=1, dtype=jnp.int32)
    return jnp.argsort(labels), starts[:-1], jnp.diff(starts).max()


def sides(labels: Array, pair: Array, costs: Array) -> tuple[Array, Array, Array]:
    """Return the targets of a pair, 1 for its first class, and the ends of the coefficients."""
    is_one, is_other = labels == pair[0], labels == pair[1]
    targets = jnp.where(is_one, 1, jnp.where(is_other, -1, 0)).astype(costs.dtype)
    costs = jnp.where(is_one | is_other, costs, 0)
    return targets, jnp.where(is_other, -costs, 0), jnp.where(is_one, costs, 0)


def solution(
    rows: Rows, pair: Array, coefs: Array | None, *, size: int, atol: Scalar, max_steps: int
) -> tuple[dual.State, dual.Info]:
    """Return the solution for a pair: from coefficients of all rows to such. O(size) a step.

    Args:
        rows: In the order of their classes where they have ``starts``.
        pair: Two codes.
        coefs: To begin with; 0 where None.
        size: Rows of the largest class, or more. Static.
        atol: As in ``dual.solve``, and traced.
        max_steps: Static.
    """
    posed = sides(rows.labels, pair, rows.costs)
    if rows.starts is None:
        return dual.solve(rows.gram, *posed, coefs=coefs, atol=atol, max_steps=max_steps)
    places = [rows.starts[pair[k]] for k in range(2)]
    cut = partial(_cut, labels=rows.labels, pair=pair, places=places, size=size)
    gram = jnp.block(
        [[jax.lax.dynamic_slice(rows.gram, (i, j), (size, size)) for j in places] for i in places]
    )
    start = None if coefs is None else cut(coefs)
    found, info = dual.solve(gram, *map(cut, posed), coefs=start, atol=atol, max_steps=max_steps)
    whole = jnp.zeros_like(rows.costs)
    for k, place in enumerate(places):
        here = jax.lax.dynamic_slice(whole, (place,), (size,))
        is_of = jax.lax.dynamic_slice(rows.labels, (place,), (size,)) == pair[k]
        part = jnp.where(is_of, found.coefs[k * size : (k + 1) * size], here)
        whole = jax.lax.dynamic_update_slice(whole, part, (place,))
    return found._replace(coefs=whole), info


def folds(labels: Array, costs: Array, num_folds: int) -> Int[Array, " n"]:
    """Deal the rows that have a say to the folds in turn, class by class. O(n²)."""
    is_same = (labels[:, None] == labels[None, :]) & (costs > 0)[None, :]
    rank = jnp.tril(is_same, -1).sum(axis=1)
    return rank % num_folds


def _cut(x: Array, *, labels: Array, pair: Array, places: list[Array], size: int) -> Array:
    """Return the rows of a pair in two blocks, 0 where a block reaches into other classes."""
    blocks = []
    for k, place in enumerate(places):
        part, codes = (jax.lax.dynamic_slice(each, (place,), (size,)) for each in (x, labels))
        blocks.append(jnp.where(codes == pair[k], part, 0))
    return jnp.concatenate(blocks)
