import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import ridge
from mastery_jax.learning.selection import (
    curves,
    grid_search,
    halving,
    nested,
    splits,
    validation,
)
from mastery_jax.learning.selection.evaluation import Best, Scores
from mastery_jax.learning.selection.splits import Folds
from mastery_jax.probability.metrics import regression
from tests.contract import Case

rng = np.random.default_rng(0)
n = 30
X = rng.normal(size=(n, 3))
y = X @ [1.0, -2.0, 0.5] + rng.normal(size=n)
weights = rng.uniform(0.5, 2, n)
labels = rng.integers(0, 3, n).astype(np.int32)
groups = np.repeat(np.arange(7), [9, 7, 5, 4, 3, 1, 1]).astype(np.int32)
order = rng.permutation(n).astype(np.int32)
sizes = np.array([8, 15], np.int32)
everyone = np.arange(n)
l2 = np.array([1.0, 0.3, 0.01])


def dealt(splitter, *args):
    """Return the masks of a splitter of scikit-learn."""
    masks = np.zeros((2, splitter.get_n_splits(None, None, *args[1:]), n), bool)
    for fold, rows in enumerate(splitter.split(X, *args)):
        for mask, chosen in zip(masks, rows, strict=True):
            mask[fold, chosen] = True
    return Folds(*masks)


folds = dealt(KFold(3, shuffle=True, random_state=0))


def error_by_sklearn(at, weights, train, test, targets=y, X=X):
    """Return the squared errors of a ridge regression of some rows on those and on others."""
    model = Ridge(alpha=at * weights[train].sum()).fit(X[train], targets[train], weights[train])
    off = [(model.predict(X[rows]) - targets[rows]) ** 2 for rows in (train, test)]
    return [
        np.average(each, weights=weights[rows])
        for each, rows in zip(off, (train, test), strict=True)
    ]


def scores_by_loop(weights, folds, values, rows=everyone):
    """Return (2, candidates, folds): scores on the rows of the folds and out of them."""
    pairs = [[m[rows] for m in pair] for pair in zip(folds.train, folds.test, strict=True)]
    found = [
        [error_by_sklearn(at, weights, *(rows[mask] for mask in pair)) for pair in pairs]
        for at in values
    ]
    return np.moveaxis(np.array(found), 2, 0)


def state_by_sklearn(at):
    model = Ridge(alpha=at * weights.sum()).fit(X, y, weights)
    return ridge.State(model.coef_, model.intercept_)


def best_by_sklearn(candidate):
    state = state_by_sklearn(l2[candidate])
    return Best(np.int32(candidate), {"l2": l2[candidate]}, state, None)


def cross_validate_by_sklearn(*_, **__):
    train, test = scores_by_loop(weights, folds, [0.1])
    return Scores(train[0], test[0], None, None)


def grid_search_by_sklearn(*_, **__):
    train, test = scores_by_loop(weights, folds, l2)
    mean = test.mean(axis=1)
    statuses = np.int32(0), np.int32(Status.CONVERGED)
    info = grid_search.Info(mean, test.std(axis=1), train, test, *statuses, None)
    return best_by_sklearn(mean.argmin()), info


