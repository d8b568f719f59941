"""What a search is worth: hyperparameters chosen within each fold, and judged outside of it.

    c_f = the best of the search over the inner folds of train_f
    test_f = score(predict(fit(rows of train_f; hyper_{c_f}), X), targets; rows of test_f)

The best mean of a search was picked because it is high; here the rows that judge took no part in
the choice. Each outer fold may choose otherwise: what is judged is the search, not a candidate.

Source: Varma & Simon (2006), *BMC Bioinformatics* 7, 91; Cawley & Talbot (2010), *JMLR* 11.
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

__all__ = ["Nested", "cross_validate"]


class Nested(NamedTuple):
    """What every outer fold chose, and how it did."""

    train: Float[Array, " folds"]  # scores of the chosen on the rows of the outer fold
    test: Float[Array, " folds"]  # and on those outside of it
    candidate: Int[Array, " folds"]  # that was chosen; −1 where all failed
    hyper: Hyper  # its hyperparameters, folds first
    mean: Float[Array, "folds candidates"]  # of the scores over the inner folds
    num_failed: Int[Array, " folds"]  # candidates with an inner score that is NaN
    infos: Any  # what the outer fits say of themselves; None where they say nothing


@partials.takes("fit", "predict", "score", "split")
@partial(jax.jit, static_argnames=("is_loss", "strategy"))
@checked
def cross_validate(
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    folds: Folds,
    *,
    split: Partial,
    fit: Partial,
    predict: Partial,
    score: Partial,
    hyper: Hyper,
    is_loss: bool = False,
    weights: Float[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
    strategy: Strategy = "map",
) -> Nested:
    """Search within every outer fold, and score what it chose outside. F (C f + 1) fits.

    Args:
        X: One row per sample.
        targets: One per sample: numbers, or codes of classes.
        folds: The F outer masks of rows.
        split: How the rows of an outer fold are dealt into f inner ones: called as
            ``split(among=rows)``, it returns ``Folds``: ``Partial(splits.k_fold, num_rows=n)``,
            ``Partial(splits.stratified, labels, num_classes=3)``.
        fit: As in ``validation.cross_validate``.
        predict: As there.
        score: As there.
        hyper: Keywords of ``fit``, traced, with the candidates along the first axis.
        is_loss: The least score is best. Static.
        weights: Of the rows, ≥ 0, one where None: in the fits as in the scores.
        key: For ``fit``, which is given one where there is one.
        strategy: As in ``grid_search.search``. Static.

    Returns:
        Scores of the outer folds: NaN for one in which every candidate failed.

    Raises:
        ValueError: ``split`` is not a Partial, or does not return ``Folds``; and as
            ``grid_search.search``.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> from mastery_jax.learning.selection import splits
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jnp.arange(12.0)[:, None]
        >>> found = cross_validate(X, 2 * X[:, 0], splits.k_fold(12, num_folds=3),
        ...     split=Partial(splits.k_fold, num_rows=12, num_folds=2), fit=Partial(ridge.fit),
        ...     predict=Partial(ridge.predict), score=Partial(regression.rmse),
        ...     hyper={"l2": jnp.array([1.0, 1e-6])}, is_loss=True)
        >>> found.candidate, bool((found.test < 1e-3).all())
        (Array([1, 1, 1], dtype=int32), True)
    """
    method = Method("nested.cross_validate", fit, predict, score)
    num = evaluation.candidates(method.where, hyper)
    num_outer = len(folds.train)
    inner = jax.vmap(lambda rows: split(among=rows))(folds.train)
    if not isinstance(inner, Folds):
        raise ValueError(f"{method.where}: split returns {type(inner).__name__}, not Folds")
    search_key, fold_key = evaluation.two_keys(key)
    found = evaluation.evaluate(
        method,
        X,
        targets,
        jax.tree.map(lambda masks: masks.reshape(-1, len(X)), inner),
        hyper=hyper,
        weights=weights,
        key=search_key,
        strategy=strategy,
    )
    mean = found.test.reshape(num, num_outer, -1).mean(axis=2).T
    index = jax.vmap(lambda scores: evaluation.best(scores, is_loss=is_loss))(mean)
    chosen = jax.vmap(lambda each: evaluation.pick(hyper, each))(index)
    last = evaluation.evaluate_each(
        method,
        X,
        targets,
        folds,
        hyper=chosen,
        weights=weights,
        key=fold_key,
        strategy=strategy,
    )
    train, test = (jnp.where(index < 0, jnp.nan, each) for each in (last.train, last.test))
    num_failed = jnp.isnan(mean).sum(axis=1, dtype=jnp.int32)
    return Nested(train, test, index, chosen, mean, num_failed, last.infos)
