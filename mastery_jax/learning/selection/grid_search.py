"""The best of many hyperparameters on rows that the fits have not seen, and its model on all rows.

    mean_c = Σ_f score_cf / F,      best = the first of the candidates whose mean is best

All fits, the choice and the last fit are one program. A candidate whose score on any fold is NaN
is never chosen, and is counted. The best mean is a maximum over candidates: it flatters the model
that it belongs to. ``nested`` asks what the search is worth.

Source: Stone (1974), *J. R. Stat. Soc. B* 36(2), section 3 (choice); Hastie, Tibshirani & Friedman
(2009), *The Elements of Statistical Learning*, section 7.10.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import checked
from mastery_jax.learning.selection import evaluation
from mastery_jax.learning.selection.evaluation import Best, Hyper, Method, Strategy
from mastery_jax.learning.selection.splits import Folds

__all__ = ["Info", "grid", "search"]


class Info(NamedTuple):
    """How the candidates fared."""

    mean: Float[Array, " candidates"]  # of the test scores over the folds
    std: Float[Array, " candidates"]  # population's, of one fold; no error of the mean
    train: Float[Array, "candidates folds"]  # scores on the rows that the fits have seen
    test: Float[Array, "candidates folds"]  # scores on those that they have not
    num_failed: Int[Array, ""]  # candidates with a score that is NaN
    status: Int[Array, ""]  # CONVERGED, or NOT_FINITE where every candidate failed
    fits: Any  # what the fits say of themselves, (candidates, folds)


def grid(**lists: Sequence[Any] | np.ndarray | Array) -> Hyper:
    """Return every combination of some lists of values, the last changing fastest. O(product).

    Args:
        **lists: Values of each hyperparameter. Integers in a list are made floats; an array keeps
            its dtype.

    Returns:
        For each name an array with one value per combination.

    Raises:
        ValueError: no list, or one that is empty or a single number.

    Example:
        >>> grid(l2=[0.1, 1.0], l1=[0.0, 0.5, 1.0])["l1"]
        Array([0. , 0.5, 1. , 0. , 0.5, 1. ], dtype=float32)
    """
    arrays = {name: _values(each) for name, each in lists.items()}
    wrong = [name for name, each in arrays.items() if each.ndim == 0 or len(each) == 0]
    if wrong or not arrays:
        said = f"{wrong[0]} is {lists[wrong[0]]!r}" if wrong else "there is no list"
        raise ValueError(f"grid_search.grid: {said}, where values are wanted")
    rows = np.array(list(itertools.product(*(range(len(each)) for each in arrays.values()))))
    return {name: each[rows[:, i]] for i, (name, each) in enumerate(arrays.items())}


@partials.takes("fit", "predict", "score")
@partial(jax.jit, static_argnames=("is_loss", "refit", "strategy"))
@checked
def search(
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    folds: Folds,
    *,
    fit: Partial,
    predict: Partial,
    score: Partial,
    hyper: Hyper,
    is_loss: bool = False,
    refit: bool = True,
    weights: Float[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
    strategy: Strategy = "map",
) -> tuple[Best, Info]:
    """Score every candidate on every fold, take the best, and fit it to all rows. C F + 1 fits.

    Args:
        X: One row per sample. What is learned from rows, such as a scale, belongs into ``fit``.
        targets: One per sample: numbers, or codes of classes.
        folds: Masks of rows, of ``splits`` or your own.
        fit: As in ``validation.cross_validate``.
        predict: As there.
        score: As there.
        hyper: Keywords of ``fit``, traced, each with the candidates along its first axis: of
            ``grid``, or drawn. What sets a size is bound to ``fit``, one search for each.
        is_loss: The least score is best. Static.
        refit: Fit the best to all rows. Static.
        weights: Of the rows, ≥ 0, one where None: in the fits as in the scores.
        key: For ``fit``, which is given one where there is one: every candidate the same on a fold.
        strategy: ``map`` runs fit after fit: fastest on a CPU. ``vmap`` runs them side by side, as
            an accelerator wants it. Static.

    Returns:
        The best, and how all fared. Candidate −1, and NaN for hyperparameters and model, where
        every candidate failed.

    Raises:
        ValueError: shapes that disagree; no candidate, or arrays of several numbers of them;
            ``fit``, ``predict`` or ``score`` is not a Partial; a score that is not a number;
            ``strategy`` is none of those.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> from mastery_jax.learning.selection import splits
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jnp.arange(6.0)[:, None]
        >>> best, info = search(X, 2 * X[:, 0], splits.k_fold(6, num_folds=3),
        ...     fit=Partial(ridge.fit), predict=Partial(ridge.predict),
        ...     score=Partial(regression.rmse), hyper=grid(l2=[1e-6, 1.0]), is_loss=True)
        >>> int(best.candidate), best.state.weights.round(3), int(info.num_failed)
        (0, Array([2.], dtype=float32), 0)
    """
    method = Method("grid_search.search", fit, predict, score)
    evaluation.candidates(method.where, hyper)
    search_key, last_key = evaluation.two_keys(key)
    found = evaluation.evaluate(
        method,
        X,
        targets,
        folds,
        hyper=hyper,
        weights=weights,
        key=search_key,
        strategy=strategy,
    )
    mean, std = found.test.mean(axis=1), found.test.std(axis=1)
    index = evaluation.best(mean, is_loss=is_loss)
    best, status = evaluation.conclude(
        method,
        X,
        targets,
        hyper=hyper,
        index=index,
        weights=weights,
        key=last_key,
        refit=refit,
    )
    num_failed = jnp.isnan(mean).sum(dtype=jnp.int32)
    return best, Info(mean, std, found.train, found.test, num_failed, status, found.infos)


def _values(given: Any) -> Array:
    values = jnp.asarray(given)
    is_integer = jnp.issubdtype(values.dtype, jnp.integer) and not hasattr(given, "dtype")
    return values.astype(jnp.result_type(float)) if is_integer else values