def halving_by_definition(*_, **__):
    alive, rungs = np.arange(len(l2)), []
    parts = [[row for row in order if mask[row]] for mask in folds.test]
    share = {row: i / len(part) for part in parts for i, row in enumerate(part)}
    mixed = np.array(sorted(order, key=share.get))
    for num_kept, num_rows in ((3, n // 3), (1, n)):
        if rungs:
            alive = np.sort(alive[np.argsort(rungs[-1].mean, kind="stable")[:num_kept]])
        _, test = scores_by_loop(weights, folds, l2[alive], mixed[:num_rows])
        counts = np.int32(num_rows), alive.astype(np.int32)
        rungs.append(halving.Rung(*counts, test.mean(axis=1), test.std(axis=1), np.int32(0), None))
    info = halving.Info(tuple(rungs), np.int32(Status.CONVERGED))
    return best_by_sklearn(alive[rungs[-1].mean.argmin()]), info


def nested_by_sklearn(*_, **__):
    means, chosen, scores = [], [], []
    for train, test in zip(folds.train, folds.test, strict=True):
        rows = np.flatnonzero(train)
        inner = [[rows[part] for part in pair] for pair in KFold(2).split(rows)]
        found = [[error_by_sklearn(at, weights, *pair)[1] for pair in inner] for at in l2]
        means.append(np.mean(found, axis=1))
        chosen.append(np.argmin(means[-1]))
        scores.append(error_by_sklearn(l2[chosen[-1]], weights, train, test))
    failed = np.zeros(3, np.int32)
    hyper = {"l2": l2[chosen]}
    return nested.Nested(
        *np.transpose(scores), np.array(chosen), hyper, np.array(means), failed, None
    )


def learning_curve_by_sklearn(*_, **__):
    found = [
        [
            error_by_sklearn(0.1, weights, order[train[order]][:size], test)
            for train, test in zip(folds.train, folds.test, strict=True)
        ]
        for size in sizes
    ]
    return curves.Curve(sizes, *np.moveaxis(np.array(found), 2, 0), None)


def validation_curve_by_sklearn(*_, **__):
    return curves.Curve(l2, *scores_by_loop(weights, folds, l2), None)


def in_two(among):
    return splits.k_fold(n, num_folds=2, among=among)


def splitting(name, fn, args, peer, *groups, **static):
    return Case(
        f"splits.{name}",
        fn,
        args,
        static=static,
        oracle=lambda *_, **__: dealt(peer, *groups),
    )


METHOD = {
    "fit": Partial(ridge.fit),
    "predict": Partial(ridge.predict),
    "score": Partial(regression.mse),
    "weights": weights,
}
EXEMPT = {
    "unchecked": ("hyper",),
    "because": "hyper is a tree of arrays: an axis more is a vector for every candidate",
}
SEARCH = {**METHOD, "hyper": {"l2": l2}}
FOLDS = Folds(*map(jnp.asarray, folds))

CASES: tuple[Case, ...] = (
    Case(
        "splits.k_fold",
        splits.k_fold,
        (),
        {"among": np.ones(n, bool)},
        static={"num_rows": n, "num_folds": 4},
        oracle=lambda **_: dealt(KFold(4)),
    ),
    splitting(
        "stratified",
        splits.stratified,
        (labels,),
        StratifiedKFold(4),
        labels,
        num_classes=3,
        num_folds=4,
    ),
    splitting(
        "grouped",
        splits.grouped,
        (groups,),
        GroupKFold(3),
        None,
        groups,
        num_groups=7,
        num_folds=3,
    ),
    splitting(
        "time_series",
        splits.time_series,
        (np.arange(n),),
        TimeSeriesSplit(4, gap=2, max_train_size=9),
        num_folds=4,
        gap=2,
        max_train_size=9,
    ),
    Case(
        "validation.cross_validate",
        validation.cross_validate,
        (X, y, FOLDS),
        {**METHOD, "hyper": {"l2": 0.1}},
        oracle=cross_validate_by_sklearn,
        **EXEMPT,
    ),
    Case(
        "grid_search.search",
        grid_search.search,
        (X, y, FOLDS),
        SEARCH,
        static={"is_loss": True},
        oracle=grid_search_by_sklearn,
        **EXEMPT,
    ),
    Case(
        "halving.search",
        halving.search,
        (X, y, FOLDS, order),
        SEARCH,
        static={"is_loss": True},
        oracle=halving_by_definition,
        **EXEMPT,
    ),
    Case(
        "nested.cross_validate",
        nested.cross_validate,
        (X, y, FOLDS),
        {**SEARCH, "split": Partial(in_two)},
        static={"is_loss": True},
        oracle=nested_by_sklearn,
        **EXEMPT,
    ),
    Case(
        "curves.learning_curve",
        curves.learning_curve,
        (X, y, FOLDS, sizes),
        {**METHOD, "hyper": {"l2": 0.1}, "order": order},
        oracle=learning_curve_by_sklearn,
        **EXEMPT,
    ),
    Case(
        "curves.validation_curve",
        curves.validation_curve,
        (X, y, FOLDS),
        SEARCH,
        oracle=validation_curve_by_sklearn,
        **EXEMPT,
    ),
)
