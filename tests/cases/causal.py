import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import special

from mastery_jax.core.status import Status
from mastery_jax.inference.causal import (
    balance,
    bayesian,
    bootstrap,
    doubly_robust,
    effect,
    instrument,
    learners,
    matching,
    nuisance,
    propensity,
    refutation,
    regression,
    synthetic,
    weighting,
)
from tests.causal import oracles
from tests.contract import Case

rng = np.random.default_rng(0)
n = 40
X = rng.normal(size=(n, 2)) * [1.0, 3.0] + [0.0, 5.0]
T = (rng.random(n) < special.expit(0.7 * X[:, 0])).astype(np.int32)
y = X @ [1.0, 0.3] + T * (1 + 0.5 * X[:, 0]) + rng.normal(size=n)
at = X[:5] + 0.1
dose = T + 0.5 * X[:, 0] + rng.normal(size=n)
moved_by = np.column_stack([dose + rng.normal(size=n), rng.normal(size=n)])
row_weights = rng.uniform(0.5, 2.0, n)
scores = rng.uniform(0.1, 0.9, n)
key = jax.random.key(0)


def weighted_mean(y, weights):
    return jnp.stack([(weights * y).sum(), (weights * y**2).sum()]) / weights.sum()


def effect_of(slope, X, treated):
    return treated * (X @ slope)


def average_by_loop(key, draws, X, **_):
    found = np.array([(X @ slope).mean() for slope in draws])
    low, high = np.quantile(found, [0.025, 0.975])
    summary = effect.Effect(found.mean(), found.std(ddof=1), low, high)
    return summary, bayesian.Info(np.int32(Status.CONVERGED), found)


def bootstrap_by_loop(key, weights, *, num_replicates, **_):
    with jax.enable_x64(True):
        keys = jax.random.split(key, num_replicates)
        drawn = [np.asarray(bootstrap.draw(k, jnp.asarray(weights))) for k in keys]
    found = np.array([[(w * y).sum(), (w * y**2).sum()] / w.sum() for w in weights * drawn])
    value = np.array([(weights * y).sum(), (weights * y**2).sum()]) / weights.sum()
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    summary = effect.Effect(value, found.std(axis=0, ddof=1), low, high)
    return summary, bootstrap.Info(np.int32(Status.CONVERGED), np.int32(0), found)


def balance_by_numpy(X, treatment, weights):
    found = []
    spread = np.sqrt((X[T == 0].var(axis=0, ddof=1) + X[T == 1].var(axis=0, ddof=1)) / 2)
    for w in (np.ones(n), weights):
        parts = [(X[arm == T], w[arm == T]) for arm in (0, 1)]
        means = [np.average(x, axis=0, weights=v) for x, v in parts]
        var = [
            np.average((x - m) ** 2, axis=0, weights=v) / (1 - (v**2).sum() / v.sum() ** 2)
            for (x, v), m in zip(parts, means, strict=True)
        ]
        found.append(((means[1] - means[0]) / spread, var[1] / var[0]))
    (before, ratio), (after, ratio_after) = found
    ess = [weights[arm == T].sum() ** 2 / (weights[arm == T] ** 2).sum() for arm in (0, 1)]
    return balance.Balance(before, after, ratio, ratio_after, np.array(ess))


def overlap_by_numpy(scores, treatment, *, num_bins):
    shares = [
        np.histogram(scores[arm == T], num_bins, (0, 1))[0] / (arm == T).sum() for arm in (0, 1)
    ]
    edges = np.linspace(0, 1, num_bins + 1)
    return balance.Histogram(edges, *shares, np.minimum(*shares).sum())


def e_value_by_hand(ratio):
    point, limit = ratio.estimate, ratio.lower
    return point + np.sqrt(point * (point - 1)), limit + np.sqrt(limit * (limit - 1))


def propensity_by_scipy(X, treatment, **_):
    e = oracles.logistic(X, treatment, X)
    return e, (oracles.overlap_of(e), np.int32(Status.CONVERGED))


def risk_ratio_by_hand(found, scale):
    d, s = found.estimate / scale, found.std_error / scale
    ends = np.exp(0.91 * d - 1.78 * s), np.exp(0.91 * d + 1.78 * s)
    return effect.Effect(np.exp(0.91 * d), 0.91 * s, *ends)


