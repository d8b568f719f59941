"""Permutation importance: how much worse a model is judged with one feature taken from other rows.

    I_j = s(f(X), y) − mean_r s(f(X with x_·j taken in order π_r), y)

Of a loss the sign is turned, so that more is always more important. Orders are the same for all
features, so that these are compared on equal terms. Features that go with each other share what
they tell: each may be missed little while both are.

Source: Breiman (2001), *Random forests*, *Machine Learning* 45, section 10; Fisher, Rudin &
Dominici (2019), *All models are wrong, but many are useful*, *JMLR* 20(177), section 3.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import checked

__all__ = ["State", "estimate"]


class State(NamedTuple):
    """What every feature is worth, in the unit of the score."""

    importances: Float[Array, " d"]  # mean over orders
    std_error: Float[Array, " d"]  # of the mean, over orders; NaN of a single one
    score: Float[Array, ""]  # of the rows as they are
    each: Float[Array, "d orders"]  # what every order cost


@partials.takes("model", "score")
@partial(jax.jit, static_argnames=("num_repeats", "is_loss"))
@checked
def estimate(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    *,
    model: Partial,
    score: Partial,
    num_repeats: int = 5,
    weights: Float[Array, " n"] | None = None,
    is_loss: bool = False,
) -> State:
    """Judge the model with each feature in other orders. d · repeats + 1 answers of the model.

    Args:
        key: Draws the orders.
        X: Rows that the model has not seen, better than those it has; memory is O(n d).
        targets: One per sample: numbers, or codes of classes.
        model: A ``Partial`` from (n, d) to predictions: ``Partial(ridge.predict, state)``.
        score: Called as ``score(predictions, targets, weights=...)``, it returns a number.
        num_repeats: Orders, at least 1. Static.
        weights: Of the rows, ≥ 0; one where None. Values come from rows in proportion to their
            weight, each ⌊n w/Σw⌋ or ⌈n w/Σw⌉ times: where all weigh alike, once.
        is_loss: Whether less is better. Static.

    Returns:
        The importances; exactly 0 for a feature that the model does not read. NaN where the score
        is, as where no row has weight.

    Raises:
        ValueError: shapes disagree; ``model`` or ``score`` is not a Partial; the score is not a
            number; ``num_repeats`` is less than 1.

    Example:
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jnp.stack([jnp.arange(8.0), jnp.ones(8)], axis=1)
        >>> found = estimate(jax.random.key(0), X, X[:, 0], model=Partial(lambda X: X[:, 0]),
        ...     score=Partial(regression.rmse), is_loss=True)
        >>> bool(found.importances[0] > 1), float(found.importances[1])
        (True, 0.0)
    """
    where, (n, d) = "permutation_importance.estimate", X.shape
    if num_repeats < 1:
        raise ValueError(f"{where}: num_repeats is {num_repeats}, not at least 1")
    given = jnp.ones(n, X.dtype) if weights is None else weights.astype(X.dtype)
    draw = partial(_draw, weights=weights, num_rows=n)
    orders = jax.lax.map(draw, jax.random.split(key, num_repeats)).astype(jnp.int32)
    own = jnp.arange(n, dtype=jnp.int32)

    def judge(each: tuple[Array, Array]) -> Array:
        feature, order = each
        order = jnp.where(order < 0, own, orders.at[order].get(mode="clip"))
        column = X.at[:, feature].get(mode="clip")
        mixed = X.at[:, feature].set(column.at[order].get(mode="clip"))
        value = jnp.asarray(score(model(mixed), targets, weights=given))
        if value.shape:
            raise ValueError(
                f"{where}: score returns an array of shape {value.shape}, not a number"
            )
        return value.astype(X.dtype)

    # The rows as they are go through the same loop: another program might round otherwise, and a
    # feature that is not read would be worth that.
    features, numbers = jnp.divmod(jnp.arange(d * num_repeats, dtype=jnp.int32), num_repeats)
    pairs = (jnp.append(features, 0), jnp.append(numbers, -1))
    *_, whole = scores = jax.lax.map(judge, pairs)
    each = scores[:-1] - whole if is_loss else whole - scores[:-1]
    each = each.reshape(d, num_repeats)
    spread = each.std(axis=1, ddof=1) / jnp.sqrt(jnp.asarray(num_repeats, X.dtype))
    return State(each.mean(axis=1), spread, whole, each)


def _draw(key: Array, *, weights: Array | None, num_rows: int) -> Int[Array, " n"]:
    """Return which row each one takes its value from."""
    if weights is None:
        return jax.random.permutation(key, num_rows)
    step_key, order_key = jax.random.split(key)
    through = jnp.cumsum(weights)
    start = jax.random.uniform(step_key, (), weights.dtype)
    place = (jnp.arange(num_rows, dtype=weights.dtype) + start) / num_rows * through[-1]
    rows = jnp.searchsorted(through, place, side="right").astype(jnp.int32)
    last = jnp.where(weights > 0, jnp.arange(num_rows, dtype=jnp.int32), -1).max()
    return jax.random.permutation(order_key, jnp.minimum(rows, last))
