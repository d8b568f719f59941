"""Eigenvalues by QR and by power iteration: any size and multiplicity, in both dtypes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy import linalg

from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg import francis, hessenberg, power_iteration, qr_algorithm

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
widths = pytest.mark.parametrize("width", ["float32", "float64"])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def symmetric(values, seed=0):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=2 * [len(values)]))
    return turn * np.asarray(values, float) @ turn.T


def distance(found, wanted):
    """Return how far two sets of complex numbers are apart, each to its nearest."""
    apart = np.abs(np.asarray(found)[:, None] - np.asarray(wanted)[None, :])
    return max(apart.min(axis=0).max(), apart.min(axis=1).max())


@pytest.mark.slow
@widths
@pytest.mark.parametrize(
    "values",
    [
        [-3.0],
        [2.0, 2.0],
        [1.0, 1.0, -1.0, -1.0],
        np.linspace(-1, 1, 50),
    ],
    ids=["one", "double", "two doubles", "fifty"],
)
def test_symmetric_pairs_are_those_of_lapack(values, width):
    A = jnp.asarray(symmetric(values), width)
    (found, V), info = qr_algorithm.eigh(A)
    small = 10 * float(jnp.finfo(width).eps) * max(len(values), 4)
    size = max(np.abs(values).max(), 1e-300)
    assert (info.status, bool(info.is_done)) == (Status.CONVERGED, True)
    assert info.num_steps <= 3 * len(values)
    np.testing.assert_allclose(found, jnp.linalg.eigh(A)[0], atol=small * size)
    np.testing.assert_allclose(V.T @ V, np.eye(len(values)), atol=small)
    np.testing.assert_allclose(A @ V, V * found[None, :], atol=small * size)


@pytest.mark.slow
@widths
@pytest.mark.parametrize(
    "A",
    [
        [[2.0]],
        [[0.0, -2.0], [2.0, 0.0]],
        np.eye(50, k=1) + np.eye(50, k=-49) * 0.5,
        np.random.default_rng(0).normal(size=(50, 50)),
    ],
    ids=["one", "pair", "circle", "fifty"],
)
def test_general_eigenvalues_are_those_of_lapack(A, width):
    A = jnp.asarray(A, width)
    found, info = francis.eigvals(A)
    small = 20 * float(jnp.finfo(width).eps) * max(len(A), 4) * max(np.abs(A).sum(axis=1).max(), 1)
    assert (info.status, bool(info.is_done)) == (Status.CONVERGED, True)
    assert distance(found, linalg.eigvals(np.asarray(A, float))) < small
    np.testing.assert_array_equal(found, np.sort_complex(found))
    np.testing.assert_allclose(found.imag.sum(), 0, atol=small)  # pairs are conjugate


@pytest.mark.slow
@few
@given(seeds)
def test_what_a_similarity_keeps(seed):
    A = np.random.default_rng(seed).normal(size=(6, 6))
    Q, H = hessenberg.reduce(A)
    np.testing.assert_allclose(Q @ H @ Q.T, A, atol=1e-13)
    np.testing.assert_allclose(Q.T @ Q, np.eye(6), atol=1e-13)
    np.testing.assert_array_equal(np.tril(H, -2), 0)
    values, _ = francis.eigvals(A)
    np.testing.assert_allclose(values.sum(), np.trace(A), atol=1e-11)
    np.testing.assert_allclose(values.prod(), np.linalg.det(A), rtol=1e-8)
    moved, _ = francis.eigvals(4 * A)
    np.testing.assert_array_equal(moved, 4 * values)


@pytest.mark.slow
@few
@given(seeds)
def test_both_algorithms_agree_on_a_symmetric_matrix(seed):
    A = symmetric(np.random.default_rng(seed).normal(size=6), seed)
    values, _ = francis.eigvals(A)
    np.testing.assert_allclose(values.real, qr_algorithm.eigh(A)[0].values, atol=1e-12)
    np.testing.assert_allclose(values.imag, 0, atol=1e-7)


@pytest.mark.slow
def test_a_value_has_a_slope_where_its_vector_has_none():
    A = jnp.asarray(symmetric([1.0, 1.0, 2.0]))
    A = (A + A.T) / 2
    vectors = qr_algorithm.eigh(A)[0].vectors
    slope = jax.grad(lambda A: qr_algorithm.eigh(A)[0].values[2])(A)
    np.testing.assert_allclose(slope, np.outer(vectors[:, 2], vectors[:, 2]), atol=1e-12)
    plain = jnp.diag(jnp.array([1.0, 1.0, 2.0]))
    turned = jax.jvp(lambda A: qr_algorithm.eigh(A)[0].vectors, (plain,), (A,))[1]
    assert jnp.isnan(turned[:, :2]).any(axis=0).all()
    assert jnp.isfinite(turned[:, 2]).all()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_complex_values_have_slopes(mode):
    A = np.random.default_rng(3).normal(size=(4, 4))
    assert (np.abs(linalg.eigvals(A).imag) > 0).any()
    parts = lambda A: (lambda v: (v.real, v.imag))(francis.eigvals(A)[0])  # noqa: E731
    check_grads(parts, (A,), order=1, modes=[mode], rtol=1e-5, atol=1e-5)


def test_symmetric_matrices_of_a_batch_end_each_in_its_own_time():
    spectra = [
        [0, 0, 0, 0],
        [1, 2, 3, 4],
        [-1, -1, 1, 1],
        [-5, 5, 5, 5 + 1e-9],
        np.logspace(-12, 0, 4),
    ]
    batch = jnp.stack(
        [jnp.eye(4), *(symmetric(values) for values in spectra), jnp.eye(4) * jnp.nan]
    )
    (values, V), info = jax.vmap(qr_algorithm.eigh)(batch)
    np.testing.assert_allclose(values[1:-1], spectra, atol=1e-13)
    np.testing.assert_allclose(values[0], 1, atol=0)
    np.testing.assert_allclose(batch[:-1] @ V[:-1], V[:-1] * values[:-1, None, :], atol=1e-13)
    np.testing.assert_array_equal(info.status, [Status.CONVERGED] * 6 + [Status.NOT_FINITE])
    assert jnp.isnan(V[-1]).all()


def test_general_matrices_of_a_batch_end_each_in_its_own_time():
    batch = [
        np.zeros((3, 3)),
        np.diag([1.0, 2.0, 3.0]),
        [[0.0, 0, 1], [1, 0, 0], [0, 1, 0]],  # shifts alone go in a circle here
        [[0.0, 1, 0], [-1, 0, 0], [0, 0, 5]],
        np.random.default_rng(0).normal(size=(3, 3)),
        np.full((3, 3), np.inf),
    ]
    values, info = jax.vmap(francis.eigvals)(jnp.stack([jnp.asarray(A) for A in batch]))
    for found, A in zip(values[:-1], batch[:-1], strict=True):
        assert distance(found, linalg.eigvals(A)) < 1e-13
        np.testing.assert_array_equal(found, np.sort_complex(found))
    np.testing.assert_array_equal(info.status, [Status.CONVERGED] * 5 + [Status.NOT_FINITE])
    assert jnp.isnan(values[-1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("solve", [qr_algorithm.eigh, francis.eigvals])
def test_bad_matrices_are_named(solve):
    A = symmetric([1.0, 2.0, 3.0, 4.0, 5.0])
    found, info = solve(np.where(np.eye(5), np.nan, A))
    assert (info.status, bool(info.is_done)) == (Status.NOT_FINITE, False)
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(found))
    assert solve(A, max_steps=0)[1].status == Status.OUT_OF_STEPS
    with pytest.raises(ValueError, match=r"A is float64\[2,5\], not Float\[Array, 'n n'\]"):
        solve(A[:2])


@pytest.mark.slow
def test_a_matrix_that_is_not_symmetric_is_named_and_its_symmetric_part_decomposed():
    A = jnp.array([[1.0, 2.0], [0.0, 1.0]])
    state, info = qr_algorithm.eigh(A)
    assert (info.status, info.asymmetry) == (Status.BAD_INPUT, 0.5)
    np.testing.assert_allclose(state.values, [0, 2], atol=1e-15)


@few
@given(seeds)
def test_power_iteration_finds_the_pairs_of_any_matrix_with_a_spread(seed):
    rng = np.random.default_rng(seed)
    values, V = np.array([8.0, -4.0, 2.0, 1.0]), rng.normal(size=(4, 4)) + 3 * np.eye(4)
    A = V * values @ np.linalg.inv(V)
    pairs, info = power_iteration.solve(jax.random.key(seed), A, num_pairs=4, rtol=1e-12)
    np.testing.assert_array_equal(info.status, Status.CONVERGED)
    np.testing.assert_allclose(pairs.values, values, rtol=1e-8)
    np.testing.assert_allclose(A @ pairs.vectors, pairs.vectors * pairs.values[None, :], atol=1e-8)
    assert (info.residual <= 1e-9).all()


def test_pairs_of_one_multiple_value_are_orthogonal():
    A = symmetric([3.0, 3.0, 3.0, 1.0])
    pairs, info = power_iteration.solve(jax.random.key(0), A, num_pairs=4, rtol=1e-12)
    np.testing.assert_array_equal(info.status, Status.CONVERGED)
    np.testing.assert_allclose(pairs.values, [3, 3, 3, 1], atol=1e-10)
    np.testing.assert_allclose(pairs.vectors.T @ pairs.vectors, np.eye(4), atol=1e-8)


@pytest.mark.parametrize(
    ("A", "status"),
    [
        ([[0.0, -1.0], [1.0, 0.0]], [Status.OUT_OF_STEPS, Status.OUT_OF_STEPS]),
        ([[1.0, 0.0], [0.0, -1.0]], [Status.OUT_OF_STEPS, Status.OUT_OF_STEPS]),
        ([[np.nan, 0.0], [0.0, 1.0]], [Status.NOT_FINITE, Status.NOT_FINITE]),
        ([[0.0, 0.0], [0.0, 0.0]], [Status.CONVERGED, Status.CONVERGED]),
        ([[2.0, 0.0], [0.0, 0.0]], [Status.CONVERGED, Status.CONVERGED]),
    ],
    ids=["complex pair", "equal size", "nan", "zero", "rank one"],
)
def test_power_iteration_says_when_it_did_not_converge(A, status):
    hyper = {"num_pairs": 2, "max_steps": 50}
    _, info = power_iteration.solve(jax.random.key(0), jnp.array(A), **hyper)
    np.testing.assert_array_equal(info.status, status)
    np.testing.assert_array_equal(info.is_done, info.status == Status.CONVERGED)


def test_a_step_turns_towards_the_largest_by_the_ratio_of_the_values():
    A = jnp.diag(jnp.array([4.0, 1.0]))
    state = power_iteration.init(jax.random.key(1), A)
    angles = []
    for _ in range(4):
        angles.append(abs(state.right[1] / state.right[0]))
        state, _ = power_iteration.step(state, A, rtol=1e-3)
    np.testing.assert_allclose(np.diff(np.log(angles)), -np.log(4), rtol=1e-12)


def test_pairs_are_counted():
    solve = partial(power_iteration.solve, jax.random.key(0), jnp.eye(2))
    with pytest.raises(ValueError, match=r"power_iteration\.solve: num_pairs is 3, not from 1 to"):
        solve(num_pairs=3)


@pytest.mark.parametrize("width", [np.float32, np.float64])
def test_a_small_entry_below_the_first_off_diagonal_is_not_lost(width):
    A = jnp.asarray([[1, 1, 2e-4], [1, 3, 1], [2e-4, 1, 1]], width)
    values = np.linalg.eigvalsh(np.asarray(A, np.float64))
    near = {"rtol": 0, "atol": 100 * np.finfo(width).eps}
    np.testing.assert_allclose(qr_algorithm.eigh(A)[0].values, values, **near)
    np.testing.assert_allclose(jnp.sort(francis.eigvals(A)[0].real), values, **near)


def test_units_move_no_bit_of_what_power_iteration_finds():
    A = symmetric([5.0, 3.0, 1.0])
    key = jax.random.key(0)
    pairs, info = power_iteration.solve(key, A, num_pairs=3)
    assert (info.status == Status.CONVERGED).all()
    for unit in (2.0**-600, 2.0**600):
        same, _ = power_iteration.solve(key, unit * A, num_pairs=3)
        np.testing.assert_array_equal(same.vectors, pairs.vectors)
        np.testing.assert_array_equal(same.values, unit * pairs.values)


def test_a_value_that_is_repeated_but_for_rounding_has_no_slope_of_its_own():
    eps = np.finfo(np.float64).eps
    A = jnp.diag(jnp.array([2.0, 2.0 + eps, 5.0]))
    slopes = jax.jacfwd(lambda A: qr_algorithm.eigh(A)[0].vectors)(A)
    assert np.isnan(slopes[:, :2]).any()
    slopes = jax.jacfwd(lambda A: francis.eigvals(A)[0])(A)
    assert np.isnan(slopes).any()
