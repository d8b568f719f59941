"""Metrics where a dtype ends: many rows, narrow codes, edges of bins, constants and ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as peer

from mastery_jax.learning import class_weights
from mastery_jax.probability.metrics import (
    calibration,
    classification,
    clustering,
    codes,
    ranking,
    regression,
)

INT8 = np.arange(128, dtype=np.int8)


def test_more_rows_than_single_precision_counts_one_by_one():
    n = 20_000_000
    found = classification.confusion(jnp.zeros(n, jnp.int8), jnp.zeros(n, jnp.int8), num_classes=2)
    np.testing.assert_array_equal(found, [[n, 0], [0, 0]])


@pytest.mark.parametrize("num_codes", [3, 100, 20_000])
def test_sums_of_many_fractions_do_not_drift(num_codes):
    rng = np.random.default_rng(0)
    weights = np.full(1_000_000, 0.1, np.float32)
    labels = (num_codes * rng.random(1_000_000) ** 4).astype(np.int32)
    wanted = np.bincount(labels, weights.astype(float), minlength=num_codes)
    found = codes.totals(jnp.asarray(weights), jnp.asarray(labels), num_codes)
    np.testing.assert_allclose(found, wanted, rtol=2e-5)


def test_shares_of_many_rows_sum_to_one():
    rng = np.random.default_rng(0)
    probs = rng.random(1_000_000, dtype=np.float32)
    came = (rng.random(1_000_000) < probs).astype(np.int32)
    found = calibration.reliability_curve(probs, came, num_bins=5)
    np.testing.assert_allclose(found.weight.sum(), 1, rtol=1e-5)
    bins = np.ceil(5 * probs.astype(float)).astype(int) - 1
    for ours, values in ((found.predicted, probs), (found.observed, came)):
        wanted = np.bincount(bins, values.astype(float)) / np.bincount(bins)
        np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_classes_of_many_rows_weigh_alike():
    labels = np.repeat(np.arange(2), [1_500_000, 500_000]).astype(np.int32)
    weights = np.full(2_000_000, 0.1, np.float32)
    found = class_weights.balanced(labels, num_classes=2, weights=weights)
    np.testing.assert_allclose(found, [2 / 3, 2], rtol=5e-6)


def test_partitions_of_many_rows():
    one, other = ((np.arange(1_000_000) % parts > 0).astype(np.int32) for parts in (4, 8))
    weights = np.full(1_000_000, 0.1, np.float32)
    found = clustering.adjusted_rand(one, other, num_clusters=2, num_classes=2, weights=weights)
    np.testing.assert_allclose(found, peer.adjusted_rand_score(other, one), rtol=3e-5)


def test_sums_by_codes_of_no_rows_of_one_and_by_vmap():
    none, one = jnp.zeros(0), jnp.ones(1)
    assert (codes.totals(none, none.astype(int), 3) == 0).all()
    np.testing.assert_array_equal(codes.totals(one, jnp.array([2]), 3), [0, 0, 1])
    labels = jnp.arange(50) % 3
    masks = jnp.stack([labels == 1, labels != 1]).astype(float)
    found = jax.vmap(lambda w: codes.totals(w, labels, 3))(masks)
    np.testing.assert_array_equal(found, [[0, 17, 0], [17, 0, 16]])


def test_a_wide_code_does_not_wrap_around_in_a_narrow_dtype():
    predicted, labels = np.array([256, -256, 1], np.int32), np.array([0, 0, 1], np.int8)
    for one, other in ((predicted, labels), (labels, predicted)):
        np.testing.assert_allclose(classification.accuracy(one, other), 1 / 3, rtol=1e-6)
        assert jnp.isnan(classification.confusion(one, other, num_classes=2)).all()
    with jax.enable_x64(True):
        assert classification.accuracy(np.array([2**32]), np.array([0], np.int8)) == 0
    probs = np.zeros((1, 257), np.float32)
    probs[0, 256] = 1
    error = calibration.expected_calibration_error(probs, np.array([0], np.int8))
    assert error == 1  # class 256 is not class 0


def test_narrow_codes_of_many_classes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 400).astype(np.int8)
    predicted = np.where(rng.random(400) < 0.6, labels, rng.integers(0, 20, 400)).astype(np.int8)
    given, sizes = (predicted, labels), {"num_clusters": 20, "num_classes": 20}
    for ours, theirs in (
        (
            classification.f1(*given, num_classes=20),
            peer.f1_score(labels, predicted, average="macro"),
        ),
        (classification.matthews(*given, num_classes=20), peer.matthews_corrcoef(*given)),
        (clustering.adjusted_rand(*given, **sizes), peer.adjusted_rand_score(*given)),
        (
            clustering.normalized_mutual_information(*given, **sizes),
            peer.normalized_mutual_info_score(*given),
        ),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize(
    "metric",
    [
        classification.log_loss,
        calibration.brier,
        calibration.expected_calibration_error,
        lambda table, labels: ranking.roc_auc_one_vs_rest(table, labels, average=None)[:128],
        lambda table, labels: clustering.silhouette(table, labels, num_clusters=200),
        lambda table, labels: class_weights.balanced(labels, num_classes=200),
        lambda table, labels: class_weights.spread(labels, table[0]),
    ],
)
def test_more_classes_than_a_narrow_dtype_counts(metric):
    table = np.random.default_rng(0).dirichlet(np.ones(200), size=128).astype(np.float32)
    np.testing.assert_array_equal(metric(table, INT8), metric(table, INT8.astype(np.int32)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_bins", [10, 50, 97])
def test_a_probability_on_an_edge_is_in_the_bin_below(num_bins, dtype):
    with jax.enable_x64(True):
        probs = (np.arange(1, num_bins + 1) / num_bins).astype(dtype)
        found = calibration.reliability_curve(probs, np.ones(num_bins, int), num_bins=num_bins)
        np.testing.assert_allclose(found.predicted, probs, rtol=1e-6)
        np.testing.assert_allclose(found.weight, 1 / num_bins, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
def test_a_constant_has_no_variance(value):
    y = np.full(10, value, np.float32)
    weights = np.linspace(0, 1, 10, dtype=np.float32)
    spoiled = np.where(weights == 0, np.nan, y)
    for metric, predictions in (
        (regression.r2, y * np.float32(1.1)),
        (regression.explained_variance, y * np.linspace(1, 2, 10, dtype=np.float32)),
    ):
        assert metric(predictions, y) == -np.inf
        assert metric(predictions, spoiled, weights=weights) == -np.inf
        assert jnp.isnan(metric(y, y))


@pytest.mark.parametrize("num_rows", [8, 9, 50, 51, 2000, 20_000])
@pytest.mark.parametrize("weight", [0.1, 0.3, 1 / 3, 1e-20, 7.0])
def test_equal_weights_have_the_median_of_none(num_rows, weight):
    errors = np.random.default_rng(0).permutation(num_rows).astype(np.float32) + 1
    weights = np.full(num_rows, weight, np.float32)
    found = regression.median_absolute_error(np.zeros_like(errors), errors, weights=weights)
    assert found == np.median(errors)


def test_a_difference_of_weights_that_is_none_of_rounding_decides_the_median():
    errors = np.array([1, 2, 3, 4], np.float32)
    for surplus, wanted in ((1e-4, 3), (0, 2.5), (-1e-4, 2)):
        weights = np.array([1, 1, 1, 1 + surplus], np.float32)
        found = regression.median_absolute_error(0 * errors, errors, weights=weights)
        assert found == wanted
