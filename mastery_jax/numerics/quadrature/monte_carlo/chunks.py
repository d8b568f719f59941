"""Sums over millions of points, a chunk at a time: bounded memory, the same bits on any mesh.

    Σ = ((S_1 + S_2) + ... + S_G),   S_g = ((c_1 + c_2) + ... + c_K)

Chunks c of equal size are added in their order within a group, and groups in theirs; there are at
most 64 groups, so that what is held does not grow with the number of points. A mesh splits the
groups, never a group, and so changes no bit. Sums carry the rounding error of every addition
along. A chunk is computed again in the reverse pass of a derivative instead of being kept.

Source: Knuth (1998), *The Art of Computer Programming* vol. 2, section 4.2.2, theorem B (the exact
error of an addition); Ogita, Rump & Oishi (2005), *SIAM J. Sci. Comput.* 26, 1955, algorithm 4.4.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from mastery_jax.core import loop

__all__ = ["MAX_BYTES", "MAX_SAMPLES", "Plan", "Sum", "add", "block_sum", "exact", "plan", "reduce"]

MAX_BYTES = 2**20
"""What a chunk holds unless told otherwise: as much as stays in the cache of one core."""

MAX_SAMPLES = 2**31 - 1
"""What the 32-bit index of a point reaches."""

_GROUPS = 64
_BLOCK = 256

Part = Callable[[Any, Array, Array], Any]  # data, series, chunk -> what the chunk adds
Merge = Callable[[Any, Any], Any]  # its zero is a tree of zeros


class Plan(NamedTuple):
    """How points are cut; Python integers, for every one of some series of equal length."""

    size: int  # points in a chunk
    num_chunks: int  # in a series
    num_points: int  # in a series
    num_series: int
    per_group: int  # chunks
    num_groups: int  # in a series


class Sum(NamedTuple):
    """A number and what rounding has kept from it."""

    high: Array
    low: Array


def plan(
    where: str,
    num_points: int,
    *,
    bytes_each: int,
    max_bytes: int,
    num_series: int = 1,
    is_binary: bool = False,
) -> Plan:
    """Cut series of points into chunks of at most ``max_bytes``.

    Args:
        where: What a refusal begins with.
        num_points: In one series.
        bytes_each: Of one point, its image in the box, and its value.
        max_bytes: Of a chunk.
        num_series: Sums that are kept apart.
        is_binary: Make the size a power of two; ``num_points`` is one.

    Raises:
        ValueError: not two points fit, or there are more points than 32 bits count.
    """
    if max_bytes < 2 * bytes_each:
        raise ValueError(
            f"{where}: max_bytes is {max_bytes}, not at least {2 * bytes_each}, two points'"
        )
    if num_points * num_series > MAX_SAMPLES:
        raise ValueError(
            f"{where}: num_samples is {num_points * num_series}, not at most {MAX_SAMPLES}; "
            "average calls with keys of their own"
        )
    most = min(max_bytes // bytes_each, num_points)
    if is_binary:
        size = 2 ** int(math.log2(most))
    else:
        size = math.ceil(num_points / math.ceil(num_points / most))
        whole = math.ceil(size / _BLOCK) * _BLOCK
        size = whole if whole <= most else size
    num_chunks = math.ceil(num_points / size)
    per_group = math.ceil(num_chunks / max(1, _GROUPS // num_series))
    num_groups = math.ceil(num_chunks / per_group)
    return Plan(size, num_chunks, num_points, num_series, per_group, num_groups)


def reduce(part: Part, merge: Merge, data: Any, *, plan: Plan, mesh: Mesh | None) -> Any:
    """Merge all chunks of every series, in their order. Memory of one chunk and 64 parts.

    Args:
        part: ``part(data, series, chunk)``: what a chunk adds, a tree of arrays.
        merge: Of two parts. A tree of zeros changes nothing.
        data: What ``part`` needs; it is given to every device.
        plan: From :func:`plan`.
        mesh: Devices that share the groups; none: where the caller runs.

    Returns:
        The merged part of every series, along a new leading axis.
    """
    again = jax.checkpoint(part, prevent_cse=False)
    shapes = jax.eval_shape(part, data, jnp.int32(0), jnp.int32(0))
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def of_groups(data: Any, groups: Array) -> Any:
        def of_group(group: Array) -> Any:
            series, first = group // plan.num_groups, group % plan.num_groups * plan.per_group

            def step(state: Any, chunk: Array) -> tuple[Any, None]:
                here = again(data, series, chunk)
                is_one = chunk < plan.num_chunks
                here = jax.tree.map(lambda leaf: jnp.where(is_one, leaf, 0), here)
                return merge(state, here), None

            steps = first + jnp.arange(plan.per_group, dtype=jnp.int32)
            return loop.scan(step, zero, steps)[0]

        return jax.lax.map(of_group, groups)

    count = plan.num_series * plan.num_groups
    if mesh is None:
        parts = of_groups(data, jnp.arange(count, dtype=jnp.int32))
    else:
        padded = math.ceil(count / mesh.size) * mesh.size
        axes = mesh.axis_names

        def gathered(data: Any, groups: Array) -> Any:
            # Every device then merges all parts: a sum split over devices would round otherwise.
            return jax.lax.all_gather(of_groups(data, groups), axes, tiled=True)

        on_mesh = jax.shard_map(
            gathered,
            mesh=mesh,
            in_specs=(jax.P(), jax.P(axes)),
            out_specs=jax.P(),
            check_vma=False,
        )
        # A group beyond the last repeats it, and is dropped.
        groups = jnp.minimum(jnp.arange(padded, dtype=jnp.int32), count - 1)
        parts = jax.tree.map(lambda leaf: leaf[:count], on_mesh(data, groups))
    shape = (plan.num_series, plan.num_groups)
    parts = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), parts)
    in_order = jax.vmap(lambda parts: loop.scan(lambda s, p: (merge(s, p), None), zero, parts)[0])
    return in_order(parts)


def add(a: Sum, b: Sum) -> Sum:
    """Add, and keep what the two roundings lose."""
    high, error = _add(a.high, b.high)
    return Sum(*_add(high, a.low + b.low + error))


def _add(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a sum and the exact error of its rounding."""
    high = a + b
    of_b = high - a
    return high, (a - (high - of_b)) + (b - of_b)


def exact(value: Array) -> Sum:
    """Return a number as a sum that has lost nothing yet."""
    return Sum(value, jnp.zeros_like(value))


def block_sum(values: Array) -> Array:
    """Add along the last axis in blocks, so that no running sum has many terms."""
    size = values.shape[-1]
    if size % _BLOCK:
        return values.sum(axis=-1)
    return values.reshape(*values.shape[:-1], size // _BLOCK, _BLOCK).sum(axis=-2).sum(axis=-1)
