"""Soundness: what trees refuse while tracing, and what they answer with NaN.

Source: IEEE 754 (2019), section 6.2: what has no answer is a NaN, and is passed on.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

__all__ = ["are_codes", "are_targets", "insist", "spoil"]


def insist(where: str, **given: tuple[int, int] | tuple[int, int, int]) -> None:
    """Insist on static numbers: each is given with its least and, it may be, its greatest value.

    Raises:
        ValueError: one is outside its range.

    Example:
        >>> insist("boosting.fit", num_trees=(0, 1))
        Traceback (most recent call last):
        ValueError: boosting.fit: num_trees is 0, not at least 1
    """
    for name, (value, least, *most) in given.items():
        if value < least or (most and value > most[0]):
            wanted = f"{least} to {most[0]}" if most else f"at least {least}"
            raise ValueError(f"{where}: {name} is {value}, not {wanted}")


def are_codes(labels: Array, weights: Array | None, *, num_classes: int) -> Bool[Array, ""]:
    """Say whether every row that counts has a label 0 … num_classes − 1, and weights are sound."""
    is_code = (labels >= 0) & (labels < num_classes)
    return _are_sound(is_code, weights)


def are_targets(y: Array, weights: Array | None) -> Bool[Array, ""]:
    """Say whether every row that counts has a finite target, and weights are sound."""
    return _are_sound(jnp.isfinite(y), weights)


def spoil(tree: Any, is_sound: Array) -> Any:
    """Return NaN for every float of ``tree`` where the data had no meaning."""

    def one(leaf: Array) -> Array:
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.where(is_sound, leaf, jnp.nan) if is_float else leaf

    return jax.tree.map(one, tree)


def _are_sound(is_known: Array, weights: Array | None) -> Array:
    if weights is None:
        return is_known.all()
    is_weight = (weights >= 0) & (weights < jnp.inf)
    return (is_known | (weights == 0)).all() & is_weight.all() & (weights > 0).any()
