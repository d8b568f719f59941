"""Cases of permutation importance: a loop over features and the same orders."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.trust import permutation_importance
from tests.contract import Case

rng = np.random.default_rng(3)
X, coefficients = rng.normal(size=(12, 3)), np.array([1.0, -2.0, 0.0])
y = X @ coefficients + 0.1 * rng.normal(size=12)
key = jax.random.key(5)


def line(coefficients, X):
    return jnp.tanh(X @ coefficients)


def mean_square(predictions, targets, *, weights):
    return (weights * (predictions - targets) ** 2).sum() / weights.sum()


def by_loop(key, X, targets, *, model, score, num_repeats, is_loss):
    orders = [np.asarray(jax.random.permutation(k, 12)) for k in jax.random.split(key, num_repeats)]

    def judge(X):
        return ((np.tanh(X @ coefficients) - targets) ** 2).mean()

    each = np.zeros((3, num_repeats))
    for feature in range(3):
        for number, order in enumerate(orders):
            mixed = X.copy()
            mixed[:, feature] = X[order, feature]
            each[feature, number] = judge(mixed) - judge(X)
    error = each.std(axis=1, ddof=1) / np.sqrt(num_repeats)
    return permutation_importance.State(each.mean(axis=1), error, judge(X), each)


CASES: tuple[Case, ...] = (
    Case(
        "permutation_importance.estimate",
        permutation_importance.estimate,
        (key, X, y),
        {"model": Partial(line, coefficients), "score": Partial(mean_square)},
        static={"num_repeats": 4, "is_loss": True},
        oracle=by_loop,
        modes=(),
        because="a feature that is not read has a spread of 0, where the root has no slope",
    ),
)
