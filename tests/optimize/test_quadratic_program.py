"""Quadratic programs: the conditions of the minimum hold, and what has no answer is proved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from sklearn.datasets import load_breast_cancer
from sklearn.svm import SVC

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import quadratic_program

few = settings(max_examples=8, deadline=None, derandomize=True)
INF = np.inf
N, M = 4, 6


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def problem(seed):
    """Return a program that has a solution: rows are equalities, boxes, and one-sided bounds."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(N, N - 1))  # P is singular
    A = np.vstack([np.eye(N), rng.normal(size=(M - N, N))])
    inside = A @ rng.normal(size=N)
    lower = inside - rng.exponential(size=M)
    upper = inside + rng.exponential(size=M)
    lower[-1] = upper[-1] = inside[-1]
    lower[-2] = -INF
    return half @ half.T, rng.normal(size=N), A, lower, upper


@few
@given(st.integers(0, 2**32 - 1))
def test_the_conditions_of_the_minimum_hold(seed):
    P, q, A, lower, upper = problem(seed)
    (x, y), info = quadratic_program.solve(P, q, A, lower, upper)
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(P @ x + q + A.T @ y, 0, atol=1e-9)
    reached = A @ x
    assert (reached >= lower - 1e-9).all()
    assert (reached <= upper + 1e-9).all()
    # A multiplier is 0 unless its bound is met, and has the sign of that bound.
    assert (np.abs(y[y > 1e-9] * (upper - reached)[y > 1e-9]) < 1e-7).all()
    assert (np.abs(y[y < -1e-9] * (lower - reached)[y < -1e-9]) < 1e-7).all()


@few
@given(st.integers(0, 2**32 - 1))
def test_scipy_finds_no_lower_point(seed):
    P, q, A, lower, upper = problem(seed)
    _, info = quadratic_program.solve(P, q, A, lower, upper)
    peer = optimize.minimize(
        lambda x: x @ P @ x / 2 + q @ x,
        np.zeros(N),
        jac=lambda x: P @ x + q,
        method="trust-constr",
        constraints=optimize.LinearConstraint(A, lower, upper),
        options={"gtol": 1e-8, "maxiter": 300},
    )
    assert float(info.objective) <= peer.fun + 1e-6 * (1 + abs(peer.fun))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, Status.CONVERGED),
        ({"upper": (-3.0, INF)}, Status.BAD_INPUT),  # below the lower bounds of −1
        ({"A": ((1.0, 0.0), (1.0, 0.0)), "lower": (1.0, -INF), "upper": (INF, 0.0)}, 7),
        ({"P": ((1.0, 0.0), (0.0, 0.0)), "q": (0.0, 1.0), "lower": (-1.0, -INF)}, 8),
        ({"P": ((1.0, 0.0), (0.0, -1.0))}, Status.BAD_INPUT),
        ({"q": (np.nan, 0.0)}, Status.NOT_FINITE),
    ],
)
def test_how_a_search_ends(change, status):
    given_ = {
        "P": ((2.0, 0.0), (0.0, 1.0)),
        "q": (1.0, 1.0),
        "A": ((1.0, 0.0), (0.0, 1.0)),
        "lower": (-1.0, -1.0),
        "upper": (INF, INF),
    } | change
    (_, _), info = quadratic_program.solve(*(jnp.asarray(given_[k]) for k in given_))
    assert int(info.status) == status
    if status == Status.INFEASIBLE:
        A, v = np.asarray(given_["A"]), np.asarray(info.certificate)
        np.testing.assert_allclose(A.T @ v, 0, atol=1e-6)
        lower, upper = np.asarray(given_["lower"]), np.asarray(given_["upper"])
        up, down = v > 1e-9, v < -1e-9
        assert (upper[up] * v[up]).sum() + (lower[down] * v[down]).sum() < 0
    if status == Status.UNBOUNDED:
        ray = np.asarray(info.ray)
        np.testing.assert_allclose(np.asarray(given_["P"]) @ ray, 0, atol=1e-6)
        assert np.asarray(given_["q"]) @ ray < 0


