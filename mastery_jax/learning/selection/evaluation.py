"""One fit and its two scores, for every candidate and every fold.

    state_cf = fit(X, targets, weights = train_f ∘ w; hyper_c)
    score_cf = score(predict(state_cf, X), targets, weights = test_f ∘ w)

The score of a fit without a model is NaN: of one whose info or state has the ``status`` NOT_FINITE
or BAD_INPUT, as for a fold with rows of one class alone. Codes that such a model predicts look like
any others; where a fit has no status and codes are predicted, a field of its state that is NaN
throughout tells.

A fold is weights of rows, so that all fits have one shape and one program runs them. ``map`` runs
fit after fit, candidate by candidate within a fold: nobody waits for the slowest, and what depends
on the fold alone XLA computes once. ``vmap`` runs them side by side, as an accelerator wants it.

Source: Stone (1974), *J. R. Stat. Soc. B* 36(2), eq. 2.1 (the choice and its assessment).
"""

import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core.status import Status
from mastery_jax.learning.selection.splits import Folds

__all__ = [
    "Best",
    "Hyper",
    "Method",
    "Scores",
    "Strategy",
    "assess",
    "best",
    "candidates",
    "conclude",
    "evaluate",
    "evaluate_each",
    "fitted",
    "is_order",
    "ones",
    "pick",
    "repeated",
    "runner",
    "split_key",
    "two_keys",
]

Hyper = dict[str, Any]
"""Keywords of ``fit``, each an array, or a tree of arrays, with candidates along the first axis."""

Strategy = Literal["map", "vmap"]
"""One fit after another, or all side by side."""


class Method(NamedTuple):
    """An estimator, and how it is judged."""

    where: str  # who asks, for messages
    fit: Partial  # ([key,] X, targets, weights=, **hyper) -> state, or (state, info)
    predict: Partial  # (state, X) -> predictions
    score: Partial  # (predictions, targets, weights=) -> a number


class Best(NamedTuple):
    """What was chosen, and the model that it gives."""

    candidate: Int[Array, ""]  # its number; −1 where there is none
    hyper: Hyper  # its hyperparameters
    state: Any  # the model fitted with them to all rows; None if not asked for
    info: Any  # what that fit says of itself; None where it says nothing


class Scores(NamedTuple):
    """Scores, of candidates (if there are any) on folds."""

    train: Float[Array, "*candidates folds"]  # on the rows that the fit has seen
    test: Float[Array, "*candidates folds"]
    infos: Any  # what every fit says of itself; None where it says nothing
    states: Any  # what every fit found; None where it is not asked for


def evaluate(
    method: Method,
    X: Array,
    targets: Array,
    folds: Folds,
    *,
    hyper: Hyper,
    weights: Array | None,
    key: Array | None,
    strategy: Strategy,
) -> Scores:
    """Fit and score every candidate on every fold. All candidates have the key of a fold.

    Raises:
        ValueError: the score is not a number, or ``strategy`` is none of those.
    """
    weights, run = ones(X, weights), runner(method.where, strategy)

    def on_fold(slot: tuple[Folds, Array | None]) -> Scores:
        fold, key = slot

        def one(values: Hyper) -> Scores:
            found = assess(method, X, targets, fold, weights=weights, key=key, values=values)
            return found._replace(states=None)

        return run(one, hyper)

    found = run(on_fold, (folds, split_key(key, len(folds.train))))
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), found)


def evaluate_each(
    method: Method,
    X: Array,
    targets: Array,
    folds: Folds,
    *,
    hyper: Hyper,
    weights: Array | None,
    key: Array | None,
    strategy: Strategy,
) -> Scores:
    """Fit and score on every fold with hyperparameters of its own, folds first.

    Raises:
        ValueError: the score is not a number, or ``strategy`` is none of those.
    """
    weights = ones(X, weights)

    def one(slot: tuple[Folds, Array | None, Hyper]) -> Scores:
        fold, key, values = slot
        return assess(method, X, targets, fold, weights=weights, key=key, values=values)

    slots = (folds, split_key(key, len(folds.train)), hyper)
    return runner(method.where, strategy)(one, slots)


def repeated(hyper: Hyper | None, num: int) -> Hyper:
    """Return one candidate's hyperparameters as often as there are folds."""

    def one(leaf: Any) -> Array:
        leaf = jnp.asarray(leaf)
        return jnp.broadcast_to(leaf, (num, *leaf.shape))

    return jax.tree.map(one, {} if hyper is None else hyper)