ratio = effect.Effect(*map(np.array, (3.9, 0.4, 1.8, 8.7)))
ESTIMATORS = (
    (
        "weighting.estimate hajek",
        weighting.estimate,
        {"target": "ate"},
        oracles.weighting_by_moments,
    ),
    ("weighting.estimate att", weighting.estimate, {"target": "att"}, oracles.weighting_by_moments),
    (
        "weighting.estimate horvitz_thompson",
        weighting.estimate,
        {"target": "ate", "is_normalized": False},
        oracles.weighting_by_moments,
    ),
    ("regression.estimate", regression.estimate, {"target": "att"}, oracles.regression_by_moments),
    (
        "doubly_robust.estimate one fold",
        doubly_robust.estimate,
        {"target": "att", "num_folds": 1},
        oracles.robust_by_moments,
    ),
    ("doubly_robust.estimate", doubly_robust.estimate, {"num_folds": 2}, oracles.robust_by_loop),
    (
        "doubly_robust.weighted_regression",
        doubly_robust.weighted_regression,
        {},
        oracles.weighted_regression_by_moments,
    ),
    (
        "matching.estimate ate",
        matching.estimate,
        {"target": "ate", "num_neighbors": 2, "metric": "mahalanobis"},
        oracles.match_by_loop,
    ),
    (
        "matching.estimate att",
        matching.estimate,
        {"target": "att", "num_neighbors": 1, "is_corrected": False},
        oracles.match_by_loop,
    ),
)
REFUTERS = ("placebo", "random_common_cause", "subset")
CASES = (
    Case("nuisance.split", nuisance.split, (key, T), static={"num_folds": 3}),
    Case("propensity.estimate", propensity.estimate, (X, T), oracle=propensity_by_scipy),
    *(Case(name, fn, (X, T, y), static=s, oracle=oracle) for name, fn, s, oracle in ESTIMATORS),
    Case(
        "weighting.weigh",
        weighting.weigh,
        (T, scores),
        static={"target": "overlap"},
        oracle=lambda T, e, *, target: oracles.ratios(T, e, target),
    ),
    *(
        Case(
            f"instrument.estimate {error}",
            instrument.estimate,
            (X, dose, y, moved_by),
            static={"error": error},
            oracle=oracles.two_stages,
        )
        for error in ("classical", "hc1")
    ),
    Case(
        "instrument.regress",
        instrument.regress,
        (X, dose, y),
        oracle=oracles.regress,
        modes=(),
        because="its F is infinite, which no difference quotient can follow",
    ),
    Case("learners.single", learners.single, (X, T, y, at), oracle=oracles.two_by_loop),
    Case("learners.two", learners.two, (X, T, y, at), oracle=oracles.two_by_loop),
    Case("learners.cross", learners.cross, (X, T, y, at), oracle=oracles.cross_by_loop),
    Case(
        "learners.robust",
        learners.robust,
        (X, T, y, at),
        static={"num_folds": 2},
        oracle=oracles.robust_learner_by_loop,
    ),
    Case(
        "bayesian.estimate",
        bayesian.estimate,
        (key, X, T, y),
        static={"num_draws": 5},
    ),
    Case(
        "bayesian.average",
        bayesian.average,
        (key, rng.normal(size=(7, 2)), X),
        {"mean": Partial(effect_of)},
        {"is_population": False},
        oracle=average_by_loop,
        unchecked=("1",),
        because="draws are a tree of whatever the mean takes",
    ),
    Case(
        "bootstrap.estimate",
        bootstrap.estimate,
        (key, row_weights),
        {"statistic": Partial(weighted_mean, y)},
        {"num_replicates": 6, "lanes": 2},
        oracle=bootstrap_by_loop,
    ),
    *(
        Case(f"bootstrap.draw {kind}", bootstrap.draw, (key, row_weights), static={"kind": kind})
        for kind in ("multinomial", "poisson", "bayesian")
    ),
    Case("balance.measure", balance.measure, (X, T, row_weights), oracle=balance_by_numpy),
    Case(
        "balance.overlap",
        balance.overlap,
        (scores, T),
        static={"num_bins": 4},
        oracle=overlap_by_numpy,
    ),
    *(
        Case(
            f"refutation.{name}",
            getattr(refutation, name),
            (key, X, T, y),
            {"estimator": Partial(regression.estimate)},
            {"num_replicates": 4, "lanes": 2},
        )
        for name in REFUTERS
    ),
    Case(
        "refutation.risk_ratio",
        refutation.risk_ratio,
        (ratio, np.array(2.0)),
        oracle=risk_ratio_by_hand,
    ),
    Case("refutation.e_value", refutation.e_value, (ratio,), oracle=e_value_by_hand),
    Case(
        "synthetic.sample",
        synthetic.sample,
        (key, np.array(1.0)),
        static={"num_units": 20, "kind": "heterogeneous"},
        modes=(),
        because="who is treated jumps with the confounding",
    ),
)
