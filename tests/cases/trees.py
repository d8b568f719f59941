import jax
import numpy as np
from scipy import special

from mastery_jax.learning.trees import (
    adaboost,
    binning,
    boosting_classifier,
    boosting_regressor,
    ensemble,
    forest_classifier,
    forest_regressor,
    tree_classifier,
    tree_regressor,
)
from tests.contract import Case
from tests.learning import grown_trees as by_definition

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
codes = np.digitize(X[:, 0] + 0.3 * rng.normal(size=40), [-0.5, 0.5]).astype(np.int32)
two = (codes > 0).astype(np.int32)
weights = rng.integers(1, 4, size=40).astype(float)
y = np.round(8 * (X[:, 0] ** 2 + X[:, 1] + 0.1 * rng.normal(size=40))) / 8
y[0] -= (weights @ y) / weights[0]  # a mean of 0, so that whole numbers hold them exactly
mixed = X.copy()
mixed[:, 2] = rng.integers(0, 5, 40)  # codes of categories
COUNTED = "what is grown is counted in whole numbers: it jumps, and has no slope between"


def tree_of_classes(X, labels, *, num_classes, weights, criterion, max_depth, **_):
    kind = by_definition.of_classes(criterion)
    stats = np.eye(num_classes)[labels] * weights[:, None]
    nodes = by_definition.grow(X, stats, kind, max_depth=max_depth)
    trees = by_definition.stack([by_definition.lay_out(nodes, kind, room=2 ** (max_depth + 1) - 1)])
    return tree_classifier.State(trees, by_definition.importances(trees, 3)), 0