def runner(where: str, strategy: Strategy) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Return how a function is applied along the first axis of a tree.

    Raises:
        ValueError: ``strategy`` is none of those.
    """
    if strategy not in typing.get_args(Strategy):
        known = ", ".join(typing.get_args(Strategy))
        raise ValueError(f"{where}: strategy is {strategy!r}, not one of {known}")
    return jax.lax.map if strategy == "map" else lambda fn, xs: jax.vmap(fn)(xs)


def assess(
    method: Method,
    X: Array,
    targets: Array,
    fold: Folds,
    *,
    weights: Array,
    key: Array | None,
    values: Hyper,
) -> Scores:
    """Fit to the rows of one fold, and score the fit on them and on those that judge it.

    Scores are NaN where there is no model.

    Raises:
        ValueError: the score is not a number.
    """
    train, test = (jnp.where(mask, weights, 0) for mask in (fold.train, fold.test))
    state, info = fitted(method, key, X, targets, train, values)
    predictions = method.predict(state, X)

    def judge(weights: Array) -> Array:
        value = jnp.asarray(method.score(predictions, targets, weights=weights))
        if value.shape:
            problem = f"score returns an array of shape {value.shape}, not a number"
            raise ValueError(f"{method.where}: {problem}")
        return value.astype(X.dtype)

    scores = jax.vmap(judge)(jnp.stack([train, test]))
    scores = jnp.where(_has_model(state, info, predictions), scores, jnp.nan)
    return Scores(scores[0], scores[1], info, state)


def fitted(
    method: Method, key: Array | None, X: Array, targets: Array, weights: Array, values: Hyper
) -> tuple[Any, Any]:
    """Fit once; return the state, and the info or None."""
    first = () if key is None else (key,)
    found = method.fit(*first, X, targets, weights=weights, **values)
    is_pair = isinstance(found, tuple) and not hasattr(found, "_fields") and len(found) == 2
    return found if is_pair else (found, None)


def candidates(where: str, hyper: Hyper) -> int:
    """Return how many candidates there are.

    Raises:
        ValueError: none, or arrays that disagree on their number.
    """
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(hyper)]
    if not all(shapes):
        raise ValueError(f"{where}: hyper has a number where an array of candidates is wanted")
    counts = sorted({shape[0] for shape in shapes})
    if len(counts) != 1 or counts[0] == 0:
        said = f"arrays of {' and '.join(map(str, counts))}" if counts else "no array of"
        raise ValueError(f"{where}: hyper has {said} candidates, not of one number above 0")
    return counts[0]


def best(mean: Array, *, is_loss: bool) -> Array:
    """Return the first of the best candidates, −1 where all scores are NaN."""
    value = -mean if is_loss else mean
    top = value.max(where=~jnp.isnan(value), initial=-jnp.inf)
    is_best = value == top  # a NaN equals nothing
    return jnp.where(is_best.any(), is_best.argmax(), -1).astype(jnp.int32)


def pick(hyper: Hyper, index: Array) -> Hyper:
    """Return the hyperparameters of one candidate; NaN for −1."""
    return _known(jax.tree.map(lambda leaf: leaf[jnp.maximum(index, 0)], hyper), index)


def conclude(
    method: Method,
    X: Array,
    targets: Array,
    *,
    hyper: Hyper,
    index: Array,
    weights: Array | None,
    key: Array | None,
    refit: bool,
) -> tuple[Best, Array]:
    """Fit a candidate to all rows, if asked; return it and the status of the search."""
    chosen, state, info = pick(hyper, index), None, None
    if refit:
        state, info = fitted(method, key, X, targets, ones(X, weights), chosen)
        state = _known(state, index)
    status = jnp.where(index < 0, Status.NOT_FINITE, Status.CONVERGED).astype(jnp.int32)
    return Best(index, chosen, state, info), status


def ones(X: Array, weights: Array | None) -> Array:
    """Return the weights of rows in the dtype of X, one each where None."""
    return jnp.ones(len(X), X.dtype) if weights is None else weights.astype(X.dtype)


def is_order(order: Array) -> Array:
    """Say whether every row stands in ``order`` once. O(n)."""
    return (jnp.zeros_like(order).at[order].add(1) == 1).all()


def split_key(key: Array | None, num: int) -> Array | None:
    """Return ``num`` keys, or None where there is none."""
    return None if key is None else jax.random.split(key, num)


def two_keys(key: Array | None) -> tuple[Array | None, Array | None]:
    """Return a key for the fits on folds and one for the last fit, or None twice."""
    return (None, None) if key is None else tuple(jax.random.split(key))


def _has_model(state: Any, info: Any, predictions: Array) -> Array:
    """Say whether a fit found a model, as far as it tells."""
    status = getattr(info, "status", getattr(state, "status", None))
    if status is not None:
        return ((status != Status.NOT_FINITE) & (status != Status.BAD_INPUT)).all()
    has_model = jnp.array(True)
    if jnp.issubdtype(predictions.dtype, jnp.integer):
        for leaf in jax.tree.leaves(state):
            if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size:
                has_model &= ~jnp.isnan(leaf).all()
    return has_model


def _known(tree: Any, index: Array) -> Any:
    """Return a tree with NaN in place of its floats where the index is −1."""

    def one(leaf: Any) -> Any:
        is_float = jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)
        return jnp.where(index < 0, jnp.nan, leaf) if is_float else leaf

    return jax.tree.map(one, tree)
