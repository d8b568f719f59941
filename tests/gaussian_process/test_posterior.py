"""Gaussian processes: scikit-learn's numbers, limits, paths, failures."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as peer

from mastery_jax.core.status import Status
from mastery_jax.probability.gaussian_process import gp_regression, kernels, marginal_likelihood
from tests.statistics import assert_mean

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
ARD = np.array([0.7, 1.6])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def data(seed, n=12, d=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=n)


def close(a, b, rtol=1e-8):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-10)


TWINS = {
    "rbf": (kernels.RBF(ARD), peer.RBF(ARD), 2),
    "matern12": (kernels.Matern12(ARD), peer.Matern(ARD, nu=0.5), 2),
    "matern32": (kernels.Matern32(ARD), peer.Matern(ARD, nu=1.5), 2),
    "matern52": (kernels.Matern52(ARD), peer.Matern(ARD, nu=2.5), 2),
    "periodic": (kernels.Periodic(1.9, 0.8), peer.ExpSineSquared(0.8, 1.9), 1),  # one dimension
    "product": (
        kernels.Product((kernels.Constant(1.7), kernels.RBF(0.9))),
        peer.ConstantKernel(1.7) * peer.RBF(0.9),
        2,
    ),
    "sum": (
        kernels.Sum((kernels.Constant(0.4), kernels.Matern32(0.9))),
        peer.ConstantKernel(0.4) + peer.Matern(0.9, nu=1.5),
        2,
    ),
    "linear": (
        kernels.Sum((kernels.Constant(0.49), kernels.Linear(1.0))),
        peer.DotProduct(0.7),
        2,
    ),
}
SLOPES = {  # where scikit-learn's logarithms lie among ours; its sigma_0 is a root
    "periodic": ([1, 0], 1.0),
    "linear": ([0], 2.0),
}


@pytest.mark.parametrize("name", TWINS)
def test_likelihood_and_slope_are_those_of_scikit_learn(name):
    ours, theirs, dim = TWINS[name]
    X, y = data(1, d=dim)
    noisy = kernels.Sum((ours, kernels.White(0.3)))
    other = GaussianProcessRegressor(theirs + peer.WhiteKernel(0.3), alpha=0.0, optimizer=None)
    theta = other.fit(X, y).kernel_.theta
    value, slope = other.log_marginal_likelihood(theta, eval_gradient=True)
    logs, rebuild = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.log, noisy))

    def of_logs(logs):
        return marginal_likelihood.log_prob(jax.tree.map(jnp.exp, rebuild(logs)), X, y)

    got, got_slope = jax.value_and_grad(of_logs)(logs)
    order, factor = SLOPES.get(name, (list(range(len(logs) - 1)), 1.0))
    close(got, value)
    close(factor * got_slope[jnp.array(order)], slope[:-1])
    close(got_slope[-1], slope[-1])


@pytest.mark.parametrize("name", TWINS)
def test_prediction_is_that_of_scikit_learn(name):
    ours, theirs, dim = TWINS[name]
    (X, y), (Z, _) = data(2, d=dim), data(3, n=5, d=dim)
    other = GaussianProcessRegressor(theirs, alpha=0.2, optimizer=None).fit(X, y)
    state = gp_regression.fit(ours, X, y, noise=0.2)
    mean, covariance = other.predict(Z, return_cov=True)
    close(gp_regression.predict(state, Z)[0], mean)
    close(gp_regression.predict(state, Z)[1], np.diag(covariance))
    close(gp_regression.predict_joint(state, Z)[1], covariance)


@pytest.mark.reference
def test_the_stored_likelihood_of_diabetes(reference):
    stored = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = stored["deterministic"]["gp_diabetes_first100_fixed_kernel_1*RBF(3)+White(0.5)"]
    X, y = load_diabetes(return_X_y=True)
    center, scale = X[:100].mean(axis=0), X[:100].std(axis=0)
    rows = (X - center) / scale
    splits = rows[:100], (y[:100] - y[:100].mean()) / y[:100].std()
    kernel = kernels.Sum((kernels.RBF(3.0), kernels.White(0.5)))
    close(marginal_likelihood.log_prob(kernel, *splits), wanted["lml"], rtol=1e-9)
    state = gp_regression.fit(kernel, *splits)
    close(gp_regression.predict(state, rows[100:105])[0], wanted["pred5"], rtol=1e-7)


@few
@given(seeds)
def test_rows_that_fill_up_do_not_count(seed):
    X, y = data(seed, n=8)
    kernel = kernels.Sum((kernels.Matern52(ARD), kernels.White(0.1)))
    seen = np.arange(8) < 5
    y_full = np.where(seen, y, np.nan)
    part, whole = (
        gp_regression.fit(kernel, X[:5], y[:5]),
        gp_regression.fit(kernel, X, y_full, is_observed=seen),
    )
    for a, b in zip(gp_regression.predict(part, X), gp_regression.predict(whole, X), strict=True):
        close(a, b)
    close(
        marginal_likelihood.log_prob(kernel, X[:5], y[:5]),
        marginal_likelihood.log_prob(kernel, X, y_full, is_observed=seen),
    )


@few
@given(seeds)
def test_the_likelihood_is_the_chain_of_predictions(seed):
    X, y = data(seed, n=5)
    kernel = kernels.Matern32(ARD)
    total = 0.0
    for i in range(5):
        seen = np.arange(5) < i
        state = gp_regression.fit(kernel, X, y, noise=0.3, is_observed=seen)
        mean, variance = gp_regression.predict(state, X[i : i + 1])
        variance = variance[0] + 0.3
        total += -((y[i] - mean[0]) ** 2) / variance / 2 - jnp.log(2 * jnp.pi * variance) / 2
    close(marginal_likelihood.log_prob(kernel, X, y, noise=0.3), total)


@pytest.mark.parametrize("kind", [kernels.Matern12, kernels.Matern32, kernels.Matern52])
def test_derivatives_are_finite_and_right_where_points_meet(kind):
    X = jnp.array([[0.3], [0.3], [1.0]])
    slope = jax.grad(lambda X: kernels.gram(kind(0.7), X).sum())(X)
    assert jnp.isfinite(slope).all()
    curve = jax.hessian(lambda t: kernels.cross(kind(1.0), t[None, None], jnp.zeros((1, 1)))[0, 0])
    wanted = {kernels.Matern32: -3.0, kernels.Matern52: -5 / 3}  # the derivatives of the series
    if kind in wanted:
        close(curve(jnp.array(0.0)), wanted[kind])


def test_a_kernel_of_ones_own_joins_the_algebra():
    def brownian(scale, x, z, is_same):
        return scale * jnp.minimum(x, z)[..., 0]

    X = jnp.array([[0.5], [2.0]])
    kernel = kernels.Sum((jax.tree_util.Partial(brownian, 2.0), kernels.White(0.1)))
    close(kernels.gram(kernel, X), [[1.1, 1.0], [1.0, 4.1]])


def test_a_lengthscale_without_end_leaves_a_coordinate_out():
    X, _ = data(0)
    close(
        kernels.gram(kernels.RBF(jnp.array([0.7, jnp.inf])), X),
        kernels.gram(kernels.RBF(0.7), X[:, :1]),
    )


def test_many_coordinates_are_summed_along_an_axis():
    X, _ = data(0, d=11)
    d2 = ((X[:, None] - X[None]) ** 2).sum(axis=-1)
    close(kernels.gram(kernels.RBF(2.0), X), np.exp(-d2 / 8))


def test_paths_have_the_posterior_mean_and_a_wrong_one_is_seen():
    X, y = data(4)
    state = gp_regression.fit(kernels.RBF(ARD), X, y, noise=0.1)
    Z = jnp.zeros((1, 2))
    paths = gp_regression.sample(jax.random.key(0), state, Z, num_samples=4000)
    mean, variance = gp_regression.predict(state, Z)
    assert_mean(paths.reshape(40, 100), mean[0])
    assert_mean(((paths - mean[None, :]) ** 2).reshape(40, 100), variance[0])
    with pytest.raises(AssertionError):
        assert_mean(paths.reshape(40, 100), mean[0] + jnp.sqrt(variance[0]) / 4)


def test_the_search_is_as_good_as_scikit_learns_and_says_how_each_start_ended():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(25, 2))
    y = np.sin(6 * X[:, 0]) + 0.1 * rng.normal(size=25)
    theirs = peer.RBF(np.ones(2), (1e-2, 1e2)) + peer.WhiteKernel(0.1, (1e-4, 10))
    other = GaussianProcessRegressor(theirs, alpha=0.0, n_restarts_optimizer=3, random_state=0)
    given, lower, upper = (
        kernels.Sum((kernels.RBF(length), kernels.White(noise)))
        for length, noise in ((jnp.ones(2), 0.1), (1e-2, 1e-4), (1e2, 10.0))
    )
    kernel, info = marginal_likelihood.maximize(
        jax.random.key(1), given, X, y, lower=lower, upper=upper, num_starts=4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds that are reached
        wanted = other.fit(X, y).log_marginal_likelihood_value_
    assert info.log_prob >= wanted - 1e-6
    assert info.search.status.shape == (4,)
    assert info.is_done
    assert info.status == Status.CONVERGED
    close(marginal_likelihood.log_prob(kernel, X, y), info.log_prob)


def test_what_is_not_positive_definite_is_not_repaired():
    X, y = jnp.zeros((3, 1)), jnp.ones(3)
    assert jnp.isnan(gp_regression.fit(kernels.RBF(1.0), X, y).weights).all()
    assert jnp.isnan(marginal_likelihood.log_prob(kernels.RBF(1.0), X, y))
    given = kernels.RBF(1.0)
    kernel, info = marginal_likelihood.maximize(jax.random.key(0), given, X, y, num_starts=2)
    assert info.status == Status.NOT_FINITE
    close(kernel.lengthscale, 1.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X, y: kernels.gram(kernels.RBF(jnp.ones(3)), X), "shape \\[3\\], neither"),
        (lambda X, y: kernels.gram((1.0, 2.0), X), "kernels: a kernel is tuple"),
        (lambda X, y: gp_regression.fit(kernels.RBF(1.0), X, y[:-1]), "gp_regression.fit: y is"),
        (
            lambda X, y: marginal_likelihood.maximize(
                jax.random.key(0), kernels.RBF(1.0), X, y, num_starts=0
            ),
            "num_starts is 0, not at least 1",
        ),
    ],
)
def test_what_is_wrong_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call(*data(0))
