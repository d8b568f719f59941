"""Boosting: by the definition, stopped by rows held out, quantiles, and the same as its peers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import datasets
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingRegressor

from mastery_jax.learning.trees import adaboost, boosting_classifier, boosting_regressor
from tests.learning import grown_trees as by_definition

key = jax.random.key(0)
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
codes = np.digitize(X[:, 0] + 0.3 * rng.normal(size=40), [-0.5, 0.5]).astype(np.int32)
y = X[:, 0] ** 2 + X[:, 1] + 0.1 * rng.normal(size=40)
HYPER = {"num_rounds": 3, "max_depth": 2, "l2": 0.5, "learning_rate": 0.3, "num_bins": 256}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def boosted(start, slopes, loss, *, num_rounds, max_depth, l2, rate, outputs, signs=None):
    """Boost by the definition; return trees, importances and the loss after each round."""
    kind = by_definition.of_slopes(l2=l2, rate=rate)
    raw, trees, losses = np.tile(start[:, None], (1, len(X))), [], []
    for _ in range(num_rounds):
        g, h = slopes(raw)
        moved = raw.copy()
        for k in range(outputs):
            stats = np.stack([g[k], h[k]], axis=1)
            nodes = by_definition.grow(X, stats, kind, max_depth=max_depth, signs=signs)
            tree = by_definition.lay_out(nodes, kind, room=2 ** (max_depth + 1) - 1)
            moved[k] += tree.value[by_definition.leaves(tree, X), 0]
            trees.append(tree._replace(value=tree.value * np.eye(outputs)[k]))
        raw = moved
        losses.append(loss(raw))
    trees = by_definition.stack(trees)
    return trees, by_definition.importances(trees, 3), np.array(losses)


def of_classes(labels, *, num_classes, l2, learning_rate, num_rounds, max_depth, **_):
    outputs = 1 if num_classes == 2 else num_classes
    targets = np.eye(num_classes)[labels].T[num_classes - outputs :]
    share = targets.mean(axis=1)
    start = special.logit(share) if outputs == 1 else np.log(share)

    def probs(raw):
        return special.expit(raw) if outputs == 1 else special.softmax(raw, axis=0)

    def loss(raw):
        p = probs(raw)
        p = np.concatenate([1 - p, p]) if outputs == 1 else p
        return -np.log(p[labels, np.arange(len(labels))]).mean()

    trees, shares, losses = boosted(
        start, lambda raw: (probs(raw) - targets, probs(raw) * (1 - probs(raw))), loss,
        num_rounds=num_rounds, max_depth=max_depth, l2=l2, rate=learning_rate, outputs=outputs,
    )  # fmt: skip
    info = boosting_classifier.Info(losses, None, num_rounds, 0)
    return boosting_classifier.State(trees, start, shares), info


def of_numbers(*, num_rounds, max_depth, l2, learning_rate, monotone=None, **_):
    trees, shares, losses = boosted(
        y.mean(keepdims=True), lambda raw: (raw - y, np.ones_like(raw)),
        lambda raw: ((raw[0] - y) ** 2).mean() / 2,
        num_rounds=num_rounds, max_depth=max_depth, l2=l2, rate=learning_rate, outputs=1,
        signs=monotone,
    )  # fmt: skip
    info = boosting_regressor.Info(losses, None, num_rounds, 0)
    return boosting_regressor.State(trees, y.mean(), shares), info


def stumps(labels, *, num_classes, num_rounds, learning_rate):
    kind = by_definition.of_classes("gini")
    weights, trees, says, errors = np.ones(len(X)), [], [], []
    for _ in range(num_rounds):
        nodes = by_definition.grow(
            X, np.eye(num_classes)[labels] * weights[:, None], kind, max_depth=1, min_leaf=0
        )
        tree = by_definition.lay_out(nodes, kind, room=3)
        # Of the library the value of a node that is split is nothing; here its row is not read.
        vote = tree.value.argmax(axis=1)
        is_wrong = vote[by_definition.leaves(tree, X)] != labels
        error = weights[is_wrong].sum() / weights.sum()
        say = learning_rate * (np.log((1 - error) / error) + np.log(num_classes - 1))
        votes = say * (np.eye(num_classes)[vote] * num_classes - 1) / (num_classes - 1)
        votes[0] = 0
        weights = weights * np.exp(say * is_wrong)
        weights *= len(X) / weights.sum()
        trees.append(tree._replace(value=votes))
        says.append(say)
        errors.append(error)
    trees, says = by_definition.stack(trees), np.array(says)
    each = [
        by_definition.importances(jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], trees), 3)
        for i in range(num_rounds)
    ]
    trees = trees._replace(value=trees.value / says.sum())
    state = adaboost.State(trees, says @ np.array(each) / says.sum())
    return state, adaboost.Info(np.array(errors), num_rounds)


def close(found, wanted):
    """Slopes are held to one part in 2³⁰ of their sum, and so are their gains and covers."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_classifier_is_what_the_definition_says(num_classes):
    labels = np.minimum(codes, num_classes - 1)
    found = boosting_classifier.fit(key, X, labels, num_classes=num_classes, **HYPER)
    close(found, of_classes(labels, num_classes=num_classes, **HYPER))
    probs = np.asarray(boosting_classifier.staged_predict_proba(found[0], X))
    np.testing.assert_allclose(probs.sum(axis=2), 1, rtol=1e-12)
    np.testing.assert_allclose(probs[-1], boosting_classifier.predict_proba(found[0], X))
    said = probs[:, np.arange(len(X)), labels]
    np.testing.assert_allclose(-np.log(said).mean(axis=1), found[1].loss, rtol=1e-6)


