"""A sweep of three rates and four seeds whose table is known."""

import numpy as np

from mastery_jax.workflow import records
from mastery_jax.workflow.compare import members

RATES, SEEDS = [1e-3, 1e-2, 1e-1], [0, 1, 2, 3]
SWEEP = {"optimizer.learning_rate": RATES, "seed": SEEDS}
NOISE = np.random.default_rng(7).normal(size=(3, 4)).round(6)
VALUES = np.array([0.8, 0.9, 0.7])[:, None] + 0.01 * NOISE


def measured(learning_rate, seed):
    value = float(VALUES[RATES.index(learning_rate), seed])
    return {"loss": 1 - value, "test_accuracy": value, "test_log_loss": 2 - value}


def gather(*folders):
    return [member for folder in folders for member in members.members(records.read(folder))]


def close(found, mean, interval, n):
    np.testing.assert_allclose(found[:3], (mean, interval.low, interval.high), rtol=1e-12)
    assert found.n == n