def test_many_at_once_are_each_by_itself():
    given_ = [np.stack(leaf) for leaf in zip(*(problem(seed) for seed in range(5)), strict=True)]
    many, _ = jax.vmap(quadratic_program.solve)(*given_)
    for i in range(5):
        one, _ = quadratic_program.solve(*(leaf[i] for leaf in given_))
        np.testing.assert_allclose(many.x[i], one.x, atol=1e-8)


def test_the_solution_moves_with_the_data():
    P, q, A, lower, upper = problem(3)

    def x_of(q):
        return quadratic_program.solve(P, q, A, lower, upper)[0].x

    step = 1e-5
    for mode in (jax.jacfwd, jax.jacrev):
        slope = np.asarray(mode(x_of)(jnp.asarray(q)))
        for i, unit in enumerate(np.eye(N)):
            wanted = (x_of(q + step * unit) - x_of(q - step * unit)) / (2 * step)
            np.testing.assert_allclose(slope[:, i], wanted, atol=1e-5)


@pytest.mark.slow
def test_the_dual_of_a_support_vector_machine():
    """The program that SVMs need: a box and one equality, 200 variables."""
    X, labels = load_breast_cancer(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0))[:200]
    sign = 2.0 * labels[:200] - 1
    distance = ((X[:, None] - X[None]) ** 2).sum(axis=-1)
    kernel = np.exp(-distance / X.shape[1])
    P = sign[:, None] * sign[None, :] * kernel
    A = np.vstack([np.eye(200), sign])
    lower, upper = np.zeros(201), np.append(np.ones(200), 0)
    (alpha, _), info = quadratic_program.solve(P, -np.ones(200), A, lower, upper, max_steps=20_000)
    assert int(info.status) == Status.CONVERGED
    peer = SVC(C=1.0, gamma=1 / X.shape[1], tol=1e-8).fit(X, labels[:200])
    dual = np.zeros(200)
    dual[peer.support_] = np.abs(peer.dual_coef_[0])
    np.testing.assert_allclose(info.objective, dual @ P @ dual / 2 - dual.sum(), rtol=1e-8)
    np.testing.assert_allclose(alpha, dual, atol=1e-4)


def test_a_linear_program_is_convex_and_a_slightly_concave_one_is_not():
    box = (jnp.eye(2), -jnp.ones(2), jnp.ones(2))
    (x, _), info = quadratic_program.solve(jnp.zeros((2, 2)), jnp.array([1.0, -1.0]), *box)
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(x, [-1, 1], atol=1e-9)
    _, info = quadratic_program.solve(jnp.diag(jnp.array([1.0, -1e-4])), jnp.ones(2), *box)
    assert int(info.status) == Status.BAD_INPUT


def test_units_make_no_program_infeasible_or_unbounded():
    free = (jnp.zeros((1, 1)), jnp.array([-INF]), jnp.array([INF]))
    (x, _), info = quadratic_program.solve(jnp.array([[1e-6]]), jnp.array([-1.0]), *free)
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(x, [1e6], rtol=1e-9)
    row = (jnp.array([[1e-6]]), jnp.array([1.0]), jnp.array([INF]))
    (x, y), info = quadratic_program.solve(jnp.eye(1), jnp.zeros(1), *row)
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(x, [1e6], rtol=1e-9)
    np.testing.assert_allclose(y, [-1e12], rtol=1e-9)


def test_a_program_without_rows_is_a_linear_system():
    P, q = jnp.array([[2.0, 1.0], [1.0, 3.0]]), jnp.array([1.0, -2.0])
    none = (jnp.zeros((0, 2)), jnp.zeros(0), jnp.zeros(0))
    (x, y), info = quadratic_program.solve(P, q, *none)
    assert int(info.status) == Status.CONVERGED
    assert y.shape == (0,)
    np.testing.assert_allclose(P @ x, -q, atol=1e-9)