def test_a_regressor_is_what_the_definition_says():
    close(boosting_regressor.fit(key, X, y, **HYPER), of_numbers(**HYPER))


def test_adaboost_is_what_the_definition_says():
    found = adaboost.fit(X, codes, num_classes=3, num_rounds=3, learning_rate=0.5)
    close(found, stumps(codes, num_classes=3, num_rounds=3, learning_rate=0.5))


def test_adaboost_is_scikit_learns():
    wine, labels = datasets.load_wine(return_X_y=True)
    state, info = adaboost.fit(wine, labels.astype(np.int32), num_classes=3)
    theirs = AdaBoostClassifier(random_state=0).fit(wine, labels)
    assert info.num_steps == len(theirs.estimators_)
    np.testing.assert_allclose(info.error, theirs.estimator_errors_, atol=1e-6)
    np.testing.assert_allclose(
        adaboost.predict_proba(state, wine), theirs.predict_proba(wine), atol=1e-6
    )
    staged = adaboost.staged_predict_proba(state, wine)
    wanted = np.array(list(theirs.staged_predict_proba(wine)))
    np.testing.assert_allclose(staged, wanted, atol=1e-6)
    np.testing.assert_array_equal(
        adaboost.staged_predict(state, wine), list(theirs.staged_predict(wine))
    )


def test_adaboost_ends_with_a_tree_that_errs_nowhere_or_knows_nothing():
    apart = np.repeat([[0.0], [1.0]], 20, axis=0)
    labels = np.repeat([0, 1], 20).astype(np.int32)
    state, info = adaboost.fit(apart, labels, num_classes=2, num_rounds=5)
    assert info.num_steps == 1
    np.testing.assert_array_equal(adaboost.predict(state, apart), labels)
    _, info = adaboost.fit(0 * apart, labels, num_classes=2, num_rounds=5)
    assert info.num_steps == 0


def test_the_loss_falls_as_scikit_learns_does():
    rows, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
    rows = np.round(rows, 0)  # fewer values than bins, so that thresholds are the same
    state, info = boosting_regressor.fit(key, rows, targets, max_depth=3, l2=0.0, num_bins=256)
    theirs = GradientBoostingRegressor(random_state=0).fit(rows, targets)
    np.testing.assert_allclose(2 * info.loss, theirs.train_score_, rtol=0.01)
    told = boosting_regressor.predict(state, rows)
    staged = np.asarray(boosting_regressor.staged_predict(state, rows))
    assert staged.shape == np.array(list(theirs.staged_predict(rows))).shape
    np.testing.assert_allclose(staged[-1], told, rtol=1e-12)
    np.testing.assert_allclose(((staged - targets) ** 2).mean(axis=1), 2 * info.loss, rtol=1e-6)


