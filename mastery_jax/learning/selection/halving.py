"""Successive halving: the better part of the candidates go on, with more rows.

    C_0 candidates, C_{i+1} = ⌈C_i / η⌉           n_i = ⌊n / η^{R−1−i}⌋ rows in round i of R

In every round the candidates that are left are cross-validated on n_i rows, the first of every
fold in an order and in proportion, so that no fold is empty; the best C_{i+1} by mean go on, and
the last round has all rows. With R = 1 + ⌊log_η C_0⌋ rounds every round costs about as much,
C_0 n / η^{R−1} row-fits a fold in place of C_0 n. What is best on few rows may not be best on many:
that is what it pays with.

Source: Karnin, Koren & Somekh (2013), *ICML*, algorithm 1; Jamieson & Talwalkar (2016), *AISTATS*,
figure 3 (for hyperparameters).
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
from mastery_jax.learning.selection.evaluation import Best, Hyper, Method, Strategy
from mastery_jax.learning.selection.splits import Folds

__all__ = ["Info", "Rung", "search"]


class Rung(NamedTuple):
    """One round."""

    num_rows: Int[Array, ""]  # that it looks at, in train and test together
    candidates: Int[Array, " kept"]  # who takes part
    mean: Float[Array, " kept"]  # of the test scores over the folds
    std: Float[Array, " kept"]  # population's, of one fold
    num_failed: Int[Array, ""]  # of them, with a score that is NaN
    fits: Any  # what the fits say of themselves, (kept, folds)


class Info(NamedTuple):
    """How the candidates fared."""

    rungs: tuple[Rung, ...]
    status: Int[Array, ""]  # CONVERGED, or NOT_FINITE where all of one round failed


@partials.takes("fit", "predict", "score")
@partial(jax.jit, static_argnames=("factor", "num_rungs", "is_loss", "refit", "strategy"))
@checked
def search(
    X: Float[Array, "n d"],
    targets: Float[Array, " n"] | Int[Array, " n"],
    folds: Folds,
    order: Int[Array, " n"],
    *,
    fit: Partial,
    predict: Partial,
    score: Partial,
    hyper: Hyper,
    factor: int = 3,
    num_rungs: int | None = None,
    is_loss: bool = False,
    refit: bool = True,
    weights: Float[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
    strategy: Strategy = "map",
) -> tuple[Best, Info]:
    """Search by rounds. About R C F fits of n / η^{R−1} rows; each round is compiled for itself.

    Args:
        X: One row per sample.
        targets: One per sample: numbers, or codes of classes.
        folds: Masks of rows, of ``splits`` or your own; a round has its rows' part of them.
        order: The rows of every fold in the order in which they are added:
            ``jax.random.permutation(key, n)``, unless they stand at random already. It must mix
            what a fold has: rows sorted by class or by time make the first rounds learn from few.
        fit: As in ``validation.cross_validate``.
        predict: As there.
        score: As there.
        hyper: Keywords of ``fit``, traced, with the candidates along the first axis.
        factor: η ≥ 2: one in η goes on. Static.
        num_rungs: R ≥ 1; 1 + ⌊log_η C⌋ where None: the last round then has fewer than η
            candidates, and one alone where C is a power of η. Static.
        is_loss: The least score is best. Static.
        refit: Fit the best to all rows. Static.
        weights: Of the rows, ≥ 0, one where None: in the fits as in the scores.
        key: For ``fit``, which is given one where there is one.
        strategy: As in ``grid_search.search``. Static.

    Returns:
        The best of the last round, and every round. Candidates with a score that is NaN go last.
        Candidate −1, hyperparameters and model NaN where all of any round failed, so that who went
        on was not chosen, and for an ``order`` in which not every row stands once.

    Raises:
        ValueError: ``factor`` or ``num_rungs`` is out of range, or the first round would have fewer
            rows than folds; and as ``grid_search.search``.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> from mastery_jax.learning.selection import splits
        >>> from mastery_jax.probability.metrics import regression
        >>> X = jnp.arange(24.0)[:, None]
        >>> best, info = search(X, 2 * X[:, 0], splits.k_fold(24, num_folds=2),
        ...     jax.random.permutation(jax.random.key(0), 24), fit=Partial(ridge.fit),
        ...     predict=Partial(ridge.predict), score=Partial(regression.rmse),
        ...     hyper={"l2": jnp.array([1.0, 0.1, 1e-4])}, is_loss=True)
        >>> int(best.candidate), [int(rung.num_rows) for rung in info.rungs]
        (2, [8, 24])
    """
    method = Method("halving.search", fit, predict, score)
    num = evaluation.candidates(method.where, hyper)
    sizes = _sizes(len(X), num, len(folds.train), factor, num_rungs)
    is_sound = evaluation.is_order(order)
    folds = Folds(train=folds.train & is_sound, test=folds.test & is_sound)
    order = _by_folds(order, folds)
    weights = evaluation.ones(X, weights)
    search_key, last_key = evaluation.two_keys(key)
    rungs: list[Rung] = []
    for number, (num_kept, num_rows) in enumerate(sizes):
        rows = order[:num_rows]
        alive = _survivors(rungs[-1], num_kept, is_loss) if rungs else jnp.arange(num)
        found = evaluation.evaluate(
            method,
            X[rows],
            targets[rows],
            Folds(train=folds.train[:, rows], test=folds.test[:, rows]),
            hyper=jax.tree.map(lambda leaf, alive=alive: leaf[alive], hyper),
            weights=weights[rows],
            key=None if search_key is None else jax.random.fold_in(search_key, number),
            strategy=strategy,
        )
        mean, std = found.test.mean(axis=1), found.test.std(axis=1)
        counts = jnp.int32(num_rows), jnp.isnan(mean).sum(dtype=jnp.int32)
        kept = alive.astype(jnp.int32)
        rungs.append(Rung(counts[0], kept, mean, std, counts[1], found.infos))
    first = evaluation.best(rungs[-1].mean, is_loss=is_loss)
    is_chosen = (first >= 0) & jnp.stack([~jnp.isnan(rung.mean).all() for rung in rungs]).all()
    best, status = evaluation.conclude(
        method,
        X,
        targets,
        hyper=hyper,
        index=jnp.where(is_chosen, rungs[-1].candidates[first], -1),
        weights=weights,
        key=last_key,
        refit=refit,
    )
    return best, Info(tuple(rungs), status)


def _by_folds(order: Array, folds: Folds) -> Array:
    """Return an order that begins with the first of every fold, and goes on in proportion."""
    # A row is of the first fold that it judges; those that judge none are a fold of their own.
    judges = folds.test[:, order]
    fold = jnp.where(judges.any(axis=0), judges.argmax(axis=0), len(judges))
    is_of = fold[None, :] == jnp.arange(len(judges) + 1)[:, None]
    share = (jnp.cumsum(is_of, axis=1) - 1) / is_of.sum(axis=1)[:, None]
    return order[jnp.argsort(jnp.where(is_of, share, 0).sum(axis=0))]


def _survivors(rung: Rung, num_kept: int, is_loss: bool) -> Array:
    """Return who goes on, in the order of the candidates. NaN is sorted last."""
    worth = rung.mean if is_loss else -rung.mean
    return jnp.sort(rung.candidates[worth.argsort()[:num_kept]])


def _sizes(
    num_rows: int, num: int, num_folds: int, factor: int, num_rungs: int | None
) -> list[tuple[int, int]]:
    """Return how many candidates and how many rows every round has."""
    if factor < 2:
        raise ValueError(f"halving.search: factor is {factor}, not at least 2")
    if num_rungs is None:
        num_rungs = 1
        while factor**num_rungs <= num:
            num_rungs += 1
    if num_rungs < 1:
        raise ValueError(f"halving.search: num_rungs is {num_rungs}, not at least 1")
    sizes = []
    for rung in range(num_rungs):
        sizes.append((num, num_rows // factor ** (num_rungs - 1 - rung)))
        num = -(-num // factor)
    if sizes[0][1] < num_folds:
        few = f"num_rungs is {num_rungs}, which leaves {sizes[0][1]} rows for {num_folds} folds"
        raise ValueError(f"halving.search: {few} in the first round")
    return sizes
