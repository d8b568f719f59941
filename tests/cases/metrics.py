"""Metrics of predictions, beside scikit-learn's."""

import numpy as np
from scipy import special
from sklearn import metrics as peer
from sklearn.preprocessing import label_binarize

from mastery_jax.probability.metrics import (
    calibration,
    classification,
    clustering,
    ranking,
    regression,
)
from tests.contract import Case

rng = np.random.default_rng(3)
LOG_PROBS = special.log_softmax(2 * rng.normal(size=(24, 3)), axis=1)
LABELS = rng.integers(0, 3, size=24).astype(np.int32)
PREDICTED = LOG_PROBS.argmax(axis=1).astype(np.int32)
SIDES = (LABELS > 0).astype(np.int32)
SCORES = rng.normal(size=24)
TIED = SCORES.round(0)
Y, PREDICTIONS = rng.normal(size=(2, 24))
POINTS = rng.normal(size=(24, 2)) + 2 * LABELS[:, None]
WEIGHTS = {"weights": rng.uniform(0.5, 2, size=24)}
COUNTS = {"weights": rng.integers(1, 4, size=24).astype(float)}
CURVE = {"modes": (), "because": "the first threshold is infinite; equal scores may part"}


def by_peer(score):
    """Return an oracle: the peer's function of truth, predictions and weights of rows."""

    def oracle(predicted, truth, *, weights, num_classes=None):
        return score(truth, predicted, sample_weight=weights)

    return oracle


def averaged(score):
    def oracle(predicted, labels, *, weights, num_classes, average):
        return score(labels, predicted, sample_weight=weights, average=average)

    return oracle


def roc(scores, labels, *, weights):
    fpr, tpr, thresholds = peer.roc_curve(
        labels, scores, sample_weight=weights, drop_intermediate=False
    )
    at = np.searchsorted(-thresholds, -np.append(np.inf, np.sort(scores)[::-1]))
    return fpr[at], tpr[at], thresholds[at]


def precision_recall(scores, labels, *, weights):
    precision, recall, thresholds = peer.precision_recall_curve(
        labels, scores, sample_weight=weights
    )
    thresholds = np.append(thresholds, np.inf)[::-1]
    at = np.searchsorted(-thresholds, -np.append(np.inf, np.sort(scores)[::-1]))
    return precision[::-1][at], recall[::-1][at], thresholds[at]


def one_vs_rest(scores, labels, *, weights, average):
    return peer.roc_auc_score(
        label_binarize(labels, classes=range(3)), scores, sample_weight=weights, average=average
    )


def brier(probs, labels, *, weights):
    return np.average(((probs - np.eye(3)[labels]) ** 2).sum(axis=1), weights=weights)


def reliability(probs, labels, *, weights, num_bins):
    bins = np.clip(np.ceil(probs * num_bins) - 1, 0, num_bins - 1)
    rows = [bins == b for b in range(num_bins)]
    means = [
        np.array([np.average(x[r], weights=weights[r]) if r.any() else np.nan for r in rows])
        for x in (probs, labels)
    ]
    return *means, np.array([weights[r].sum() for r in rows]) / weights.sum()


def calibration_error(probs, labels, *, weights, num_bins):
    hits = (probs.argmax(axis=1) == labels).astype(float)
    predicted, observed, weight = reliability(
        probs.max(axis=1), hits, weights=weights, num_bins=num_bins
    )
    return np.nansum(np.multiply(weight, np.abs(np.subtract(observed, predicted))))


def repeated(score):
    """Return an oracle that writes every row as often as its weight says."""

    def oracle(one, other, *, weights, **static):
        times = weights.astype(int)
        return score(np.repeat(one, times, axis=0), np.repeat(other, times, axis=0))

    return oracle


def first_of_repeated(X, labels, *, weights, num_clusters):
    times = weights.astype(int)
    first = np.cumsum(times) - times
    return peer.silhouette_samples(np.repeat(X, times, axis=0), np.repeat(labels, times))[first]


THREE = {"num_classes": 3}
CODES = (PREDICTED, LABELS)
NUMBERS = (PREDICTIONS, Y)
PARTITIONS = {"num_clusters": 3, "num_classes": 3}

