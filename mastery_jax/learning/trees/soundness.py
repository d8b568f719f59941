"""Soundness: what trees refuse while tracing, and what they answer with NaN.

Source: IEEE 754 (2019), section 6.2: what has no answer is a NaN, and is passed on.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

__all__ = [
    "are_amounts",
    "are_codes",
    "are_positive",
    "are_signs",
    "are_targets",
    "insist",
    "insist_on_columns",
    "insist_on_two",
    "spoil",
]


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


def insist_on_columns(where: str, columns: tuple[int, ...], num_features: int) -> None:
    """Insist on columns that there are, each named once.

    Raises:
        ValueError: one is not there, or there twice.

    Example:
        >>> insist_on_columns("boosting.fit", (0, 2), 2)
        Traceback (most recent call last):
        ValueError: boosting.fit: categorical is (0, 2), not different columns of 0 to 1
    """
    are_there = all(0 <= column < num_features for column in columns)
    if not are_there or len(set(columns)) < len(columns):
        wanted = f"different columns of 0 to {num_features - 1}"
        raise ValueError(f"{where}: categorical is {columns}, not {wanted}")


def insist_on_two(where: str, signs: Array | None, num_classes: int) -> None:
    """Insist on two classes where there are signs: the shares of more cannot all rise.

    Raises:
        ValueError: there are more.
    """
    if signs is not None and num_classes > 2:
        raise ValueError(f"{where}: monotone is given for {num_classes} classes, not for 2")


def are_amounts(*numbers: Array | float) -> Bool[Array, ""]:
    """Say whether traced numbers are at least 0, and none is NaN."""
    return jnp.stack([jnp.asarray(number) >= 0 for number in numbers]).all()


def are_positive(*numbers: Array | float) -> Bool[Array, ""]:
    """Say whether traced numbers are more than 0."""
    return jnp.stack([jnp.asarray(number) > 0 for number in numbers]).all()


def are_signs(signs: Array | None, categorical: tuple[int, ...]) -> Bool[Array, ""]:
    """Say whether signs are −1, 0 or 1, and 0 where categories have no order to rise by."""
    if signs is None:
        return jnp.bool_(True)
    is_none = signs.at[jnp.array(categorical, jnp.int32)].get() == 0
    return (jnp.abs(signs) <= 1).all() & is_none.all()


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