def test_rows_held_out_decide_when_to_stop_and_nothing_else():
    rows, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
    held = np.arange(len(targets)) % 4 == 0
    static = {"max_depth": 3, "num_rounds": 60, "patience": 5}
    state, info = boosting_regressor.fit(key, rows, targets, is_held_out=held, **static)
    last = int(info.num_steps)
    assert 0 < last < 55
    assert info.held_out_loss[last - 1] == info.held_out_loss.min()
    told = boosting_regressor.predict(state, rows)
    here = ((told - targets) ** 2 / 2)[held].mean()
    staged = boosting_regressor.staged_predict(state, rows)
    np.testing.assert_array_equal(staged[last - 1], staged[-1])
    np.testing.assert_allclose(here, info.held_out_loss[last - 1], rtol=1e-6)
    # Trees that were not kept are leaves: nothing of them is left in what the features are worth.
    shares = by_definition.importances(
        jax.tree.map(lambda leaf: np.asarray(leaf)[:last], state.trees), rows.shape[1]
    )
    np.testing.assert_allclose(state.importances, shares, rtol=1e-6)
    assert (state.trees.depth[last:] == 0).all()
    # What is held out may say anything without a tree growing otherwise.
    other = np.where(held, -targets, targets)
    again, _ = boosting_regressor.fit(key, rows, other, is_held_out=held, **static)
    np.testing.assert_array_equal(state.trees.threshold[0], again.trees.threshold[0])


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_has_its_share_below_it(quantile):
    rows, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
    state, info = boosting_regressor.fit(
        key, rows, targets, loss="quantile", quantile=quantile, max_depth=3, min_child_weight=5.0
    )
    share = (targets <= boosting_regressor.predict(state, rows)).mean()
    assert abs(share - quantile) < 0.03
    assert info.loss[-1] < 0.7 * info.loss[0]


def test_a_weight_is_a_count():
    counts = rng.integers(0, 3, 40)
    weighted, _ = boosting_regressor.fit(key, X, y, weights=counts.astype(float), **HYPER)
    repeated, _ = boosting_regressor.fit(
        key, np.repeat(X, counts, axis=0), np.repeat(y, counts), **HYPER
    )
    told = (boosting_regressor.predict(state, X) for state in (weighted, repeated))
    np.testing.assert_allclose(*told, rtol=1e-6)


def test_rows_are_drawn_for_each_round():
    whole, _ = boosting_classifier.fit(key, X, codes, num_classes=3, **HYPER)
    drawn, _ = boosting_classifier.fit(key, X, codes, num_classes=3, subsample=0.5, **HYPER)
    # Slopes of half of forty rows: within 4 standard deviations, and not the same in every round.
    shares = drawn.trees.cover[:3, 0] / whole.trees.cover[:3, 0]
    assert ((shares > 0.18) & (shares < 0.82)).all()
    assert drawn.trees.cover[0, 0] != drawn.trees.cover[3, 0]


def test_bad_input_is_refused_or_told():
    with pytest.raises(ValueError, match="loss is 'absolute', not 'squared_error' or 'quantile'"):
        boosting_regressor.fit(key, X, y, loss="absolute")
    with pytest.raises(ValueError, match="num_rounds is 0, not at least 1"):
        boosting_regressor.fit(key, X, y, num_rounds=0)
    state, info = boosting_classifier.fit(key, X, codes - 1, num_classes=3, **HYPER)
    assert jnp.isnan(state.bias).all()
    assert jnp.isnan(info.loss).all()
    state, _ = boosting_regressor.fit(key, X, y, is_held_out=np.zeros(40, bool), **HYPER)
    assert jnp.isnan(boosting_regressor.predict(state, X)).all()
