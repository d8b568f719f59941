"""What holds for every estimator of an effect: coverage, robustness, invariances, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.inference.causal import (
    balance,
    bayesian,
    bootstrap,
    doubly_robust,
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

TRUTH = -10.0
ESTIMATORS = {
    "weighting": weighting.estimate,
    "regression": regression.estimate,
    "doubly_robust": doubly_robust.estimate,
    "weighted_regression": doubly_robust.weighted_regression,
    "matching": matching.estimate,
}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def patients(seed=0, num_units=400, kind="constant"):
    return synthetic.sample(jax.random.key(seed), 1.0, num_units=num_units, kind=kind)


def many(estimate, count, num_units=400, kind="heterogeneous"):
    """Repeat a study by one vmap; return the effects."""

    def one(key):
        return estimate(synthetic.sample(key, 1.0, num_units=num_units, kind=kind))

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), count))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weighting", "regression", "doubly_robust"])
def test_intervals_cover(name):
    """Of 1,000 intervals of 95 %, 935 to 965 hold the truth; chance alone leaves that in 3 %."""
    found = many(lambda d: ESTIMATORS[name](d.X, d.treatment, d.y)[0], 1000)
    cover = float(((found.lower < TRUTH) & (found.upper > TRUTH)).mean())
    assert 0.935 <= cover <= 0.965, cover
    np.testing.assert_allclose(found.std_error.mean(), found.estimate.std(), rtol=0.08)


@pytest.mark.slow
def test_doubly_robust_needs_one_right_model_and_weighting_its_own():
    """Scores or outcomes that see no covariate are wrong: AIPW is off if both are.

    With one of them right its bias goes as 1/n, not as a constant: −0.153, −0.076 and −0.038 at
    1000, 2000 and 4000 units in two folds, over 1,000 studies each; in five folds −0.046 at 2000.
    """

    def errors(estimate):
        found = many(estimate, 60, num_units=4000).estimate
        return abs(found.mean() - TRUTH) / (found.std() / np.sqrt(60))

    blind = Partial(lambda X, y, w: (w * y).sum() / w.sum()), Partial(lambda s, X: s + 0 * X[:, 0])
    blind = nuisance.Learner(*blind)
    aipw = doubly_robust.estimate
    assert errors(lambda d: aipw(d.X, d.treatment, d.y, outcome=blind)[0]) < 4
    assert errors(lambda d: aipw(d.X, d.treatment, d.y, scores=blind)[0]) < 4
    assert errors(lambda d: aipw(d.X, d.treatment, d.y, scores=blind, outcome=blind)[0]) > 20
    assert errors(lambda d: weighting.estimate(d.X, d.treatment, d.y, scores=blind)[0]) > 20


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.slow
def test_units_of_the_outcome(name):
    """Adding a constant changes nothing; a factor, and a swap of the arms, only what it must."""
    d = patients()
    found, _ = ESTIMATORS[name](d.X, d.treatment, d.y)
    for other, factor in ((d.y + 1e4, 1.0), (-3.0 * d.y, -3.0)):
        moved, _ = ESTIMATORS[name](d.X, d.treatment, other)
        np.testing.assert_allclose(moved.estimate, factor * found.estimate, rtol=1e-7)
        np.testing.assert_allclose(moved.std_error, abs(factor) * found.std_error, rtol=1e-7)
    if name != "doubly_robust":  # its folds follow the order within the arms
        swapped, _ = ESTIMATORS[name](d.X, 1 - d.treatment, d.y)
        np.testing.assert_allclose(swapped.estimate, -found.estimate, rtol=1e-7)


def test_horvitz_thompson_does_not_know_a_constant():
    d = patients()
    plain, moved = (
        weighting.estimate(d.X, d.treatment, y, is_normalized=False)[0].estimate
        for y in (d.y, d.y + 1e4)
    )
    assert abs(plain - moved) > 1


@pytest.mark.parametrize("name", [*ESTIMATORS])
@pytest.mark.slow
def test_a_row_without_weight_is_no_row(name):
    d = patients(num_units=120)
    kept = np.arange(120) % 6 != 0
    options = {"num_folds": 1} if name == "doubly_robust" else {}
    y = jnp.where(kept, d.y, jnp.nan)
    told, info = ESTIMATORS[name](d.X, d.treatment, y, weights=1.0 * kept, **options)
    assert info.status == Status.CONVERGED
    left, _ = ESTIMATORS[name](d.X[kept], d.treatment[kept], d.y[kept], **options)
    np.testing.assert_allclose(told, left, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ESTIMATORS)
def test_bad_treatments_give_no_number(name):
    d = patients(num_units=60)
    for treatment in (0 * d.treatment, 0 * d.treatment + 1, d.treatment * 2):
        found, info = ESTIMATORS[name](d.X, treatment, d.y)
        assert info.status == Status.BAD_INPUT
        assert all(np.isnan(part) for part in found)
    with pytest.raises(ValueError, match="treatment is float64"):
        ESTIMATORS[name](d.X, d.treatment.astype(float), d.y)


def test_what_is_no_number_has_no_neighbor():
    d = patients(num_units=60)
    for X, y in ((d.X.at[3, 1].set(jnp.nan), d.y), (d.X, d.y.at[3].set(jnp.inf))):
        found, info = matching.estimate(X, d.treatment, y, is_corrected=False)
        assert info.status == Status.NOT_FINITE
        assert all(np.isnan(part) for part in found)


def test_a_column_that_is_there_twice_costs_no_freedom():
    d = patients(num_units=60)
    treatment = d.treatment.astype(float)
    once, twice = (
        instrument.regress(X, treatment, d.y, error="classical")[0]
        for X in (d.X, jnp.append(d.X, d.X[:, :1], axis=1))
    )
    np.testing.assert_allclose(twice, once, rtol=1e-9)


def test_a_row_that_is_in_no_fold_is_said():
    d = patients(num_units=60)
    folds = nuisance.split(jax.random.key(0), d.treatment, num_folds=3)
    scores, (_, status) = propensity.estimate(d.X, d.treatment, folds=folds, num_folds=2)
    assert status == Status.BAD_INPUT
    np.testing.assert_array_equal(jnp.isnan(scores), folds == 2)


@pytest.mark.slow
def test_no_overlap_is_said():
    d = patients()
    X = jnp.append(d.X, d.treatment[:, None].astype(float) + 0.1 * d.X[:, :1] / 60, axis=1)
    # Within an arm the column that tells it is a multiple of another: regressions are SINGULAR.
    for name, status in {
        "weighting": Status.DIVERGED,
        "doubly_robust": Status.SINGULAR,
        "weighted_regression": Status.SINGULAR,
    }.items():
        _, info = ESTIMATORS[name](X, d.treatment, d.y)
        assert info.status == status
        assert not info.overlap.is_overlap
    _, (overlap, status) = propensity.estimate(X, d.treatment, clip=0.05)
    assert (status, int(overlap.num_clipped)) == (Status.DIVERGED, 400)
    _, info = weighting.estimate(d.X, d.treatment, d.y, trim=0.5)
    assert info.status == Status.BAD_INPUT, "nothing is left"
    _, info = weighting.estimate(d.X, d.treatment, d.y, scores=d.scores.at[3].set(1.0))
    assert info.status == Status.BAD_INPUT, "a known probability of 1"


@pytest.mark.slow
def test_clipping_and_trimming_are_counted():
    d = patients()
    scores, _ = propensity.estimate(d.X, d.treatment)
    outside = int(((scores < 0.3) | (scores > 0.7)).sum())
    _, clipped = weighting.estimate(d.X, d.treatment, d.y, clip=0.3)
    _, trimmed = weighting.estimate(d.X, d.treatment, d.y, trim=0.3)
    assert int(clipped.overlap.num_clipped) == int(trimmed.overlap.num_trimmed) == outside > 0
    assert int(trimmed.num_used) == 400 - outside


def test_what_is_trimmed_is_not_divided_by():
    """A control whose score is rounded to 1 has a weight of 1/0, unless it is left out."""
    d = patients()
    sure = d.scores.at[jnp.argmin(d.treatment)].set(1.0)
    known = nuisance.Learner(Partial(lambda s, X, y, w: s, sure), Partial(lambda s, X: s))
    found, info = weighting.estimate(d.X, d.treatment, d.y, scores=known, trim=1e-3)
    assert (int(info.overlap.num_trimmed), info.status) == (1, Status.CONVERGED)
    assert 0 < found.std_error < 10


@pytest.mark.parametrize("kind", ["multinomial", "poisson", "bayesian"])
@pytest.mark.slow
def test_the_bootstrap_equals_the_derivative(kind):
    d = patients(num_units=1000)

    def statistic(X, treatment, y, weights):
        return weighting.estimate(X, treatment, y, weights=weights)[0].estimate

    found, info = bootstrap.estimate(
        jax.random.key(2),
        jnp.ones(1000),
        statistic=Partial(statistic, d.X, d.treatment, d.y),
        kind=kind,
    )
    analytic, _ = weighting.estimate(d.X, d.treatment, d.y)
    assert int(info.num_failed) == 0
    # A standard deviation of 1,000 draws is known to 2.2 %; the rest is of second order.
    np.testing.assert_allclose(found.std_error, analytic.std_error, rtol=0.12)
    np.testing.assert_allclose(found.lower, analytic.lower, atol=0.3 * analytic.std_error)


@pytest.mark.slow
def test_the_posterior_is_as_wide_as_the_sampling_distribution():
    """Noise drawn for each unit would shrink it by about the root of n; it does not."""
    d = patients(num_units=1000, kind="heterogeneous")
    found, info = bayesian.estimate(jax.random.key(3), d.X, d.treatment, d.y)
    plain, _ = regression.estimate(d.X, d.treatment, d.y)
    assert info.status == Status.CONVERGED
    constant, info = bayesian.estimate(jax.random.key(3), d.X, d.treatment, 0 * d.y)
    assert (info.status, bool(jnp.isnan(constant.estimate))) == (Status.NOT_FINITE, True)
    np.testing.assert_allclose(found.std_error, plain.std_error, rtol=0.1)
    np.testing.assert_allclose(found.estimate, plain.estimate, atol=0.1 * plain.std_error)


@pytest.mark.slow
def test_units_differ_and_learners_see_it():
    d = patients(num_units=2000, kind="heterogeneous")
    for learn in (learners.single, learners.two, learners.cross, learners.robust):
        effects, info = learn(d.X, d.treatment, d.y, d.X)
        assert info.status == Status.CONVERGED
        assert jnp.sqrt(((effects - d.effects) ** 2).mean()) < 0.4 * d.effects.std()
    average, _ = doubly_robust.estimate(d.X, d.treatment, d.y)
    np.testing.assert_allclose(info.average, average, rtol=1e-9)


@pytest.mark.slow
def test_refuters_find_nothing_where_there_is_nothing():
    d = patients()
    given = (jax.random.key(4), d.X, d.treatment, d.y)
    estimator = Partial(regression.estimate)
    nothing = refutation.placebo(*given, estimator=estimator, num_replicates=100)
    assert abs(nothing.mean) < 4 * nothing.std / 10
    np.testing.assert_allclose(nothing.p_value, 1 / 101)
    with pytest.raises(ValueError, match=r"^refutation: num_replicates is 1, not at least 2"):
        refutation.subset(*given, estimator=estimator, num_replicates=1)
    for refute in (refutation.random_common_cause, refutation.subset):
        same = refute(*given, estimator=estimator, num_replicates=100)
        assert abs(same.mean - same.original.estimate) < 0.3 * same.original.std_error
        assert same.p_value > 0.01
    more = refutation.subset(*given, estimator=estimator, fraction=1.5, num_replicates=2)
    assert (int(more.num_failed), bool(jnp.isnan(more.mean))) == (2, True)


def test_weights_balance_the_arms_and_weak_instruments_are_said():
    d = patients(num_units=2000)
    scores, _ = propensity.estimate(d.X, d.treatment)
    for target in ("ate", "att", "overlap"):
        weights = weighting.weigh(d.treatment, scores, target=target)
        found = balance.measure(d.X, d.treatment, weights)
        assert abs(found.smd_before).max() > 0.3
        assert abs(found.smd_after).max() < 0.05
    # Exact for the overlap weights of a logit: Li, Morgan & Zaslavsky (2018), theorem 3.
    np.testing.assert_allclose(found.smd_after, 0, atol=1e-6)
    # A tenth is no float: what rounding makes of its mean and variance is no imbalance.
    found = balance.measure(d.X.at[:, 3].set(0.1), d.treatment, weights)
    assert (float(found.smd_before[3]), float(found.smd_after[3])) == (0.0, 0.0)
    noise = jax.random.normal(jax.random.key(5), (2000, 1))
    _, info = instrument.estimate(d.X, d.treatment.astype(float), d.y, noise)
    assert info.is_weak
    _, info = instrument.estimate(d.X, d.treatment.astype(float), d.y, d.X[:, :1] * 2)
    assert info.status == Status.SINGULAR
