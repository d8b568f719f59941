"""Scores by the number of rows, and by one hyperparameter: is it more rows that are wanted?

    learning    score_sf = that of a fit to the first s rows of train_f, in an order of all rows
    validation  score_vf = that of a fit to train_f with the hyperparameter v

A gap between train and test that rows close calls for rows; two curves that met below what is
wanted call for another model.

Source: Perlich, Provost & Simonoff (2003), *JMLR* 4 (by rows); Hastie, Tibshirani & Friedman
(2009), *The Elements of Statistical Learning*, section 7.2 and figure 7.1 (by complexity).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import checked
from mastery_jax.learning.selection import evaluation
from mastery_jax.learning.selection.evaluation import Hyper, Method, Strategy
from mastery_jax.learning.selection.splits import Folds
from mastery_jax.probability.metrics import codes

__all__ = ["Curve", "learning_curve", "validation_curve"]


class Curve(NamedTuple):
    """Scores at some points."""

    at: Any  # numbers of rows, or values of the hyperparameter
    train: Float[Array, "points folds"]  # on the rows that the fit has seen
    test: Float[Array, "points folds"]
    infos: Any  # what every fit says of itself; None where it says nothing


@partials.takes("fit", "predict", "score")
@partial(jax.jit, static_argnames=("strategy",))
@checked
def learning_curve(
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    folds: Folds,
    sizes: Int[Array, " sizes"],
    *,
    fit: Partial,
    predict: Partial,
    score: Partial,
    hyper: Hyper | None = None,
    order: Int[Array, " n"] | None = None,
    weights: Float[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
    strategy: Strategy = "map",
) -> Curve:
    """Score fits to more and more rows of every fold. S F fits, each of n rows.

    Args:
        X: One row per sample.
        targets: One per sample: numbers, or codes of classes.
        folds: Masks of rows, of ``splits`` or your own.
        sizes: Numbers of rows to learn from, in any order. Traced. A row of weight 0 is none.
        fit: As in ``validation.cross_validate``.
        predict: As there.
        score: As there.
        hyper: More keywords of ``fit``, traced.
        order: The rows in the order in which they are added: ``jax.random.permutation(key, n)``;
            None: as they stand, which is wrong where they are sorted.
        weights: Of the rows, ≥ 0, one where None: in the fits as in the scores.
        key: For ``fit``, which is given one where there is one.
        strategy: As in ``validation.cross_validate``. Static.

    Returns:
        Scores for every size and fold; NaN where a fold has fewer rows than the size, for sizes
        below 1, and for an ``order`` in which not every row stands once.

    Raises:
        ValueError: as ``validation.cross_validate``.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> from mastery_jax.learning.selection import splits
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jnp.arange(12.0)[:, None]
        >>> curve = learning_curve(X, X[:, 0] ** 2, splits.k_fold(12, num_folds=3),
        ...     jnp.array([4, 8]), fit=Partial(ridge.fit), predict=Partial(ridge.predict),
        ...     score=Partial(regression.rmse))
        >>> curve.test.shape, bool((curve.test.mean(axis=1) > curve.train.mean(axis=1)).all())
        ((2, 3), True)
    """
    order = jnp.arange(len(X)) if order is None else order
    weights = evaluation.ones(X, weights)
    is_row = (folds.train & (weights != 0)[None, :])[:, order]
    (wanted,) = codes.widened(sizes)
    rank = jnp.cumsum(is_row, axis=1, dtype=wanted.dtype)
    place = jnp.zeros_like(rank).at[:, order].set(rank - 1)
    is_there = (wanted[:, None] <= rank[None, :, -1]) & evaluation.is_order(order)
    grown = folds.train[None] & (place[None] < wanted[:, None, None]) & is_there[:, :, None]
    num_sizes, num_folds, n = grown.shape
    judged = jnp.broadcast_to(folds.test[None] & is_there[:, :, None], grown.shape)
    found = evaluation.evaluate_each(
        Method("curves.learning_curve", fit, predict, score),
        X,
        targets,
        Folds(train=grown.reshape(-1, n), test=judged.reshape(-1, n)),
        hyper=evaluation.repeated(hyper, num_sizes * num_folds),
        weights=weights,
        key=key,
        strategy=strategy,
    )
    found = found._replace(states=None)
    found = jax.tree.map(lambda leaf: leaf.reshape(num_sizes, num_folds, *leaf.shape[1:]), found)
    return Curve(sizes, found.train, found.test, found.infos)


@partials.takes("fit", "predict", "score")
@partial(jax.jit, static_argnames=("strategy",))
@checked
def validation_curve(
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    folds: Folds,
    *,
    fit: Partial,
    predict: Partial,
    score: Partial,
    hyper: Hyper,
    weights: Float[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
    strategy: Strategy = "map",
) -> Curve:
    """Score fits with one hyperparameter at many values. V F fits.

    Args:
        X: One row per sample.
        targets: One per sample: numbers, or codes of classes.
        folds: Masks of rows, of ``splits`` or your own.
        fit: As in ``validation.cross_validate``.
        predict: As there.
        score: As there.
        hyper: The name of the one hyperparameter, and its values.
        weights: Of the rows, ≥ 0, one where None: in the fits as in the scores.
        key: For ``fit``, which is given one where there is one.
        strategy: As in ``grid_search.search``. Static.

    Returns:
        Scores for every value and fold; NaN where a fit failed.

    Raises:
        ValueError: not one hyperparameter; and as ``validation.cross_validate``.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> from mastery_jax.learning.selection import splits
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jnp.arange(12.0)[:, None]
        >>> curve = validation_curve(X, 2 * X[:, 0], splits.k_fold(12, num_folds=3),
        ...     fit=Partial(ridge.fit), predict=Partial(ridge.predict),
        ...     score=Partial(regression.rmse), hyper={"l2": jnp.array([1e-6, 0.1, 1.0])})
        >>> bool((jnp.diff(curve.test.mean(axis=1)) > 0).all())
        True
    """
    method = Method("curves.validation_curve", fit, predict, score)
    if len(hyper) != 1:
        raise ValueError(f"{method.where}: hyper has {len(hyper)} names, not 1")
    evaluation.candidates(method.where, hyper)
    found = evaluation.evaluate(
        method, X, targets, folds, hyper=hyper, weights=weights, key=key, strategy=strategy
    )
    (at,) = hyper.values()
    return Curve(at, found.train, found.test, found.infos)
