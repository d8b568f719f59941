"""Drawing: which features a node looks at, and bits for the thresholds of those.

Source: Breiman (2001), *Random forests*, section 4 (features drawn for each node); Floyd, in
Bentley (1987), *Programming pearls: a sample of brilliance*, algorithm F2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, UInt32

from mastery_jax.core import loop

__all__ = ["Drawn", "draw"]


class Drawn(NamedTuple):
    """What was drawn for some nodes; None where nothing is."""

    key: Key[Array, ""] | None  # for the next nodes
    features: Int[Array, "chosen nodes"] | None
    bits: UInt32[Array, "chosen nodes"] | None


def draw(
    key: Array | None,
    num_features: int,
    num_nodes: int,
    *,
    max_features: int | None,
    is_random: bool,
) -> Drawn:
    """Return the next key, every node's features, and bits for its thresholds.

    Args:
        key: Consumed; None where nothing is drawn.
        num_features: Of the data. Static.
        num_nodes: Static.
        max_features: Of a node; all where None. Static.
        is_random: Whether thresholds are drawn. Static.
    """
    if key is None:
        return Drawn(None, None, None)
    key, feature_key, draw_key = jax.random.split(key, 3)
    num_chosen, features = num_features, None
    if max_features is not None and max_features < num_features:
        num_chosen = max_features
        features = _subsets(feature_key, num_features, num_chosen, num_nodes)
    if not is_random:
        return Drawn(key, features, None)
    return Drawn(key, features, jax.random.bits(draw_key, (num_chosen, num_nodes), "uint32"))


def _subsets(key: Array, num_features: int, num_chosen: int, width: int) -> Array:
    """Draw as many different features for each of ``width`` nodes, every set as likely.

    Floyd's rule: of the first j features one is drawn; where it is taken, the j-th is taken.
    """
    bits = jax.random.bits(key, (num_chosen, width), "uint32")

    def step(chosen: Array, k: Array) -> tuple[Array, None]:
        newest = num_features - num_chosen + k
        one = (bits[k] % (newest + 1).astype(bits.dtype)).astype(jnp.int32)
        one = jnp.where((chosen == one[None]).any(axis=0), newest, one)
        return chosen.at[k].set(one), None

    none = jnp.full((num_chosen, width), -1, jnp.int32)
    return loop.scan(step, none, jnp.arange(num_chosen, dtype=jnp.int32))[0]
