"""Metrics: scikit-learn's on ties, absent classes and weights, and what holds for every input."""

import functools
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn import metrics as peer
from sklearn.calibration import calibration_curve

from mastery_jax.probability.metrics import (
    calibration,
    classification,
    clustering,
    ranking,
    regression,
)

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)

OF_CODES = {
    "accuracy": classification.accuracy,
    "balanced": functools.partial(classification.balanced_accuracy, num_classes=4),
    "precision": functools.partial(classification.precision, num_classes=4),
    "recall": functools.partial(classification.recall, num_classes=4, average="weighted"),
    "f1": functools.partial(classification.f1, num_classes=4, average=None),
    "matthews": functools.partial(classification.matthews, num_classes=4),
    "rand": functools.partial(clustering.adjusted_rand, num_clusters=4, num_classes=4),
    "mutual": functools.partial(
        clustering.normalized_mutual_information, num_clusters=4, num_classes=4
    ),
}
OF_SCORES = {"auc": ranking.roc_auc, "average precision": ranking.average_precision}
OF_NUMBERS = {
    "mse": regression.mse,
    "mae": regression.mae,
    "median": regression.median_absolute_error,
    "max": regression.max_error,
    "r2": regression.r2,
    "explained": regression.explained_variance,
    "pinball": functools.partial(regression.pinball, quantile=0.2),
}
OF_PROBS = {
    "log_loss": lambda p, y, **w: classification.log_loss(jnp.log(p), y, **w),
    "brier": calibration.brier,
    "calibration": calibration.expected_calibration_error,
    "one against the rest": ranking.roc_auc_one_vs_rest,
    "silhouette": functools.partial(clustering.silhouette, num_clusters=4),
}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def drawn(seed, n=30):
    """Return the arguments of every kind of metric; scores and errors are often equal."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 4).astype(np.int32)
    codes = np.where(rng.random(n) < 0.5, labels, rng.integers(0, 4, n)).astype(np.int32)
    sides = (labels > 1).astype(np.int32)
    scores, y, predictions = rng.normal(size=(3, n)).round(1)
    probs = rng.dirichlet(np.ones(4), size=n)
    return {"codes": (codes, labels), "scores": (scores, sides), "numbers": (predictions, y)} | {
        "probs": (probs, labels)
    }


def every(given):
    """Yield every metric with its arguments."""
    for kind, table in zip(given, (OF_CODES, OF_SCORES, OF_NUMBERS, OF_PROBS), strict=True):
        for name, metric in table.items():
            yield name, metric, given[kind]


@few
@given(seeds)
def test_a_whole_weight_is_a_repeated_row_and_weight_zero_none(seed):
    times = np.random.default_rng(seed).integers(0, 4, size=30)
    times[:8] = 2  # 60 rows, always: one program
    times[8:] = np.random.default_rng(seed).multinomial(44, np.ones(22) / 22)
    for name, metric, (one, other) in every(drawn(seed)):
        found = metric(one, other, weights=times.astype(float))
        rows = metric(np.repeat(one, times, axis=0), np.repeat(other, times, axis=0))
        np.testing.assert_allclose(found, rows, rtol=1e-9, atol=1e-12, err_msg=name)


@few
@given(seeds)
def test_a_row_of_weight_zero_may_hold_anything(seed):
    weights = np.r_[np.zeros(3), np.random.default_rng(seed).random(27) + 0.1]
    for name, metric, (one, other) in every(drawn(seed)):
        wanted = metric(one[3:], other[3:], weights=weights[3:])
        spoiled, codes = one.copy(), other.copy()
        spoiled[:3] = -7 if one.dtype == np.int32 else np.nan
        if other.dtype == np.int32:
            codes[:3] = 99
        found = metric(spoiled, codes, weights=weights)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("weights", [-np.ones(30), np.zeros(30), np.r_[np.nan, np.ones(29)]])
def test_weights_that_are_none_give_nan(weights):
    for name, metric, (one, other) in every(drawn(0)):
        assert jnp.isnan(metric(one, other, weights=weights)).all(), name


@pytest.mark.parametrize("code", [-1, 4])
def test_a_code_that_is_none_gives_nan(code):
    given = drawn(0)
    for name, metric, (one, other) in every(given):
        if other.dtype == np.int32 and name != "accuracy":
            assert jnp.isnan(metric(one, np.r_[code, other[1:]].astype(np.int32))).all(), name


@few
@given(seeds)
def test_what_scikit_learn_says_where_scores_are_equal(seed):
    scores, sides = drawn(seed, n=60)["scores"]
    for ours, theirs in (
        (ranking.roc_auc, peer.roc_auc_score),
        (ranking.average_precision, peer.average_precision_score),
    ):
        np.testing.assert_allclose(ours(scores, sides), theirs(sides, scores), rtol=1e-12)
        np.testing.assert_allclose(ours(np.exp(scores), sides), theirs(sides, scores), rtol=1e-12)
    curve = ranking.roc_curve(scores, sides)
    theirs = peer.roc_curve(sides, scores, drop_intermediate=False)
    points = np.unique(np.stack(curve[:2], axis=1), axis=0)
    np.testing.assert_allclose(points, np.unique(np.stack(theirs[:2], axis=1), axis=0), atol=1e-12)
    np.testing.assert_allclose(
        ranking.roc_auc(-scores, sides), 1 - peer.roc_auc_score(sides, scores)
    )


def test_signed_zeros_and_infinities_are_ordered():
    scores = np.array([-np.inf, -1e-300, -0.0, 0.0, 1e-300, np.inf, 5.0, -5.0])
    sides = np.array([0, 0, 1, 0, 1, 1, 0, 1])
    for dtype in (np.float32, np.float64):
        found = ranking.roc_auc(scores.astype(dtype), sides)
        assert found == peer.roc_auc_score(sides, np.clip(scores.astype(dtype), -9, 9))


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_absent_classes_are_treated_as_scikit_learn_does(average):
    predicted, labels = np.array([0, 2, 2, 0, 1]), np.array([0, 0, 2, 2, 0])
    for name in ("precision", "recall", "f1"):
        ours = getattr(classification, name)(predicted, labels, num_classes=4, average=average)
        theirs = getattr(peer, f"{name}_score")(labels, predicted, average=average, zero_division=0)
        np.testing.assert_allclose(ours if average else ours[:3], theirs, rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        theirs = peer.balanced_accuracy_score(labels, predicted)
    found = classification.balanced_accuracy(predicted, labels, num_classes=4)
    np.testing.assert_allclose(found, theirs)


def test_two_classes_and_degenerate_ones():
    predicted, labels = np.array([0, 1, 1, 0, 1]), np.array([0, 1, 0, 0, 1])
    found = classification.f1(predicted, labels, num_classes=2, average="binary")
    assert found == pytest.approx(peer.f1_score(labels, predicted))
    assert classification.matthews(np.zeros_like(labels), labels, num_classes=2) == 0
    assert jnp.isnan(ranking.roc_auc(np.arange(5.0), np.zeros(5, int)))
    assert jnp.isnan(regression.r2(np.ones(5), np.ones(5)))
    one = np.zeros(5, int)
    for metric in (clustering.adjusted_rand, clustering.normalized_mutual_information):
        assert metric(one, one, num_clusters=2, num_classes=2) == 1
        assert metric(one, labels, num_clusters=2, num_classes=2) == 0
    assert clustering.adjusted_rand(np.arange(5), np.arange(5), num_clusters=5, num_classes=5) == 1
    for X in (np.zeros((5, 1)), np.full((5, 1), np.inf)):
        rows = clustering.silhouette_of_rows(X, one, num_clusters=2)
        assert jnp.isnan(rows).all()  # one cluster has no next


def test_a_reliability_curve_is_that_of_scikit_learn_on_the_edges_too():
    rng = np.random.default_rng(0)
    probs = np.r_[rng.random(60), np.arange(11) / 10]
    sides = (rng.random(71) < probs).astype(int)
    sides[-1] = 1
    observed, predicted = calibration_curve(sides, probs, n_bins=10)
    found = calibration.reliability_curve(probs, sides)
    np.testing.assert_allclose(found.observed, observed, rtol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-12)
    sparse = calibration.reliability_curve(probs[:3], sides[:3])
    assert jnp.isnan(sparse.observed).sum() == (sparse.weight == 0).sum() >= 7


def test_a_calibrated_model_has_a_small_calibration_error_and_a_confident_one_has_not():
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.ones(3), size=20_000)
    labels = (probs.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1)
    # The noise of a bin of 2000 rows is some 0.01.
    assert calibration.expected_calibration_error(probs, labels) < 0.02
    sharp = probs**3 / (probs**3).sum(axis=1, keepdims=True)
    assert calibration.expected_calibration_error(sharp, labels) > 0.1


def test_silhouettes_in_blocks_and_in_single_precision(monkeypatch):
    X, labels = datasets.load_wine(return_X_y=True)
    wanted = peer.silhouette_samples(X, labels)
    monkeypatch.setattr(clustering, "CELLS", 178 * 50)  # four blocks, the last of which overlaps
    for dtype, atol in ((np.float64, 1e-10), (np.float32, 1e-4)):
        found = clustering.silhouette_of_rows(
            (X + 100).astype(dtype), labels.astype(np.int32), num_clusters=3
        )
        np.testing.assert_allclose(found, wanted, atol=atol)


@pytest.mark.parametrize("n", [1, 2])
def test_one_row_and_two(n):
    for name, metric, (one, other) in every(drawn(0)):
        found = metric(one[:n], other[:n])
        is_variance = name in ("r2", "explained")  # 0 of one row
        assert is_variance or jnp.isnan(found).all() or (jnp.abs(found) < 20).all(), name
    assert regression.median_absolute_error(np.zeros(1), np.array([3.0])) == 3


def test_wrong_options_are_refused():
    codes = np.array([0, 1])
    for call, said in (
        (lambda: classification.confusion(codes, codes, num_classes=1), "num_classes is 1"),
        (
            lambda: classification.f1(codes, codes, num_classes=3, average="binary"),
            r"classification\.f1: average is 'binary', not macro",
        ),
        (
            lambda: ranking.roc_auc_one_vs_rest(np.ones((2, 2)), codes, average="micro"),
            "average is 'micro'",
        ),
        (lambda: calibration.reliability_curve(np.ones(2), codes, num_bins=0), "num_bins is 0"),
        (
            lambda: clustering.silhouette_of_rows(np.ones((2, 1)), codes, num_clusters=1),
            "num_clusters is 1",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            call()


@pytest.mark.reference
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_the_published_scores_of_clusters(reference, name):
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"][f"kmeans_{name}_k3"]
    X, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    X = StandardScaler().fit_transform(X) if name == "wine" else X
    clusters = KMeans(3, n_init=30, random_state=0).fit_predict(X).astype(np.int32)
    sizes = {"num_clusters": 3, "num_classes": 3}
    rand = clustering.adjusted_rand(clusters, labels.astype(np.int32), **sizes)
    np.testing.assert_allclose(rand, wanted["ari_vs_labels"], rtol=1e-6)
    mutual = clustering.normalized_mutual_information(clusters, labels.astype(np.int32), **sizes)
    np.testing.assert_allclose(mutual, wanted["nmi"], rtol=1e-6)
    found = clustering.silhouette(X, clusters, num_clusters=3)
    np.testing.assert_allclose(found, wanted["silhouette"], rtol=1e-6)