CASES: tuple[Case, ...] = (
    Case(
        "classification.accuracy",
        classification.accuracy,
        CODES,
        WEIGHTS,
        oracle=by_peer(peer.accuracy_score),
    ),
    Case(
        "classification.log_loss",
        classification.log_loss,
        (LOG_PROBS, LABELS),
        WEIGHTS,
        oracle=lambda p, y, weights: peer.log_loss(y, np.exp(p), sample_weight=weights),
    ),
    Case(
        "classification.confusion",
        classification.confusion,
        CODES,
        WEIGHTS,
        static=THREE,
        oracle=by_peer(peer.confusion_matrix),
    ),
    Case(
        "classification.balanced_accuracy",
        classification.balanced_accuracy,
        CODES,
        WEIGHTS,
        static=THREE,
        oracle=by_peer(peer.balanced_accuracy_score),
    ),
    Case(
        "classification.matthews",
        classification.matthews,
        CODES,
        WEIGHTS,
        static=THREE,
        oracle=by_peer(peer.matthews_corrcoef),
    ),
    *(
        Case(
            f"classification.{name} {average}",
            fn,
            CODES,
            WEIGHTS,
            static=THREE | {"average": average},
            oracle=averaged(score),
        )
        for name, fn, score, average in (
            ("precision", classification.precision, peer.precision_score, "macro"),
            ("recall", classification.recall, peer.recall_score, None),
            ("f1", classification.f1, peer.f1_score, "weighted"),
        )
    ),
    Case("ranking.roc_curve", ranking.roc_curve, (TIED, SIDES), WEIGHTS, oracle=roc, **CURVE),
    Case(
        "ranking.precision_recall_curve",
        ranking.precision_recall_curve,
        (TIED, SIDES),
        WEIGHTS,
        oracle=precision_recall,
        **CURVE,
    ),
    Case(
        "ranking.roc_auc",
        ranking.roc_auc,
        (SCORES, SIDES),
        WEIGHTS,
        oracle=by_peer(peer.roc_auc_score),
    ),
    Case(
        "ranking.average_precision",
        ranking.average_precision,
        (SCORES, SIDES),
        WEIGHTS,
        oracle=by_peer(peer.average_precision_score),
    ),
    Case(
        "ranking.roc_auc_one_vs_rest",
        ranking.roc_auc_one_vs_rest,
        (LOG_PROBS, LABELS),
        WEIGHTS,
        static={"average": "weighted"},
        oracle=one_vs_rest,
    ),
    *(
        Case(f"regression.{name}", fn, NUMBERS, WEIGHTS, oracle=by_peer(score))
        for name, fn, score in (
            ("mse", regression.mse, peer.mean_squared_error),
            ("rmse", regression.rmse, peer.root_mean_squared_error),
            ("mae", regression.mae, peer.mean_absolute_error),
            ("median_absolute_error", regression.median_absolute_error, peer.median_absolute_error),
            ("r2", regression.r2, peer.r2_score),
            ("explained_variance", regression.explained_variance, peer.explained_variance_score),
        )
    ),
    Case(
        "regression.max_error",
        regression.max_error,
        NUMBERS,
        WEIGHTS,
        oracle=lambda p, y, weights: peer.max_error(y, p),
    ),
    Case(
        "regression.pinball",
        regression.pinball,
        NUMBERS,
        WEIGHTS | {"quantile": 0.3},
        oracle=lambda p, y, weights, quantile: peer.mean_pinball_loss(
            y, p, sample_weight=weights, alpha=quantile
        ),
    ),
    Case(
        "calibration.brier",
        calibration.brier,
        (np.exp(LOG_PROBS), LABELS),
        WEIGHTS,
        oracle=brier,
    ),
    Case(
        "calibration.reliability_curve",
        calibration.reliability_curve,
        (0.78 * (rng.permutation(24) + 0.5) / 24, SIDES),
        WEIGHTS,
        static={"num_bins": 3},
        oracle=reliability,
    ),
    Case(
        "calibration.expected_calibration_error",
        calibration.expected_calibration_error,
        (0.7 * np.exp(LOG_PROBS), LABELS),
        WEIGHTS,
        static={"num_bins": 7},
        oracle=calibration_error,
    ),
    Case(
        "clustering.adjusted_rand",
        clustering.adjusted_rand,
        CODES,
        COUNTS,
        static=PARTITIONS,
        oracle=repeated(lambda a, b: peer.adjusted_rand_score(b, a)),
    ),
    Case(
        "clustering.normalized_mutual_information",
        clustering.normalized_mutual_information,
        CODES,
        COUNTS,
        static=PARTITIONS,
        oracle=repeated(lambda a, b: peer.normalized_mutual_info_score(b, a)),
    ),
    Case(
        "clustering.silhouette",
        clustering.silhouette,
        (POINTS, LABELS),
        COUNTS,
        static={"num_clusters": 3},
        oracle=repeated(peer.silhouette_score),
    ),
    Case(
        "clustering.silhouette_of_rows",
        clustering.silhouette_of_rows,
        (POINTS, LABELS),
        COUNTS,
        static={"num_clusters": 3},
        oracle=first_of_repeated,
    ),
)
