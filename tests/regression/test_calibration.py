"""Engines over many data sets: ranks of what made the rows, p-values, coverage. And predictions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mastery_jax.core.status import Status
from mastery_jax.inference.regression import (
    closed_form,
    markov,
    predictive,
    prior,
    simulated,
    variational,
)
from tests.regression.rows import awkward, belief

KEY = jax.random.key(0)
NUM_SETS = 400


def assert_uniform(values, num_bins=20):
    """Insist that numbers in [0, 1] are uniform; once in a million they would not be."""
    counts = np.histogram(values, bins=num_bins, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-6, counts


def of_many(fn):
    """Return what ``fn`` gives of keys and rows that were drawn from a prior, compiled once."""
    X = jax.random.normal(jax.random.key(9), (15, 2)).at[:, 0].set(1)
    known = prior.Prior(jnp.array([0.5, -1.0]), jnp.array([[2.0, -0.7], [0.0, 1.5]]), 4.0, 3.0)
    known = jax.tree.map(jnp.asarray, known)

    def one(key):
        noise_key, weight_key, y_key, own_key = jax.random.split(key, 4)
        noise = jnp.sqrt(known.rate / jax.random.gamma(noise_key, known.shape))
        weights = known.mean + noise * (known.root @ jax.random.normal(weight_key, (2,)))
        y = X @ weights + noise * jax.random.normal(y_key, (15,))
        return fn(own_key, X, y, known, weights, noise)

    return jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(KEY, NUM_SETS))


def ranks(engine, **options):
    """Return the share of draws below what made the rows, weight by weight, and of the noise."""

    def one(key, X, y, known, weights, noise):
        draws, info = engine(key, X, y, prior=known, **options)
        below = (draws.weights < weights[None, None, :]).mean(axis=(0, 1))
        return jnp.append(below, (draws.noise < noise).mean()), info.status

    found, status = of_many(one)
    assert not np.isin(status, [Status.NOT_FINITE, Status.BAD_INPUT]).any()
    return np.asarray(found)


@pytest.mark.slow
def test_ranks_of_independent_draws_are_uniform():
    for column in ranks(closed_form.engine, num_draws=100).T:
        assert_uniform(column)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("engine", [markov.hmc, markov.nuts])
def test_ranks_of_chains_are_uniform(engine):
    for column in ranks(engine, num_draws=100, num_warmup=300).T:
        assert_uniform(column)


@pytest.mark.slow
def test_ranks_of_a_wrong_prior_are_not_uniform():
    def wrong(key, X, y, *, prior, **options):
        return closed_form.engine(key, X, y, prior=prior._replace(rate=prior.rate * 9), **options)

    with pytest.raises(AssertionError):
        assert_uniform(ranks(wrong, num_draws=100)[:, 2])


@pytest.mark.slow
def test_p_values_of_true_models_are_spread_and_of_outliers_small():
    """They lean to the middle, since the rows were seen; an outlier is at the end all the same."""

    def one(key, X, y, known, *_):
        draws, _ = closed_form.engine(key, X, y, prior=known, num_draws=100)
        spoiled = y.at[0].add(12 * y.std())
        again, _ = closed_form.engine(key, X, spoiled, prior=known, num_draws=100)
        whole = predictive.p_values(key, draws, X, y)
        return whole, predictive.p_values(key, again, X, spoiled)["max"]

    whole, spoiled = of_many(one)
    for name in ("min", "max"):
        assert abs(np.mean(whole[name]) - 0.5) < 0.07
        assert 0.1 < np.std(whole[name]) < 0.32
    assert np.quantile(spoiled, 0.9) < 0.05


@pytest.mark.slow
@pytest.mark.engine
def test_a_bend_of_the_log_odds_is_seen():
    data = simulated.sample(KEY, jnp.array([0.0, 1.0]), num_rows=600, family="bernoulli")
    x = data.X[:, 1]
    bent = jax.random.bernoulli(jax.random.key(1), jax.nn.sigmoid(2 * x**2 + x - 2))
    found = []
    for y in (data.y, bent.astype(data.y.dtype)):
        known = belief(data.X, y, family="bernoulli")
        options = {"prior": known, "family": "bernoulli"}
        draws, _ = variational.laplace(KEY, data.X, y, **options)
        checks = predictive.p_values(KEY, draws, data.X, y, family="bernoulli")
        found.append(float(checks["calibration"]))
    assert found[0] > 0.05
    assert found[1] < 0.001


def test_predictions_are_those_of_the_closed_form():
    X, y = awkward(0)
    state, _ = closed_form.fit(X, y, prior=belief(X, y))
    draws = closed_form.sample(KEY, state, num_draws=1000)
    X_new, y_new = awkward(1, num_rows=6)
    told = jax.tree.map(lambda x: np.asarray(x, float), closed_form.predict(state, X_new))
    law = stats.t(told["df"], told["loc"], told["scale"])
    found = predictive.predict(jax.random.key(1), draws, X_new)
    np.testing.assert_allclose((found.mean - law.mean()) / law.std(), 0, atol=0.03)
    np.testing.assert_allclose(found.sd, law.std(), rtol=0.05)
    for quantiles, level in zip(found.quantiles, predictive.LEVELS, strict=True):
        np.testing.assert_allclose((quantiles - law.ppf(level)) / law.std(), 0, atol=0.2)
    score = predictive.log_density(draws, X_new, y_new)
    np.testing.assert_allclose(score, law.logpdf(y_new), atol=0.1)
    # By logarithms: where the density of every draw rounds to zero.
    far = predictive.log_density(draws, X_new, y_new + 1e3)
    assert np.isfinite(far).all()
    assert (far < -1000).all()


def test_draws_of_another_family_are_refused():
    X, y = awkward(0)
    draws, _ = closed_form.engine(KEY, X, y, prior=belief(X, y))
    said = r"^predictive.predict: draws have noise, not what family 'bernoulli' has"
    with pytest.raises(ValueError, match=said):
        predictive.predict(KEY, draws, X, family="bernoulli")
    with pytest.raises(ValueError, match=r"^predictive.sample: draws have no noise"):
        predictive.sample(KEY, draws._replace(noise=None), X)
