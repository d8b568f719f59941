"""Weights of classes: those of scikit-learn, and what they make equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

from mastery_jax.learning import class_weights

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def drawn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=30, p=rng.dirichlet(np.ones(4))).astype(np.int32)
    return labels, rng.integers(0, 4, size=30) + (np.arange(30) == 0) * 1.0


@few
@given(seeds)
def test_rows_weigh_what_scikit_learn_gives_them(seed):
    labels, _ = drawn(seed)
    found = class_weights.spread(labels, class_weights.balanced(labels, num_classes=4))
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels), rtol=1e-12)


@few
@given(seeds)
def test_classes_that_occur_weigh_alike_and_nothing_is_lost(seed):
    labels, weights = drawn(seed)
    balance = class_weights.balanced(labels, num_classes=4, weights=weights)
    rows = weights * class_weights.spread(labels, balance)
    totals = np.bincount(labels, rows, minlength=4)
    occurs = np.bincount(labels, weights, minlength=4) > 0
    np.testing.assert_allclose(totals[occurs], weights.sum() / occurs.sum(), rtol=1e-12)
    assert (balance[~occurs] == 0).all()
    repeated = np.repeat(labels, weights.astype(int))
    np.testing.assert_allclose(class_weights.balanced(repeated, num_classes=4), balance, rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        ([0, 1, 3], [1.0, 1.0, 1.0]),
        ([0, -1, 1], [1.0, 1.0, 1.0]),
        ([0, 1, 2], [1.0, -1.0, 1.0]),
        ([0, 1, 2], [0.0, 0.0, 0.0]),
        ([0, 1, 2], [1.0, np.nan, 1.0]),
        ([0, 1, 2], [1.0, np.inf, 1.0]),
    ],
)
def test_what_makes_no_sense_is_nan(labels, weights):
    balance = class_weights.balanced(jnp.array(labels), num_classes=3, weights=jnp.array(weights))
    assert jnp.isnan(balance).all()


def test_a_label_that_is_no_code():
    labels = jnp.array([0, 3, -1, 1])
    without = jnp.array([1.0, 0.0, 0.0, 3.0])
    balance = class_weights.balanced(labels, num_classes=3, weights=without)
    np.testing.assert_allclose(balance, [2.0, 2 / 3, 0.0])
    rows = class_weights.spread(labels, balance)
    np.testing.assert_allclose(rows, [2.0, np.nan, np.nan, 2 / 3])
    with pytest.raises(ValueError, match=r"class_weights\.balanced: num_classes is 1"):
        class_weights.balanced(labels, num_classes=1)
