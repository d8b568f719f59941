"""Rows that are awkward: units far apart, and two columns that nearly say the same."""

import jax.numpy as jnp
import numpy as np
from scipy import stats

from mastery_jax.inference.regression import prior

NAMES = ("intercept", "near", "far")
UNITS = np.array([1.0, 1e-3, 1e6])


def awkward(seed, num_rows=40, dtype="float32"):
    """Return rows whose columns are 1e9 apart in unit and 0.95 in correlation."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(num_rows, 1)), rng.normal(size=(num_rows, 2))
    X = np.concatenate([np.ones((num_rows, 1)), 3 + common + 0.23 * own], axis=1)
    y = X @ np.array([10.0, 1.0, -2.0]) + 0.7 * rng.normal(size=num_rows)
    return jnp.asarray(X * UNITS, dtype), jnp.asarray(y, dtype)


def belief(X, y, **options):
    return prior.weakly_informative(X, y, **options)


def assert_follows(draws, law):
    """Insist that independent draws follow a law; once in a million they would not."""
    assert stats.kstest(np.asarray(draws, float).ravel(), law.cdf).pvalue > 1e-6
