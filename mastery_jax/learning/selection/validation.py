"""Cross-validation: the score of one estimator on rows that each of its fits has not seen.

    test_f = score(predict(fit(rows of train_f), X), targets; rows of test_f)

The mean over folds estimates the score of a model fitted to (F − 1) / F of the rows, a little worse
than that of all. Its standard deviation is that of one fold; folds share rows to learn from, so
that it is no standard error of the mean.

Source: Stone (1974), *J. R. Stat. Soc. B* 36(2); Bengio & Grandvalet (2004), *JMLR* 5 (there is no
unbiased estimate of its variance).
"""

from functools import partial

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import checked
from mastery_jax.learning.selection import evaluation
from mastery_jax.learning.selection.evaluation import Hyper, Method, Scores, Strategy
from mastery_jax.learning.selection.splits import Folds

__all__ = ["cross_validate"]


@partials.takes("fit", "predict", "score")
@partial(jax.jit, static_argnames=("strategy", "has_states"))
@checked
def cross_validate(
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    folds: Folds,
    *,
    fit: Partial,
    predict: Partial,
    score: Partial,
    hyper: Hyper | None = None,
    weights: Float[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
    strategy: Strategy = "map",
    has_states: bool = False,
) -> Scores:
    """Fit on every fold, and score on the rows in and out of it. F fits.

    Args:
        X: One row per sample. What is learned from rows, such as a scale, belongs into ``fit``.
        targets: One per sample: numbers, or codes of classes.
        folds: Masks of rows, of ``splits`` or your own.
        fit: ``Partial(ridge.fit)``: called as ``fit([key,] X, targets, weights=..., **hyper)``,
            it returns a state, or ``(state, info)``. Options that are not traced are bound:
            ``Partial(logistic.fit, num_classes=3)``.
        predict: Called as ``predict(state, X)``: ``Partial(logistic.predict_log_proba)`` where
            the score wants that.
        score: Called as ``score(predictions, targets, weights=...)``, it returns a number.
        hyper: More keywords of ``fit``, traced.
        weights: Of the rows, ≥ 0, one where None: in the fits as in the scores.
        key: For ``fit``, which is given one where there is one; each fold has its own.
        strategy: ``map`` runs fit after fit: fastest on a CPU. ``vmap`` runs them side by side, as
            an accelerator wants it. Static.
        has_states: Return the fitted states as well. Static.

    Returns:
        Scores of every fold; NaN for a fold with no row to learn from or to be judged by, and for
        a fit that failed. ``infos`` is what the fits say of themselves.

    Raises:
        ValueError: shapes that disagree; ``fit``, ``predict`` or ``score`` is not a Partial; a
            score that is not a number; ``strategy`` is none of those.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> from mastery_jax.learning.selection import splits
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jax.numpy.arange(6.0)[:, None]
        >>> found = cross_validate(X, 2 * X[:, 0], splits.k_fold(6, num_folds=3),
        ...     fit=Partial(ridge.fit, l2=1e-6), predict=Partial(ridge.predict),
        ...     score=Partial(regression.rmse))
        >>> bool((found.test < 1e-3).all()), found.test.shape
        (True, (3,))
    """
    method = Method("validation.cross_validate", fit, predict, score)
    found = evaluation.evaluate_each(
        method,
        X,
        targets,
        folds,
        hyper=evaluation.repeated(hyper, len(folds.train)),
        weights=weights,
        key=key,
        strategy=strategy,
    )
    return found if has_states else found._replace(states=None)