def tree_of_numbers(X, y, *, weights, max_depth, monotone=None, categorical=(), num_bins=0, **_):
    kind = by_definition.of_numbers()
    bias = (weights * y).sum() / weights.sum()
    stats = np.stack([weights * (y - bias), weights], axis=1)
    nodes = by_definition.grow(
        X, stats, kind, max_depth=max_depth, signs=monotone, sets=categorical
    )
    room, words = 2 ** (max_depth + 1) - 1, -(-num_bins // 32)
    trees = by_definition.stack([by_definition.lay_out(nodes, kind, room=room, words=words)])
    return tree_regressor.State(trees, bias, by_definition.importances(trees, 3)), 0


def mean_of_numbers(state, X):
    return state.bias + by_definition.evaluate(state.trees, X)[:, 0]


def votes_so_far(trees, X):
    heard = np.cumsum(trees.value.max(axis=(1, 2)))
    return by_definition.stages(trees, X) / heard[:, None, None]


def shares(state, X):
    return by_definition.evaluate(state.trees, X)


_tree = tree_of_classes(X, codes, num_classes=3, weights=weights, criterion="gini", max_depth=2)[
    0
].trees
_other = tree_of_classes(
    X, 2 - codes, num_classes=3, weights=weights, criterion="gini", max_depth=2
)
_two = jax.tree.map(lambda *leaves: np.concatenate(leaves), _tree, _other[0].trees)
_each = jax.tree.map(lambda leaf: np.repeat(leaf, 3, axis=0), _two)  # two rounds of three trees
_numbers = tree_of_numbers(X, y, weights=weights, max_depth=2)[0]
_holes = np.where(rng.random(X.shape) < 0.2, np.nan, X)
_small = {"num_trees": 2, "max_depth": 2, "num_bins": 16}
_rounds = {"num_rounds": 2, "max_depth": 2, "num_bins": 256}


def grown(name, fn, args, hyper=None, *, oracle=None, **static):
    return Case(
        name, fn, args, hyper or {}, static, oracle=oracle, modes=(), because=COUNTED
    )  # fmt: skip


CASES = (
    Case(
        "binning.fit",
        binning.fit,
        (X,),
        {"weights": (weights > 1).astype(float)},
        oracle=lambda X, weights, num_bins: binning.Bins(
            np.stack(
                [
                    np.pad(cuts, (0, num_bins - 2 - len(cuts)), constant_values=np.inf)
                    for cuts in by_definition.edges_of(X[weights > 0])
                ]
            )
        ),
        static={"num_bins": 64},
        modes=(),
        because="values are sorted as integers, which have no slope",
    ),
    Case(
        "binning.transform",
        binning.transform,
        (binning.Bins(np.sort(rng.normal(size=(3, 5)), axis=1)), X),
        oracle=lambda bins, X: np.stack(
            [np.searchsorted(edges, column) for edges, column in zip(bins.edges, X.T, strict=True)]
        ),
    ),
    Case("ensemble.evaluate", ensemble.evaluate, (_tree, _holes), oracle=by_definition.evaluate),
    Case("ensemble.stages", ensemble.stages, (_two, _holes), oracle=by_definition.stages),
    Case(
        "ensemble.leaves",
        ensemble.leaves,
        (_tree, X),
        oracle=lambda trees, X: by_definition.leaves(
            ensemble.Trees(*(leaf[0] for leaf in trees)), X
        )[:, None],
    ),
    *(
        grown(
            f"tree_classifier.fit {criterion}",
            tree_classifier.fit,
            (X, codes),
            {"weights": weights},
            oracle=tree_of_classes,
            num_classes=3,
            criterion=criterion,
            max_depth=2,
        )
        for criterion in ("gini", "entropy")
    ),
    grown(
        "tree_regressor.fit",
        tree_regressor.fit,
        (X, y),
        {"weights": weights},
        oracle=tree_of_numbers,
        max_depth=2,
    ),
    grown(
        "tree_regressor.fit signs and sets",
        tree_regressor.fit,
        (mixed, y),
        {"weights": weights, "monotone": np.array([1, -1, 0], np.int32)},
        oracle=tree_of_numbers,
        max_depth=3,
        num_bins=64,
        categorical=(2,),
    ),
    grown(
        "forest_classifier.fit",
        forest_classifier.fit,
        (jax.random.key(0), mixed, codes),
        {"weights": weights},
        num_classes=3,
        out_of_bag=True,
        categorical=(2,),
        **_small,
    ),
    grown(
        "forest_regressor.fit extra trees",
        forest_regressor.fit,
        (jax.random.key(0), X, y),
        bootstrap=False,
        random_thresholds=True,
        **_small,
    ),
    *(
        grown(
            f"boosting_classifier.fit {num_classes} classes",
            boosting_classifier.fit,
            (jax.random.key(0), X, labels),
            {"l2": 0.5, "learning_rate": 0.3},
            num_classes=num_classes,
            **_rounds,
        )
        for num_classes, labels in ((2, two), (3, codes))
    ),
    grown(
        "boosting_regressor.fit",
        boosting_regressor.fit,
        (jax.random.key(0), X, y),
        {"l2": 0.5, "learning_rate": 0.3},
        **_rounds,
    ),
    grown(
        "boosting_regressor.fit quantile",
        boosting_regressor.fit,
        (jax.random.key(0), X, y),
        {"quantile": 0.7, "weights": weights, "monotone": np.array([1, 0, -1], np.int32)},
        loss="quantile",
        **_rounds,
    ),
    grown(
        "adaboost.fit",
        adaboost.fit,
        (X, codes),
        {"learning_rate": 0.5},
        num_classes=3,
        num_rounds=3,
    ),
    *(
        Case(
            f"{module.__name__.rpartition('.')[2]}.{verb}",
            getattr(module, verb),
            (state, X),
            oracle=oracle,
        )
        for module, verb, state, oracle in (
            (tree_classifier, "predict_proba", tree_classifier.State(_tree, np.ones(3)), shares),
            (
                tree_classifier,
                "predict",
                tree_classifier.State(_tree, np.ones(3)),
                lambda state, X: shares(state, X).argmax(axis=1),
            ),
            (tree_regressor, "predict", _numbers, mean_of_numbers),
            (
                forest_classifier,
                "predict_proba",
                forest_classifier.State(_tree, np.ones(3)),
                shares,
            ),
            (
                forest_classifier,
                "predict",
                forest_classifier.State(_tree, np.ones(3)),
                lambda state, X: shares(state, X).argmax(axis=1),
            ),
            (forest_regressor, "predict", forest_regressor.State(*_numbers), mean_of_numbers),
            (boosting_regressor, "predict", boosting_regressor.State(*_numbers), mean_of_numbers),
            (
                boosting_regressor,
                "staged_predict",
                boosting_regressor.State(*_numbers),
                lambda state, X: mean_of_numbers(state, X)[None],
            ),
            (
                boosting_classifier,
                "staged_predict_proba",
                boosting_classifier.State(_each, np.arange(3.0), np.ones(3)),
                lambda state, X: special.softmax(
                    state.bias + by_definition.stages(state.trees, X)[2::3], axis=2
                ),
            ),
            (
                boosting_classifier,
                "staged_predict",
                boosting_classifier.State(_each, np.arange(3.0), np.ones(3)),
                lambda state, X: (state.bias + by_definition.stages(state.trees, X)[2::3]).argmax(
                    axis=2
                ),
            ),
            (
                adaboost,
                "staged_predict_proba",
                adaboost.State(_two, np.ones(3)),
                lambda state, X: special.softmax(votes_so_far(state.trees, X) / 2, axis=2),
            ),
            (
                adaboost,
                "staged_predict",
                adaboost.State(_two, np.ones(3)),
                lambda state, X: by_definition.stages(state.trees, X).argmax(axis=2),
            ),
            (
                boosting_classifier,
                "decision_function",
                boosting_classifier.State(_tree, np.arange(3.0), np.ones(3)),
                lambda state, X: state.bias + shares(state, X),
            ),
            (
                boosting_classifier,
                "predict_proba",
                boosting_classifier.State(_tree, np.arange(3.0), np.ones(3)),
                lambda state, X: special.softmax(state.bias + shares(state, X), axis=1),
            ),
            (
                boosting_classifier,
                "predict",
                boosting_classifier.State(_tree, np.arange(3.0), np.ones(3)),
                lambda state, X: (state.bias + shares(state, X)).argmax(axis=1),
            ),
            (adaboost, "decision_function", adaboost.State(_tree, np.ones(3)), shares),
            (
                adaboost,
                "predict_proba",
                adaboost.State(_tree, np.ones(3)),
                lambda state, X: special.softmax(shares(state, X) / 2, axis=1),
            ),
            (
                adaboost,
                "predict",
                adaboost.State(_tree, np.ones(3)),
                lambda state, X: shares(state, X).argmax(axis=1),
            ),
        )
    ),
)
