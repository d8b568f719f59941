"""Components and maps in any unit and place, of rows that lack rank, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.neighbors import NearestNeighbors

from mastery_jax.core.status import Status
from mastery_jax.learning.components import (
    affinities,
    als,
    implicit_als,
    kernel_pca,
    pca,
    randomized_svd,
    truncated_svd,
    tsne,
)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def clusters():
    """Return two clusters of 50 rows, 1e4 apart."""
    X = np.random.default_rng(0).normal(size=(100, 5))
    X[50:] += 1e4
    return np.float32(X)


@partial(jax.jit, static_argnames=("is_same",))
def nearest(X, Y, *, is_same=True):
    return affinities.nearest(X, Y, 5, is_same=is_same)


def of_rank(rank, shape, dtype):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))).astype(dtype)


@pytest.mark.parametrize("solver", ["svd", "eigh"])
def test_a_far_mean_costs_no_more_than_the_rows_lost(solver):
    rng = np.random.default_rng(0)
    X = np.float32(1e6 + rng.normal(size=(10_000, 3)) * [1.0, 2.0, 3.0])
    exact = PCA(3, svd_solver="full").fit(np.double(X))
    state = pca.fit(X, num_components=3, solver=solver)
    np.testing.assert_allclose(state.explained_variance, exact.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(state.mean, exact.mean_, atol=0.07)  # two floats are .06 apart


@pytest.mark.parametrize("unit", [1e-20, 1e18])
@pytest.mark.parametrize("solver", ["svd", "eigh"])
def test_components_in_any_unit(solver, unit):
    X = np.float32(np.random.default_rng(0).normal(size=(20, 4)) * [1.0, 2.0, 3.0, 4.0] + 2)
    scale = np.float32(2.0 ** np.round(np.log2(unit)))  # bit for bit the same rows
    given = {"num_components": 3, "solver": solver}
    for whiten in (False, True):
        one, two = (pca.fit(rows, whiten=whiten, **given) for rows in (X, X * scale))
        np.testing.assert_array_equal(two.explained_variance_ratio, one.explained_variance_ratio)
        np.testing.assert_array_equal(two.components, one.components)
        for name in ("mean", "singular_values"):
            np.testing.assert_array_equal(getattr(two, name), getattr(one, name) * scale)
        wanted = pca.transform(one, X) * (1 if whiten else scale)
        np.testing.assert_allclose(pca.transform(two, X * scale), wanted, rtol=1e-5)
    one, two = (truncated_svd.fit(rows, **given) for rows in (X, X * scale))
    np.testing.assert_array_equal(two.singular_values, one.singular_values * scale)
    key = jax.random.key(0)
    one, two = (randomized_svd.fit(key, rows, num_components=3) for rows in (X, X * scale))
    np.testing.assert_array_equal(two.singular_values, one.singular_values * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["svd", "eigh"])
@pytest.mark.parametrize("shape", [(40, 6), (5, 20), (10, 50), (3000, 6)])
def test_what_does_not_vary_is_whitened_to_zero(shape, solver, dtype):
    X = of_rank(2, shape, dtype)
    k = min(shape)
    state = pca.fit(X, num_components=k, whiten=True, solver=solver)
    np.testing.assert_array_equal(state.explained_variance[2:], 0)
    np.testing.assert_array_equal(state.scales[2:], 0)
    # A row off the plane of the others has coordinates in the plane alone.
    off = X[:1] + np.asarray(1e-3, dtype)
    Z = np.asarray(pca.transform(state, np.concatenate([X, off])))
    np.testing.assert_array_equal(Z[:, 2:], 0)
    theirs = PCA(2, whiten=True, svd_solver="full").fit(np.double(X))
    atol = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(np.abs(Z[:-1, :2]), np.abs(theirs.transform(X)), atol=atol)
    is_kept = 2 if solver == "eigh" and shape[0] < shape[1] else k
    rows = np.asarray(state.components)
    np.testing.assert_allclose(rows @ rows.T, np.diag(np.arange(k) < is_kept), atol=atol)


def test_small_values_that_count_are_kept_among_many_rows():
    X = np.random.default_rng(0).normal(size=(20_000, 2)) * [1.0, 3e-4]
    state = pca.fit(np.float32(X), num_components=2, whiten=True)
    np.testing.assert_allclose(state.scales, X.std(axis=0), rtol=1e-2)


def test_neighbors_within_far_clusters_are_the_true_ones():
    X = clusters()
    Z = jnp.asarray(X - X.mean(axis=0))
    wanted, rows = NearestNeighbors(n_neighbors=6).fit(np.double(Z)).kneighbors(np.double(Z))
    near = nearest(Z, Z)
    np.testing.assert_array_equal(near.rows.T, rows[:, 1:])
    np.testing.assert_allclose(near.squares.T, wanted[:, 1:] ** 2, rtol=1e-5)
    near = nearest(Z[:7], Z, is_same=False)
    np.testing.assert_array_equal(near.rows.T[:, 0], np.arange(7))
    # Rows of one place are neighbors at distance 0, and none is its own.
    heap = jnp.repeat(Z[:3], 20, axis=0)
    near = nearest(heap, heap)
    np.testing.assert_array_equal(near.squares, 0)
    assert (np.asarray(near.rows) != np.arange(60)[None]).all()


def test_kernel_components_of_far_clusters():
    X = clusters()
    theirs = KernelPCA(4, kernel="rbf", gamma=0.5, eigen_solver="dense").fit(np.double(X))
    state = kernel_pca.fit(X, num_components=4, gamma=0.5)
    np.testing.assert_allclose(state.eigenvalues, theirs.eigenvalues_, rtol=1e-4)
    ours = kernel_pca.transform(state, X, kernel="rbf")
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs.transform(X)), atol=2e-3)
    far = np.float32(X[:50] + 1e6)
    state = kernel_pca.fit(far, num_components=2, kernel="linear")
    variance = PCA(2, svd_solver="full").fit(np.double(far)).explained_variance_
    np.testing.assert_allclose(state.eigenvalues / 49, variance, rtol=1e-4)


@pytest.mark.parametrize("unit", [1e-20, 1e18])
def test_a_map_in_any_unit(unit):
    scale = np.float32(2.0 ** np.round(np.log2(unit)))
    X = np.float32(np.random.default_rng(0).normal(size=(60, 4)))
    given = {"perplexity": 10.0, "num_steps": 50}
    one, two = (tsne.fit(rows, **given) for rows in (X, X * scale))
    np.testing.assert_array_equal(two[0].embedding, one[0].embedding)
    assert two[1].perplexity_error < 1e-4
    placed = (tsne.transform(s[0], r[:5]) for s, r in ((one, X), (two, X * scale)))
    np.testing.assert_array_equal(*placed)


def test_a_map_of_rows_at_one_place_is_told():
    X = np.random.default_rng(0).normal(size=(60, 4))
    X[:40] = X[0]
    given = {"perplexity": 5.0, "num_steps": 100, "record_every": 50, "rtol": 10.0}
    _, info = tsne.fit(X, **given)
    assert (info.status, info.is_done) == (Status.STALLED, False)
    assert info.perplexity_error > tsne.MOST_ERROR
    _, info = tsne.fit(X[39:], **given)
    assert (info.status, info.is_done) == (Status.CONVERGED, True)


@pytest.mark.parametrize("given", [{"learning_rate": 0.0}, {"learning_rate": np.nan},
                                   {"exaggeration": 0.0}])  # fmt: skip
def test_a_map_without_a_step_is_refused(given):
    X = np.random.default_rng(0).normal(size=(30, 4))
    state, info = tsne.fit(X, perplexity=5.0, num_steps=100, **given)
    assert (info.status, info.is_done) == (Status.BAD_INPUT, False)
    assert jnp.isnan(state.embedding).all()


def test_a_new_row_has_a_perplexity_of_one_or_more():
    X = np.random.default_rng(0).normal(size=(30, 4))
    state = tsne.State(X[:, :2], X)
    for perplexity, is_known in ((0.5, False), (16.0, False), (15.0, True)):
        Y = tsne.transform(state, X[:3], perplexity=perplexity)
        assert (jnp.isfinite(Y) == is_known).all()


@pytest.mark.parametrize(
    ("kernel", "given"),
    [
        ("rbf", {"gamma": -1.0}),
        ("rbf", {"gamma": 0.0}),
        ("poly", {"gamma": np.nan}),
        ("poly", {"degree": -1.0}),
        ("poly", {"offset": -1.0}),
    ],
)
def test_kernels_that_are_none_give_nan(kernel, given):
    X = np.random.default_rng(0).normal(size=(20, 4))
    state = kernel_pca.fit(X, num_components=2, kernel=kernel, **given)
    assert jnp.isnan(state.eigenvalues).all()
    assert jnp.isnan(kernel_pca.transform(state, X, kernel=kernel)).all()
    assert jnp.isfinite(kernel_pca.fit(X, num_components=2, kernel="linear", **given)[1]).all()


def test_a_forgotten_kernel_is_missed():
    X = np.random.default_rng(0).normal(size=(20, 4))
    state = kernel_pca.fit(X, num_components=2, kernel="linear")
    with pytest.raises(TypeError, match="kernel"):
        kernel_pca.transform(state, X)


@pytest.mark.parametrize("fit", [als.fit, implicit_als.fit])
@pytest.mark.parametrize(("rtol", "status"), [(np.nan, "BAD_INPUT"), (-1.0, "BAD_INPUT"),
                                              (0.1, "CONVERGED")])  # fmt: skip
def test_a_tolerance_that_is_none_is_refused(fit, rtol, status):
    users, items = np.indices((5, 4)).reshape(2, -1)
    sizes = {"num_users": 5, "num_items": 4, "num_factors": 1}
    state, info = fit(jax.random.key(0), users, items, 1.0 + users * items, **sizes, rtol=rtol)
    assert info.status == Status[status]
    assert jnp.isnan(state.user_factors).all() == (status == "BAD_INPUT")
