"""Numbers out of range have no answer: NaN throughout, never a model that looks like one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.learning.trees import (
    adaboost,
    boosting_classifier,
    boosting_regressor,
    forest_classifier,
    forest_regressor,
    tree_classifier,
    tree_regressor,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 2)).astype(np.float32)
y = X[:, 0] + 0.1 * rng.normal(size=40).astype(np.float32)
labels = (y > 0).astype(np.int32)
KEY = jax.random.key(0)
SMALL = {"max_depth": 2, "num_bins": 8}
BY_ROUNDS = SMALL | {"num_rounds": 2}
QUANTILE = {"loss": "quantile"}


def classes(fit, *key, **options):
    return lambda **number: fit(*key, X, labels, num_classes=2, **options, **number)[0]


FITS = {
    "tree_classifier": classes(tree_classifier.fit, **SMALL),
    "tree_regressor": lambda **number: tree_regressor.fit(X, y, **SMALL, **number)[0],
    "forest_classifier": classes(forest_classifier.fit, KEY, num_trees=2, **SMALL),
    "forest_regressor": lambda **number: forest_regressor.fit(
        KEY, X, y, num_trees=2, **SMALL, **number
    )[0],
    "boosting_classifier": classes(boosting_classifier.fit, KEY, **BY_ROUNDS),
    "boosting_regressor": lambda **number: boosting_regressor.fit(KEY, X, y, **BY_ROUNDS, **number)[
        0
    ],
    "adaboost": classes(adaboost.fit, **BY_ROUNDS),
}
OF_TREES = [{"min_samples_leaf": -1.0}, {"min_samples_split": -2.0}, {"min_gain": np.nan}]
OF_ROUNDS = [
    *({"learning_rate": number} for number in (-1.0, 0.0, np.nan)),
    *({"l2": -1.0}, {"min_child_weight": -1.0}, {"subsample": 1.5}, {"subsample": 0.0}),
]
WRONG = [
    *((name, number) for name in list(FITS)[:4] for number in OF_TREES),
    *((name, number) for name in list(FITS)[4:6] for number in OF_ROUNDS),
    *(("boosting_regressor", QUANTILE | {"quantile": number}) for number in (-0.1, 0.0, 1.0, 2.0)),
    *(("adaboost", {"learning_rate": number}) for number in (-1.0, 0.0)),
]


@pytest.mark.parametrize(("name", "number"), WRONG)
def test_a_number_out_of_range_is_no_model(name, number):
    leaves = jax.tree.leaves(FITS[name](**number))
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert floats
    assert all(jnp.isnan(leaf).all() for leaf in floats)


@pytest.mark.parametrize("name", FITS)
def test_numbers_in_range_are_one(name):
    state = FITS[name]()
    assert jnp.isfinite(state.trees.value).any()
