"""Ridge regression: published numbers, limits, and what leaves it unmoved."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes

from mastery_jax.learning.linear import ridge

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(30, 4), (6, 9)])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def problem(seed, shape):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape) * np.exp(rng.normal(size=shape[1])) + rng.normal(size=shape[1])
    return X, rng.normal(size=shape[0])


def close(a, b, rtol=1e-9):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-10), a, b)


@pytest.mark.reference
def test_the_published_coefficients_of_diabetes(reference):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"]["ridge1_diabetes"]
    X, y = load_diabetes(return_X_y=True)
    state = ridge.fit(X, y, l2=1.0 / len(X))
    np.testing.assert_allclose(state.weights, wanted["coef"], rtol=1e-6)
    np.testing.assert_allclose(state.bias, wanted["intercept"], rtol=1e-6)
    residual = y - ridge.predict(state, X)
    r2 = 1 - (residual**2).mean() / y.var()
    np.testing.assert_allclose(r2, wanted["r2"], rtol=1e-6)


@few
@given(seeds, shapes)
def test_the_gradient_vanishes(seed, shape):
    X, y = problem(seed, shape)

    def objective(state):
        return ((y - ridge.predict(state, X)) ** 2).mean() + 0.3 * (state.weights**2).sum()

    slope = jax.grad(objective)(ridge.fit(X, y, l2=0.3))
    close(slope, jax.tree.map(jnp.zeros_like, slope))


@few
@given(seeds, shapes)
def test_what_leaves_it_unmoved_and_what_moves_it_straight(seed, shape):
    X, y = problem(seed, shape)
    state = ridge.fit(X, y, l2=0.1)
    shifted = ridge.fit(X + 5.0, y, l2=0.1)
    close(shifted.weights, state.weights)
    close(ridge.predict(shifted, X + 5.0), ridge.predict(state, X))
    close(ridge.fit(X, 2 * y + 3, l2=0.1), ridge.State(2 * state.weights, 2 * state.bias + 3))
    close(ridge.fit(np.vstack([X, X]), np.append(y, y), l2=0.1), state)  # the penalty is a mean


@few
@given(seeds, shapes)
def test_the_penalty_shrinks_the_weights_to_nothing(seed, shape):
    X, y = problem(seed, shape)
    path = jax.vmap(lambda l2: ridge.fit(X, y, l2=l2))(jnp.logspace(-3, 9, 7))
    lengths = jnp.linalg.norm(path.weights, axis=1)
    assert (jnp.diff(lengths) < 0).all()
    np.testing.assert_allclose(path.weights[-1], 0, atol=1e-6)
    np.testing.assert_allclose(path.bias[-1], y.mean(), rtol=1e-6)
    close(jax.tree.map(lambda leaf: leaf[2], path), ridge.fit(X, y, l2=10.0), rtol=1e-8)


def test_without_a_penalty_it_is_least_squares():
    X, y = problem(1, (30, 4))
    wanted, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(30)]), y)
    close(ridge.fit(X, y, l2=0), ridge.State(wanted[:-1], wanted[-1]))


def test_a_matrix_that_is_not_positive_definite_says_so():
    X, y = problem(1, (30, 4))
    assert jnp.isnan(ridge.fit(X, y, l2=-1e3).weights).all()


@pytest.mark.parametrize("shape", [(30, 4), (6, 9)])
def test_a_penalty_below_zero_has_no_answer(shape):
    X, y = problem(1, shape)
    assert jnp.isnan(ridge.fit(X, y, l2=-1e-3).weights).all()


def test_rows_must_agree():
    X, y = problem(1, (30, 4))
    with pytest.raises(ValueError, match=r"ridge\.fit: y is float64\[29\].*X: float64\[30,4\]"):
        ridge.fit(X, y[:29])
