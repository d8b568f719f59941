"""Permutation importance: nothing for what is not read, scikit-learn's for the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from sklearn import datasets, inspection
from sklearn.base import BaseEstimator

from mastery_jax.learning.linear import ridge
from mastery_jax.probability.metrics import classification, regression
from mastery_jax.trust import permutation_importance

key = jax.random.key(0)
rng = np.random.default_rng(0)
X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
y = y.astype(np.float32)
state = ridge.fit(X, y, l2=1e-3)
state = state._replace(weights=state.weights.at[4].set(0))
model, score = Partial(ridge.predict, state), Partial(regression.rmse)


class Theirs(BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(ridge.predict(state, X))


def test_it_is_scikit_learns_but_for_the_orders():
    ours = permutation_importance.estimate(
        key, X, y, model=model, score=score, num_repeats=40, is_loss=True
    )
    theirs = inspection.permutation_importance(
        Theirs(), X, y, n_repeats=40, random_state=0, scoring="neg_root_mean_squared_error"
    )
    np.testing.assert_allclose(ours.score, regression.rmse(ridge.predict(state, X), y), rtol=1e-6)
    error = np.hypot(ours.std_error, theirs.importances_std / np.sqrt(39))
    off = np.abs(ours.importances - theirs.importances_mean)
    # Ten differences; one exceeds 4.5 errors with probability 1e-4.
    assert (off <= 4.5 * error).all()
    np.testing.assert_allclose(
        ours.std_error * np.sqrt(40), theirs.importances_std, rtol=0.6, atol=1e-6
    )
    # The one that is not read is worth nothing, in every order.
    assert (ours.each[4] == 0).all()
    assert (ours.importances.argsort()[-2:] == theirs.importances_mean.argsort()[-2:]).all()


def test_a_score_and_its_loss_are_of_opposite_signs():
    found = [
        permutation_importance.estimate(key, X, y, model=model, score=score, is_loss=is_loss)
        for is_loss in (True, False)
    ]
    np.testing.assert_array_equal(found[0].each, -found[1].each)


def test_labels_are_judged_too():
    labels = (y > 140).astype(np.int32)
    says = Partial(lambda X: (X[:, 2] > 0).astype(jnp.int32))
    found = permutation_importance.estimate(
        key, X, labels, model=says, score=Partial(classification.accuracy)
    )
    assert found.importances[2] > 0.1
    assert (jnp.delete(found.importances, 2) == 0).all()


def test_values_come_from_rows_by_their_weight():
    """The model tells the number of the row that a value is from, and the score counts them."""
    rows = jnp.arange(6, dtype=jnp.float32)[:, None]
    weights = np.array([0, 1, 2, 0, 3, 0], np.float32)
    for row, weight in enumerate(weights):
        taken = Partial(lambda row, X: (X[:, 0] == row).astype(X.dtype), jnp.float32(row))
        count = Partial(lambda told, targets, *, weights: told.sum() + 0 * weights.sum())
        found = permutation_importance.estimate(
            key, rows, rows[:, 0], model=taken, score=count, weights=weights, num_repeats=20,
            is_loss=True,
        )  # fmt: skip
        np.testing.assert_array_equal(found.each + found.score, np.full((1, 20), weight))


def test_equal_weights_draw_every_row_once():
    number = jnp.arange(1000, dtype=jnp.float32)[:, None]
    once = Partial(lambda told, targets, *, weights: jnp.ptp(jnp.sort(told) - targets))
    found = permutation_importance.estimate(
        key, number, number[:, 0], model=Partial(lambda X: X[:, 0]), score=once,
        weights=np.full(1000, 0.3, np.float32),
    )  # fmt: skip
    assert (found.each == 0).all()


def test_bad_input_is_refused_or_told():
    estimate = permutation_importance.estimate
    with pytest.raises(ValueError, match="num_repeats is 0, not at least 1"):
        estimate(key, X, y, model=model, score=score, num_repeats=0)
    with pytest.raises(ValueError, match=r"score returns an array of shape \(442,\), not a number"):
        estimate(key, X, y, model=model, score=Partial(lambda told, y, *, weights: told - y))
    with pytest.raises(ValueError, match=r"model is predict, not a jax\.tree_util\.Partial"):
        estimate(key, X, y, model=ridge.predict, score=score)
    found = estimate(key, X, y, model=model, score=score, weights=np.zeros(442, np.float32))
    assert jnp.isnan(found.importances).all()
    single = estimate(key, X, y, model=model, score=score, num_repeats=1)
    assert jnp.isnan(single.std_error).all()
    assert jnp.isfinite(single.importances).all()
