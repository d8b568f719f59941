"""Unrolled factors of tiny matrices: exact, honest about failure, and without LAPACK."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from mastery_jax.core import smallmat

few = settings(deadline=None, max_examples=25, derandomize=True)


def definite(seed, n, decades):
    """Return a positive definite matrix of units 1, its eigenvalues over ``decades``."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(n, n)))
    return (turn * np.logspace(-decades, 0, n)) @ turn.T, rng.normal(size=(n, 2))


@jax.jit
def everything(matrix, rhs):
    factor = smallmat.cholesky(matrix)
    forward = smallmat.solve_triangular(factor, rhs)
    return {
        "cholesky": factor,
        "solve": smallmat.solve(matrix, rhs),
        "substitutions": smallmat.solve_triangular(factor, forward, transpose=True),
        "log_det": smallmat.log_det(matrix),
    }


def in_double(matrix, rhs):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, everything(jnp.array(matrix), jnp.array(rhs)))


def by_scipy(matrix, rhs):
    solved = linalg.solve(matrix, rhs, assume_a="pos")
    return {
        "cholesky": linalg.cholesky(matrix, lower=True),
        "solve": solved,
        "substitutions": solved,
        "log_det": np.log(linalg.eigvalsh(matrix)).sum(),
    }


@pytest.mark.parametrize("n", range(1, smallmat.MAX_SIZE + 1))
def test_every_size_agrees_with_scipy(n):
    matrix, rhs = definite(n, n, decades=2)
    got = in_double(matrix, rhs)
    for name, expected in by_scipy(matrix, rhs).items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-11, atol=1e-12, err_msg=name)


@few
@given(seed=st.integers(0, 2**31), decades=st.sampled_from([0, 4, 10]))
def test_solutions_are_backward_stable_however_ill_the_matrix(seed, decades):
    matrix, rhs = definite(seed, 5, decades)
    got = in_double(matrix, rhs)
    factor = got["cholesky"]
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-14)
    assert (factor == np.tril(factor)).all()
    for name in ("solve", "substitutions"):
        size = np.abs(got[name]).max() * np.linalg.norm(matrix)
        assert np.abs(matrix @ got[name] - rhs).max() < 1e-14 * size, name


@pytest.mark.parametrize("spoil", [(0, 0), (2, 2), (4, 4)])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_matrix_that_is_not_positive_definite_gives_nan_throughout(spoil, value):
    matrix, rhs = np.eye(5), np.ones((5, 2))
    matrix[spoil] = value
    got = everything(jnp.array(matrix, jnp.float32), jnp.array(rhs, jnp.float32))
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(got))


def test_only_the_lower_triangle_is_read():
    matrix, rhs = definite(0, 5, decades=1)
    spoiled = np.where(np.triu(np.ones((5, 5)), 1), np.nan, matrix)
    arrays = [jnp.array(a, jnp.float32) for a in (matrix, spoiled, rhs)]
    whole, lower = everything(arrays[0], arrays[2]), everything(arrays[1], arrays[2])
    jax.tree.map(np.testing.assert_array_equal, whole, lower)


def test_the_program_calls_no_library():
    arrays = [jnp.array(a, jnp.float32) for a in definite(0, 5, decades=1)]
    assert "custom-call" not in everything.lower(*arrays).compile().as_text()
    by_lapack = jax.jit(jnp.linalg.cholesky).lower(arrays[0]).compile().as_text()
    assert "custom-call" in by_lapack


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("cholesky", ()),
        ("log_det", ()),
        ("product", (np.ones(9, np.float32),)),
        ("solve", (np.ones(9, np.float32),)),
        ("solve_triangular", (np.ones(9, np.float32),)),
    ],
)
def test_a_larger_matrix_is_refused(name, args):
    with pytest.raises(
        ValueError, match=f"smallmat.{name}: the matrix is 9 x 9, not at most 8 x 8"
    ):
        getattr(smallmat, name)(jnp.eye(9), *args)
