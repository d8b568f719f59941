"""Metrics of predictions, which are called on many rows."""

import numpy as np
from scipy import special
from sklearn import metrics as peer

from mastery_jax.probability import metrics
from tests.contract import Case

rng = np.random.default_rng(3)
LOG_PROBS = special.log_softmax(rng.normal(size=(12, 3)), axis=1)
LABELS = rng.integers(0, 3, size=12)
Y, PREDICTIONS = rng.normal(size=(2, 12))

CASES: tuple[Case, ...] = (
    Case(
        name="metrics.accuracy",
        fn=metrics.accuracy,
        args=(LOG_PROBS, LABELS),
        oracle=lambda p, y: peer.accuracy_score(y, p.argmax(1)),
    ),
    Case(
        name="metrics.log_loss",
        fn=metrics.log_loss,
        args=(LOG_PROBS, LABELS),
        oracle=lambda p, y: peer.log_loss(y, np.exp(p)),
    ),
    Case(
        name="metrics.rmse",
        fn=metrics.rmse,
        args=(PREDICTIONS, Y),
        oracle=lambda p, y: peer.root_mean_squared_error(y, p),
    ),
    Case(
        name="metrics.r2",
        fn=metrics.r2,
        args=(PREDICTIONS, Y),
        oracle=lambda p, y: peer.r2_score(y, p),
    ),
)
