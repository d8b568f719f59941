"""Generalized linear models: an honest end on awkward data, and what holds for every model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from mastery_jax.core.status import Status
from mastery_jax.probability import glm

few = settings(max_examples=6, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
families = st.sampled_from(["normal", "logit", "probit", "poisson"])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def problem(seed, family):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 3)) * [1.0, 50.0, 0.01] + [0.0, 900.0, 5.0]
    eta = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=3) / 3
    if family == "normal":
        return X, 7e3 + 400 * (eta + rng.normal(size=60))
    return X, rng.poisson(np.exp(eta)) * 1.0 if family == "poisson" else 1.0 * (
        rng.random(60) < 0.5
    )


@few
@given(seeds, families)
def test_the_score_vanishes(seed, family):
    X, y = problem(seed, family)
    state, info = glm.fit(X, y, family=family)
    assert info.status == Status.CONVERGED

    def log_likelihood(state):
        return glm.log_prob(state, X, y, family=family).sum()

    slope = jax.grad(log_likelihood)(state)
    sizes = jnp.sqrt(jnp.diagonal(info.cov))
    moved = jnp.abs(jnp.append(slope.bias, slope.coefs)) * sizes
    assert moved.max() < 1e-6, "one standard error would change the likelihood by nothing"


@pytest.mark.slow
@few
@given(seeds, families)
def test_units_of_columns_change_nothing_but_their_coefficients(seed, family):
    X, y = problem(seed, family)
    unit, shift = np.array([1e-3, 20.0, 1e4]), np.array([3.0, -7.0, 1.0])
    plain, _ = glm.fit(X, y, family=family, penalty=0.1)
    other, _ = glm.fit(X * unit + shift, y, family=family, penalty=0.1)
    np.testing.assert_allclose(other.coefs * unit, plain.coefs, rtol=1e-6, atol=1e-12)


@pytest.mark.slow
@few
@given(seeds, families)
def test_a_weight_is_a_count_and_no_weight_is_no_row(seed, family):
    X, y = problem(seed, family)
    counts = np.random.default_rng(seed).integers(0, 3, 60)
    told, info = glm.fit(X, y, family=family, weights=1.0 * counts, penalty=0.01)
    rows = np.repeat(np.arange(60), counts)
    copied, expected = glm.fit(X[rows], y[rows], family=family, penalty=0.01)
    np.testing.assert_allclose(told.coefs, copied.coefs, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(info.cov, expected.cov, rtol=1e-6, atol=1e-15)


def test_the_optima_of_scikit_learn():
    X, y = problem(0, "logit")
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    found, _ = glm.fit(Z, y, family="logit", penalty=0.2)
    peer = LogisticRegression(C=1 / (0.2 * 60), tol=1e-10).fit(Z, y)
    np.testing.assert_allclose(found.coefs, peer.coef_[0], atol=1e-5)
    X, y = problem(0, "poisson")
    found, _ = glm.fit(Z, y, family="poisson", penalty=0.2)
    peer = PoissonRegressor(alpha=0.2, tol=1e-10, solver="newton-cholesky").fit(Z, y)
    np.testing.assert_allclose(found.coefs, peer.coef_, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("width", ["float32", "float64"])
@pytest.mark.parametrize("family", ["logit", "probit"])
def test_separation_is_said(family, width):
    x = np.linspace(-1, 1, 50)[:, None].astype(width)
    for y in (x[:, 0] > 0.1, x[:, 0] > -9):  # a border between the classes; one class alone
        _, info = glm.fit(x, y.astype(width), family=family)
        assert (info.status, bool(info.is_separated)) == (Status.DIVERGED, True)
    almost = (x[:, 0] > 0.1) ^ (np.arange(50) == 20)
    _, info = glm.fit(x, almost.astype(width), family=family)
    assert (info.status, bool(info.is_separated)) == (Status.CONVERGED, False)
    _, info = glm.fit(x, (x[:, 0] > 0.1).astype(width), family=family, penalty=1e-2)
    assert info.status == Status.CONVERGED, "a penalty gives it an end"


def test_quasi_separation_and_groups_without_a_count():
    group = np.repeat([0.0, 1.0], 30)
    y = np.where(group == 1, 1.0, np.arange(60) % 2)
    _, info = glm.fit(group[:, None], y, family="logit")
    assert info.status == Status.DIVERGED
    _, info = glm.fit(group[:, None], (1 - group) * (np.arange(60) % 3), family="poisson")
    assert info.status == Status.DIVERGED


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_columns_without_information_are_said_and_do_no_harm(width):
    X, y = problem(1, "logit")
    X, y = X.astype(width), y.astype(width)
    plain, _ = glm.fit(X, y, family="logit")
    for extra in (np.full(60, 3.7), X[:, 1] * 2 + 1, X[:, 0] + X[:, 1]):
        wide = np.column_stack([X, extra]).astype(width)
        state, info = glm.fit(wide, y, family="logit")
        assert info.status == Status.SINGULAR
        assert np.isnan(info.cov).all()
        means = glm.predict(state, wide, family="logit")
        np.testing.assert_allclose(means, glm.predict(plain, X, family="logit"), atol=2e-3)
    # A column that is constant among the rows with weight alone.
    flag = np.arange(60) < 6
    wide = np.column_stack([X, flag]).astype(width)
    _, info = glm.fit(wide, y, family="logit", weights=(~flag).astype(width))
    assert info.status == Status.SINGULAR


def test_powers_of_a_raw_column_survive_single_precision():
    rng = np.random.default_rng(0)
    age = rng.integers(17, 56, 4000).astype(float)
    X = np.stack([age, age**2, age**3], axis=1)
    y = 1.0 * (rng.random(4000) < 1 / (1 + np.exp(0.1 * (age - 30))))
    exact, _ = glm.fit(X, y, family="logit")
    single, info = glm.fit(X.astype("float32"), y.astype("float32"), family="logit")
    assert info.status == Status.CONVERGED
    means = glm.predict(single, X.astype("float32"), family="logit")
    np.testing.assert_allclose(means, glm.predict(exact, X, family="logit"), atol=1e-4)


def test_bad_input_is_said_and_gives_no_number():
    X, y = problem(0, "logit")
    for options in (
        {"y": y + 1, "family": "logit"},
        {"y": y - 1, "family": "poisson"},
        {"y": y, "family": "logit", "weights": np.zeros(60)},
        {"y": y, "family": "normal", "weights": -np.ones(60)},
    ):
        state, info = glm.fit(X, **options)
        assert info.status == Status.BAD_INPUT
        assert np.isnan(state.coefs).all()
        assert np.isnan(state.bias)
    _, info = glm.fit(np.where(X > 950, np.nan, X), y, family="logit")
    assert info.status == Status.NOT_FINITE
    _, info = glm.fit(X, y, family="logit", max_steps=1)
    assert info.status == Status.OUT_OF_STEPS
    with pytest.raises(ValueError, match=r"glm.fit: X has no rows"):
        glm.fit(X[:0], y[:0], family="logit")


def test_large_counts_end():
    X, _ = problem(0, "normal")
    y = np.round(np.exp(12 + 2 * X[:, 0]))
    for width in ("float32", "float64"):
        state, info = glm.fit(X.astype(width), y.astype(width), family="poisson")
        assert info.status == Status.CONVERGED, width
        np.testing.assert_allclose(state.coefs[0], 2, rtol=1e-4)


def test_the_sandwich_knows_a_wrong_variance():
    """Overdispersed counts: the robust error is that of repeated samples, the other is not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 200, 1))
    y = rng.poisson(np.exp(0.3 * x[..., 0]) * rng.gamma(0.5, 2.0, (400, 200))).astype(float)
    state, info = jax.vmap(lambda X, y: glm.fit(X, y, family="poisson"))(x, y)
    spread = float(state.coefs[:, 0].std())
    plain, robust = (jnp.sqrt(cov[:, 1, 1]).mean() for cov in (info.cov, info.robust_cov))
    assert abs(robust / spread - 1) < 0.15
    assert plain / spread < 0.7
