"""Bayes' rule over tables, and conjugate pairs: order, batches, and what comes next."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from mastery_jax.probability import bayes, conjugate, distributions

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def belief(kind, *values):
    return kind(*map(jnp.asarray, values))


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12), a, b)


@few
@given(seeds)
def test_one_by_one_equals_all_at_once_in_any_order(seed):
    rng = np.random.default_rng(seed)
    log_prior = np.log(rng.dirichlet(np.ones(4)))
    log_likelihoods = rng.normal(size=(6, 4)) - 3
    beliefs, info = bayes.filter(log_prior, log_likelihoods)
    at_once, whole = bayes.update(log_prior, log_likelihoods.sum(axis=0))
    close(beliefs[-1], at_once)
    close(info.log_evidence.sum(), whole.log_evidence)
    close(special.logsumexp(beliefs, axis=1), np.zeros(6))
    backwards, _ = bayes.filter(log_prior, log_likelihoods[::-1])
    close(backwards[-1], at_once)


def test_what_is_ruled_out_stays_out():
    log_prior = jnp.log(jnp.array([0.5, 0.5, 0.0]))
    beliefs, _ = bayes.filter(log_prior, jnp.log(jnp.array([[0.5, 0.0, 0.9], [0.1, 0.9, 0.9]])))
    np.testing.assert_array_equal(np.exp(beliefs), [[1, 0, 0], [1, 0, 0]])


def test_an_observation_that_nothing_allows():
    log_posterior, info = bayes.update(jnp.zeros(2), jnp.full(2, -jnp.inf))
    assert info.log_evidence == -jnp.inf
    assert jnp.isnan(log_posterior).all()


PAIRS = {
    "gamma": (
        belief(conjugate.Gamma, 2.0, 0.7),
        conjugate.update_gamma,
        np.array([3.0, 0.0, 5.0, 1.0]),
    ),
    "nig": (
        belief(conjugate.NormalInverseGamma, 0.3, 2.0, 1.5, 0.8),
        conjugate.update_normal_inverse_gamma,
        np.array([1.0, -0.5, 3.0, 2.2]),
    ),
    "normal": (
        belief(conjugate.Normal, 0.3, 2.0),
        lambda state, xs: conjugate.update_normal(state, xs, noise_var=0.6),
        np.array([1.0, -0.5, 3.0, 2.2]),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_batch_equals_its_parts(name):
    prior, update, xs = PAIRS[name]
    prior = jax.tree.map(lambda leaf: leaf.astype(xs.dtype), prior)  # made before x64 is on
    close(update(update(prior, xs[:1]), xs[1:]), update(prior, xs))


def test_counts_add_up():
    beta = belief(conjugate.Beta, 1.0, 2.0)
    halves = conjugate.update_beta(conjugate.update_beta(beta, 2, 5), 3, 4)
    close(halves, conjugate.update_beta(beta, 5, 9))


def test_the_next_observation_is_the_likelihood_averaged_over_the_belief():
    """Every predictive against a numerical integral of its definition."""
    beta = conjugate.update_beta(belief(conjugate.Beta, 1.5, 2.0), 3, 5)
    params = conjugate.predict_beta(beta, 4)
    got = np.exp(distributions.log_prob(params, 3, family="beta_binomial"))
    averaged = integrate.quad(lambda p: stats.binom.pmf(3, 4, p) * stats.beta.pdf(p, *beta), 0, 1)
    close(got, averaged[0])

    gamma = conjugate.update_gamma(belief(conjugate.Gamma, 2.0, 0.7), np.array([3.0, 1.0]))
    params = conjugate.predict_gamma(gamma)
    got = np.exp(distributions.log_prob(params, 2, family="gamma_poisson"))
    prior = stats.gamma(gamma.concentration, scale=1 / gamma.rate)
    close(got, integrate.quad(lambda r: stats.poisson.pmf(2, r) * prior.pdf(r), 0, 60)[0])

    normal = belief(conjugate.Normal, 0.3, 2.0)
    params = conjugate.predict_normal(normal, noise_var=0.6)
    got = np.exp(distributions.log_prob(params, 1.1, family="normal"))
    averaged = integrate.quad(
        lambda m: stats.norm.pdf(1.1, m, 0.6**0.5) * stats.norm.pdf(m, 0.3, 2**0.5), -15, 15
    )
    close(got, averaged[0])

    mean, count, concentration, scale = 0.3, 2.0, 1.5, 0.8
    nig = belief(conjugate.NormalInverseGamma, mean, count, concentration, scale)
    params = conjugate.predict_normal_inverse_gamma(nig)
    got = np.exp(distributions.log_prob(params, 1.1, family="student_t"))
    averaged = integrate.quad(
        lambda v: (
            stats.norm.pdf(1.1, mean, np.sqrt(v * (1 + 1 / count)))
            * stats.invgamma.pdf(v, concentration, scale=scale)
        ),
        0,
        np.inf,
        epsabs=1e-13,
    )
    close(got, averaged[0])

    dirichlet = conjugate.update_dirichlet(
        belief(conjugate.Dirichlet, [1.0, 2.0, 1.0]), jnp.array([0.0, 3.0, 1.0])
    )
    params = conjugate.predict_dirichlet(dirichlet)
    close(np.exp(distributions.log_prob(params, 1, family="categorical")), 5 / 8)


def test_impossible_data_gives_nan():
    beta = belief(conjugate.Beta, 1.0, 1.0)
    assert jnp.isnan(conjugate.update_beta(beta, 6, 5).concentration1)
    gamma = belief(conjugate.Gamma, 1.0, 1.0)
    assert jnp.isnan(conjugate.update_gamma(gamma, jnp.array([1.0, -1.0])).concentration)
    nothing = conjugate.update_normal_inverse_gamma(PAIRS["nig"][0], jnp.zeros(0))
    assert jnp.isnan(nothing.mean)


@pytest.mark.parametrize("wide", [True, False])
def test_counts_may_be_whole_numbers_and_the_dtype_is_that_of_the_belief(wide):
    with jax.enable_x64(wide):
        gamma = conjugate.Gamma(jnp.float32(2.0), jnp.float32(0.7))
        found = conjugate.update_gamma(gamma, jnp.array([3, 0, 2]))
        assert [leaf.dtype for leaf in found] == [jnp.float32] * 2
        np.testing.assert_allclose(found, [7.0, 3.7], rtol=1e-6)
        classes = conjugate.Dirichlet(jnp.ones(3, jnp.float32))
        counted = conjugate.update_dirichlet(classes, jnp.array([1, 0, 4])).concentration
        assert counted.tolist() == [2, 1, 5]
        assert counted.dtype == jnp.float32
        beta = conjugate.Beta(jnp.float32(1.0), jnp.float32(1.0))
        found = conjugate.update_beta(beta, jnp.array(7), jnp.array(10))
        assert [float(leaf) for leaf in found] == [8, 4]
        normal = conjugate.Normal(jnp.float32(0.0), jnp.float32(1.0))
        noise_var = jnp.ones(()) * 0.5
        after = conjugate.update_normal(normal, jnp.ones(2), noise_var=noise_var)
        later = conjugate.predict_normal(normal, noise_var=noise_var)
        assert {leaf.dtype.name for leaf in (*after, *later.values())} == {"float32"}


def test_a_variance_that_is_not_positive_gives_nan():
    normal = conjugate.Normal(jnp.array(0.0), jnp.array(1.0))
    for noise_var in (-1.0, 0.0):
        after = conjugate.update_normal(normal, jnp.ones(2), noise_var=noise_var)
        assert jnp.isnan(jnp.stack(after)).all()
        assert jnp.isnan(conjugate.predict_normal(normal, noise_var=noise_var)["scale"])
