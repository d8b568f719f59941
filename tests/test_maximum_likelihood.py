"""Maximum likelihood: closed forms, logistic regression, coverage, and searches that fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.probability import distributions, maximum_likelihood
from tests.cases.information import log_density, normal_in_closed_form


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def exponential(log_rate, y):
    return distributions.log_prob({"rate": jnp.exp(log_rate)}, y, family="exponential")


def logistic(weights, row):
    x, label = row
    logit = weights @ x
    return label * logit - jax.nn.softplus(logit)


def flat(params, y):
    """Two parameters of which the data see the sum alone."""
    return -((y - params[0] - params[1]) ** 2) / 2


NORMAL = {"loc": np.array(0.0), "log_scale": np.array(0.0)}


def test_a_normal_is_its_closed_form():
    ys = np.random.default_rng(0).normal(3.0, 2.0, 50)
    state, info = maximum_likelihood.fit(Partial(log_density), NORMAL, ys, gtol=1e-10)
    wanted = normal_in_closed_form(None, NORMAL, ys)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), state, wanted
    )
    assert info.status == Status.CONVERGED
    loss = -len(ys) * (np.log(ys.std()) + 0.5)
    np.testing.assert_allclose(info.log_likelihood, loss, rtol=1e-10)


def test_a_rate_is_its_closed_form():
    """The rate is 1 / mean, and its logarithm has the standard error 1 / √n for every sample."""
    ys = np.random.default_rng(1).exponential(0.4, 60)
    start = jnp.array(0.0)
    state, _ = maximum_likelihood.fit(Partial(exponential), start, ys, gtol=1e-10)
    np.testing.assert_allclose(jnp.exp(state.params), 1 / ys.mean(), rtol=1e-9)
    np.testing.assert_allclose(state.std_error, 1 / np.sqrt(60), rtol=1e-8)


@pytest.mark.parametrize("robust", [False, True])
def test_logistic_regression_by_its_own_formulas(robust):
    """Newton's method in NumPy, and the classical (XᵀWX)⁻¹ or White's sandwich."""
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(80), rng.normal(size=(80, 2))])
    labels = (rng.uniform(size=80) < 1 / (1 + np.exp(-X @ [0.3, 1.0, -0.5]))) * 1.0
    w = np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-X @ w))
        bread = np.linalg.inv((X * (p * (1 - p))[:, None]).T @ X)
        w = w + bread @ X.T @ (labels - p)
    meat = (X * ((labels - p) ** 2)[:, None]).T @ X
    wanted = bread @ meat @ bread if robust else bread
    data = jnp.asarray(X), jnp.asarray(labels)
    state, info = maximum_likelihood.fit(
        Partial(logistic), jnp.zeros(3), data, robust=robust, gtol=1e-10
    )
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.params, w, rtol=1e-7)
    np.testing.assert_allclose(state.cov, wanted, rtol=1e-6)
    np.testing.assert_allclose(state.std_error, np.sqrt(np.diagonal(wanted)), rtol=1e-6)


def test_intervals_cover_as_often_as_they_say():
    """Of 400 samples of 100, 95 % intervals cover the truth 380 ± 4.4 times; alarm beyond 5 of it.

    Under a wrong model (Laplace data, known scale of a normal) only the sandwich keeps the promise.
    """

    def shifted(loc, y):
        return -((y - loc) ** 2) / 2

    ys = jax.random.laplace(jax.random.key(0), (400, 100)) * 2**0.5  # of variance 4

    def z(robust):
        def one(ys):
            start = jnp.zeros(())
            state, _ = maximum_likelihood.fit(Partial(shifted), start, ys, robust=robust)
            return state.params / state.std_error

        return jnp.abs(jax.vmap(one)(ys))

    assert abs(int((z(True) < 1.96).sum()) - 380) < 5 * 4.4
    assert int((z(False) < 1.96).sum()) < 380 - 5 * 4.4


def test_what_the_data_do_not_tell_is_singular():
    ys = jnp.array([1.0, 2.0, 4.0])
    state, info = maximum_likelihood.fit(Partial(flat), jnp.zeros(2), ys)
    assert info.status == Status.SINGULAR
    assert jnp.isnan(state.std_error).all()
    np.testing.assert_allclose(state.params.sum(), ys.mean(), rtol=1e-5)


def test_a_search_that_fails_says_how():
    ys = np.random.default_rng(0).normal(3.0, 2.0, 20)
    _, info = maximum_likelihood.fit(Partial(log_density), NORMAL, ys, max_steps=1)
    assert info.status == Status.OUT_OF_STEPS
    _, info = maximum_likelihood.fit(Partial(log_density), NORMAL, ys * np.nan)
    assert info.status == Status.NOT_FINITE


def test_no_data_is_refused():
    for data in (jnp.zeros(0), (jnp.zeros(3), jnp.zeros(4)), jnp.zeros(())):
        with pytest.raises(ValueError, match=r"maximum_likelihood\.fit: data has leading axes"):
            maximum_likelihood.fit(Partial(log_density), NORMAL, data)


def test_the_estimate_moves_with_the_data_as_the_implicit_function_says():
    ys = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, 6))

    def loc(ys):
        return maximum_likelihood.fit(Partial(log_density), NORMAL, ys, gtol=1e-10)[0].params["loc"]

    np.testing.assert_allclose(jax.grad(loc)(ys), np.full(6, 1 / 6), rtol=1e-6)


@pytest.mark.parametrize("c", [1.0, 0.3, 0.7, 1 / 3, 2.1])
def test_a_direction_of_which_data_say_nothing_is_singular(c):
    def log_density(theta, y):
        return -((y - 0.1 * theta[0] - c * theta[1]) ** 2) / 2

    data = jnp.asarray(np.random.default_rng(0).normal(size=30))
    state, info = maximum_likelihood.fit(Partial(log_density), jnp.zeros(2), data)
    assert info.status == Status.SINGULAR
    assert np.isnan(state.std_error).all()


@pytest.mark.parametrize("unit", [1e-6, 1e5, 1e8])
def test_the_unit_of_the_data_does_not_end_the_search(unit):
    """In large units every slope in the location is small, near the maximum or not."""
    ys = np.random.default_rng(5).normal(2.0, 1.0, 50) * unit
    state, info = maximum_likelihood.fit(Partial(log_density), NORMAL, ys)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.params["loc"], ys.mean(), rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(state.params["log_scale"]), ys.std(), rtol=1e-5)
    np.testing.assert_allclose(state.std_error["loc"], ys.std() / np.sqrt(50), rtol=1e-5)


def test_a_search_that_did_not_converge_is_not_blamed_on_the_data():
    ys = np.random.default_rng(6).normal(2e5, 1e5, 50)
    _, info = maximum_likelihood.fit(Partial(log_density), NORMAL, ys, max_steps=1)
    assert info.status == Status.OUT_OF_STEPS
