"""Products, solutions and decompositions: what holds for every matrix, and how failure is said."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg import matrices, scale, vectors

few = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def system(seed, n=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n)), rng.normal(size=n)


@few
@given(seeds)
def test_units_are_no_reason_to_call_a_matrix_singular(seed):
    A, b = system(seed)
    rows, columns = 2.0 ** np.random.default_rng(seed).integers(-40, 40, size=(2, 5))
    x, info = matrices.solve(A, b)
    moved, info_moved = matrices.solve(A * rows[:, None], b * rows)
    np.testing.assert_array_equal(moved, x)
    assert info_moved.reciprocal_condition == info.reciprocal_condition
    moved, info_moved = matrices.solve(A * rows[:, None] * columns[None, :], b * rows)
    np.testing.assert_allclose(moved * columns, x, rtol=1e-9)
    assert info_moved.reciprocal_condition > info.reciprocal_condition / 100


@few
@given(seeds, st.integers(0, 14))
def test_a_solution_is_backward_stable_and_its_error_is_bounded_by_the_condition(seed, decades):
    rng = np.random.default_rng(seed)
    (left, _), (right, _) = (np.linalg.qr(rng.normal(size=(5, 5))) for _ in "ab")
    A, wanted = left * np.logspace(0, -decades, 5) @ right, rng.normal(size=5)
    x, info = matrices.solve(A, A @ wanted)
    eps = np.finfo(float).eps
    assert info.status == Status.CONVERGED
    assert info.backward_error < 10 * eps
    error = np.abs(x - wanted).max() / np.abs(wanted).max()
    assert error < 100 * eps / info.reciprocal_condition


@pytest.mark.parametrize("n", [1, 5, pytest.param(50, marks=pytest.mark.slow)])
def test_a_matrix_without_an_inverse_is_named_and_gives_no_number(n):
    A, b = system(n, n)
    A[-1] = 0 if n == 1 else A[:-1].sum(axis=0)  # dependent up to rounding: no pivot is exactly 0
    for answer, info in (matrices.solve(A, b), matrices.inverse(A)):
        assert info.status == Status.SINGULAR
        assert info.reciprocal_condition < np.finfo(float).eps
        assert np.isnan(answer).all()


@pytest.mark.slow
def test_the_hilbert_matrix_is_solved_up_to_where_its_digits_end():
    seen = {}
    for n in (4, 8, 16):
        _, info = matrices.inverse(linalg.hilbert(n))
        seen[n] = Status(int(info.status)).name
    assert seen == {4: "CONVERGED", 8: "CONVERGED", 16: "SINGULAR"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_said(value):
    A, b = system(0)
    for spoiled in ((np.where(np.eye(5), value, A), b), (A, np.full(5, value))):
        x, info = matrices.solve(*spoiled)
        assert info.status == Status.NOT_FINITE
        assert np.isnan(x).all()


def test_several_right_hand_sides_are_columns():
    A, _ = system(0)
    B = np.random.default_rng(1).normal(size=(5, 3))
    columns = [matrices.solve(A, b)[0] for b in B.T]
    np.testing.assert_allclose(matrices.solve(A, B)[0].T, columns, rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda A: matrices.solve(A, A[:, 0]), "matrices.solve: A is float64\\[2,3\\]"),
        (matrices.inverse, "matrices.inverse: A is float64\\[2,3\\], not Float\\[Array, 'n n'\\]"),
        (lambda A: matrices.multiply(A, A), "matrices.multiply: B is float64\\[2,3\\]"),
        (lambda A: vectors.norm(A[0], order=3), "vectors.norm: order is 3.0, not 1, 2 or math.inf"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(jnp.ones((2, 3)))


@few
@given(seeds, st.just((3, 4)))
def test_singular_values_rebuild_a_matrix(seed, shape):
    A = np.random.default_rng(seed).normal(size=shape)
    U, S, Vt = matrices.svd(A)
    k = min(shape)
    np.testing.assert_allclose(U * S[None, :] @ Vt, A, atol=1e-13)
    np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-13)
    np.testing.assert_allclose(Vt @ Vt.T, np.eye(k), atol=1e-13)
    assert (jnp.diff(S) <= 0).all()
    assert (U[jnp.abs(U).argmax(axis=0), jnp.arange(k)] > 0).all()


def test_lengths_neither_overflow_nor_underflow():
    for size in (1e200, 1e-200):
        x = size * jnp.array([3.0, 4.0])
        np.testing.assert_allclose(vectors.norm(x), 5 * size, rtol=1e-15)
        np.testing.assert_allclose(vectors.cosine_similarity(x, x[::-1]), 0.96, rtol=1e-15)


def test_the_zero_vector_has_a_length_and_a_slope_but_no_direction():
    zero, one = jnp.zeros(3), jnp.ones(3)
    assert jnp.isnan(vectors.cosine_similarity(zero, one))
    for order in (1, 2, math.inf):
        assert vectors.norm(zero, order=order) == 0
        np.testing.assert_array_equal(jax.grad(lambda x: vectors.norm(x, order=2))(zero), 0)


def test_a_power_of_two_is_exact_at_both_ends_of_the_dtype():
    with jax.enable_x64(False):
        x = jnp.array([1.0, 1.9, 3e38, 1.2e-38, 0.0, jnp.inf, jnp.nan])
        powers = scale.power_of_two(x)
    np.testing.assert_array_equal(powers, np.array([1, 1, 2.0**127, 2.0**-126, 1, 1, 1]))
