"""Losses that boosting descends: what is lost, its slope and its curvature in the raw output.

    log loss       −ln p(label)              p = sigmoid(f), or softmax(f_1 … f_K)
    squared error  (f − y)² / 2
    quantile       (y − f)(q − [y < f])

Source: Friedman (2001), *Greedy function approximation: a gradient boosting machine*, sections 4.1,
4.5 and 4.6; curvatures: Friedman, Hastie & Tibshirani (2000), *Additive logistic regression*,
algorithms 3 and 6; quantiles: Koenker & Bassett (1978), *Regression quantiles*, eq. 2.1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Loss", "log_loss", "quantile_loss", "quantiles_by_node", "squared_error"]


class Loss(NamedTuple):
    """One loss; raw outputs are (outputs, n) throughout."""

    start: Callable[[Array, Array], Array]  # from targets and weights, the best constant outputs
    slopes: Callable[
        [Array, Array], tuple[Array, Array]
    ]  # from outputs and targets, both like them
    value: Callable[[Array, Array], Array]  # from outputs and targets, of every row
    quantile: Float[Array, ""] | None = None  # of its residuals that a leaf says, where it does


def log_loss(num_classes: int) -> Loss:
    """Return the loss of classes, in nats; two have one output, the log-odds of the second."""
    codes = [1] if num_classes == 2 else range(num_classes)

    def is_label(labels: Array, dtype: jnp.dtype) -> Array:
        return (labels[None, :] == jnp.array(list(codes), labels.dtype)[:, None]).astype(dtype)

    def start(labels: Array, weights: Array) -> Array:
        share = (is_label(labels, weights.dtype) * weights[None, :]).sum(axis=1) / weights.sum()
        share = jnp.clip(share, jnp.finfo(share.dtype).eps, 1 - jnp.finfo(share.dtype).eps)
        return jax.scipy.special.logit(share) if len(share) == 1 else jnp.log(share)

    def slopes(outputs: Array, labels: Array) -> tuple[Array, Array]:
        two = len(outputs) == 1
        p = jax.nn.sigmoid(outputs) if two else jax.nn.softmax(outputs, axis=0)
        return p - is_label(labels, p.dtype), p * (1 - p)

    def value(outputs: Array, labels: Array) -> Array:
        if len(outputs) == 1:
            return jax.nn.softplus(jnp.where(labels == 1, -outputs[0], outputs[0]))
        of_label = (outputs * is_label(labels, outputs.dtype)).sum(axis=0)
        return jax.nn.logsumexp(outputs, axis=0) - of_label

    return Loss(start, slopes, value)


def squared_error() -> Loss:
    """Return half the squared error, in squared units of y."""

    def start(y: Array, weights: Array) -> Array:
        return ((weights * y).sum() / weights.sum())[None]

    def slopes(outputs: Array, y: Array) -> tuple[Array, Array]:
        return outputs - y[None, :], jnp.ones_like(outputs)

    return Loss(start, slopes, lambda outputs, y: (outputs[0] - y) ** 2 / 2)


def quantile_loss(quantile: Array) -> Loss:
    """Return the loss that a quantile minimizes, in units of y."""

    def start(y: Array, weights: Array) -> Array:
        one = jnp.zeros(len(y), jnp.int32)
        return quantiles_by_node(y, weights, one, quantile, num_nodes=1)

    def slopes(outputs: Array, y: Array) -> tuple[Array, Array]:
        is_below = (y[None, :] < outputs).astype(y.dtype)
        return is_below - quantile, jnp.ones_like(outputs)

    def value(outputs: Array, y: Array) -> Array:
        return jnp.maximum(quantile * (y - outputs[0]), (quantile - 1) * (y - outputs[0]))

    return Loss(start, slopes, value, quantile)


def quantiles_by_node(
    values: Array,
    weights: Array,
    node: Array,
    quantile: Array,
    *,
    num_nodes: int,
) -> Float[Array, " nodes"]:
    """Return the lowest value of each node that has ``quantile`` of its weight at or below it.

    O(n log n). A node without weight has 0.
    """
    node, values, weights = jax.lax.sort((node, values, weights), num_keys=2)
    through = jnp.cumsum(weights)
    starts = jnp.searchsorted(node, jnp.arange(num_nodes, dtype=node.dtype)).astype(jnp.int32)
    ends = jnp.append(starts[1:], len(node))
    before, after = (jnp.pad(through, (1, 0)).at[at].get() for at in (starts, ends))
    # Rounding of the running sum may move the place by a row of next to no weight, no further.
    at = jnp.searchsorted(through, before + quantile * (after - before)).astype(jnp.int32)
    at = jnp.clip(at, starts, jnp.maximum(ends - 1, starts))
    return jnp.where(after > before, values.at[at].get(mode="clip"), 0)
