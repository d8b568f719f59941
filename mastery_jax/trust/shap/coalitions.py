"""Coalitions: sets of known features, and what a model answers when the others are not known.

    v(S) = Σ_r w_r f(x_S, r_rest)              rows r of a background, their weights summing to 1

Source: Lundberg & Lee (2017), *A unified approach to interpreting model predictions*, eq. 9-11;
Janzing, Minorics & Blöbaum (2020), *Feature relevance quantification in explainable AI* (why the
features that are not known are drawn without regard to those that are).
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

__all__ = ["answer", "shares", "worth"]

ROWS = 1 << 14  # that the model is asked about at once


def answer(model: Partial, X: Array) -> Array:
    """Return answers (n, outputs) of a model that gives one number a row, or several."""
    found = model(X)
    return found[:, None] if found.ndim == 1 else found


def shares(where: str, background: Array, weights: Array | None) -> Array:
    """Return weights that sum to 1; NaN where all are 0, or one is negative. O(rows).

    Raises:
        ValueError: the background has no rows.
    """
    if not len(background):
        raise ValueError(f"{where}: background has no rows")
    if weights is None:
        return jnp.full(len(background), 1 / len(background), background.dtype)
    share = weights.astype(background.dtype) / weights.sum().astype(background.dtype)
    return jnp.where((weights >= 0).all(), share, jnp.nan)


def worth(model: Partial, x: Array, known: Array, background: Array, share: Array) -> Array:
    """Return the worth of coalitions for one row, some at a time. O(coalitions rows), of the model.

    Args:
        model: From rows to answers.
        x: The row that is explained, (d,).
        known: The coalitions, (coalitions, d).
        background: What unknown features are taken from, (rows, d).
        share: Of the background's rows; they sum to 1.
    """
    count, d = known.shape
    size = min(max(ROWS // len(background), 1), count)
    blocks = -(-count // size)
    padded = jnp.pad(known, ((0, blocks * size - count), (0, 0))).reshape(blocks, size, d)

    def some(known: Array) -> Array:
        mixed = jnp.where(known[:, None, :], x[None, None, :], background[None, :, :])
        found = answer(model, mixed.reshape(-1, d)).reshape(len(known), len(background), -1)
        with jax.default_matmul_precision("highest"):
            return jnp.einsum("crk,r->ck", found, share)

    return jax.lax.map(some, padded).reshape(blocks * size, -1)[:count]
