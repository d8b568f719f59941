"""Components and maps: published values, what holds for every matrix, and bad data."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from mastery_jax.core.status import Status
from mastery_jax.learning.components import (
    affinities,
    exact_repulsion,
    interpolated_repulsion,
    kernel_pca,
    pca,
    randomized_svd,
    truncated_svd,
    tsne,
)

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(20, 5), (5, 20)])
key = jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def bundled(name, *, standardize=False):
    X = getattr(datasets, f"load_{name}")().data
    return (X - X.mean(axis=0)) / X.std(axis=0) if standardize else X


def random(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) * np.exp(rng.normal(size=shape[1])) + rng.normal(size=shape[1])


@pytest.mark.reference
@pytest.mark.parametrize("solver", ["svd", "eigh"])
@pytest.mark.parametrize("name", ["iris", "wine_zscore", "digits"])
def test_published_singular_values(reference, name, solver):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"][f"pca_{name}"]
    X = bundled(name.partition("_")[0], standardize="zscore" in name)
    state = pca.fit(X, num_components=len(wanted["singular_values"]), solver=solver)
    np.testing.assert_allclose(state.singular_values, wanted["singular_values"], rtol=1e-6)
    ratio = wanted["explained_variance_ratio"]
    np.testing.assert_allclose(state.explained_variance_ratio, ratio, rtol=1e-6)


@few
@given(seeds, shapes)
def test_all_components_lose_nothing(seed, shape):
    X = random(seed, shape)
    k = min(shape)
    for solver in ("svd", "eigh"):
        state = pca.fit(X, num_components=k, solver=solver)
        back = pca.inverse_transform(state, pca.transform(state, X))
        np.testing.assert_allclose(back, X, atol=1e-6)
        np.testing.assert_allclose(state.explained_variance_ratio.sum(), 1, rtol=1e-9)
        kept = state.components[: min(k, shape[0] - 1)]  # of 5 centered rows the last is 0
        np.testing.assert_allclose(kept @ kept.T, np.eye(len(kept)), atol=1e-6)
        largest = np.abs(kept).argmax(axis=1)
        assert (np.asarray(kept)[np.arange(len(kept)), largest] > 0).all()
    white = pca.transform(pca.fit(X, num_components=3, whiten=True), X)
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=1e-8)
    svd = truncated_svd.fit(X, num_components=k)
    back = truncated_svd.inverse_transform(svd, truncated_svd.transform(svd, X))
    np.testing.assert_allclose(back, X, atol=1e-8)


@few
@given(seeds)
def test_a_weight_is_a_number_of_repeated_rows(seed):
    X, counts = random(seed, (20, 5)), np.random.default_rng(seed).integers(0, 4, size=20)
    one = pca.fit(X, num_components=3, weights=counts.astype(float), whiten=True)
    two = pca.fit(np.repeat(X, counts, axis=0), num_components=3, whiten=True)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_a_constant_feature_and_equal_rows():
    X = np.column_stack([random(0, (20, 2)), np.ones(20)])
    for solver in ("svd", "eigh"):
        state = pca.fit(X, num_components=3, whiten=True, solver=solver)
        np.testing.assert_allclose(state.explained_variance[2], 0, atol=1e-12)
        assert jnp.isfinite(pca.transform(state, X)).all()
    state = pca.fit(np.ones((20, 3)), num_components=3)
    np.testing.assert_array_equal(state.explained_variance_ratio, 0)


@pytest.mark.parametrize("fault", ["NaN", "negative", "one row"])
def test_bad_data_give_nan(fault):
    X, weights = random(0, (20, 5)), np.ones(20)
    if fault == "NaN":
        X[2, 1] = np.nan
    else:
        weights = np.eye(20)[0] if fault == "one row" else weights - 2 * np.eye(20)[3]
    for solver in ("svd", "eigh"):
        state = pca.fit(X, num_components=3, weights=weights, solver=solver)
        assert jnp.isnan(state.explained_variance).all()


def test_float32_by_svd_sees_what_squares_lose():
    rng = np.random.default_rng(0)
    U, V = np.linalg.qr(rng.normal(size=(30, 4)))[0], np.linalg.qr(rng.normal(size=(6, 4)))[0]
    A = np.float32(U * [1.0, 1e-1, 1e-3, 2e-5] @ V.T)
    by_svd, by_eigh = (
        truncated_svd.fit(A, num_components=4, solver=solver).singular_values
        for solver in ("svd", "eigh")
    )
    np.testing.assert_allclose(by_svd, [1.0, 1e-1, 1e-3, 2e-5], rtol=1e-2)
    np.testing.assert_allclose(by_eigh[:2], [1.0, 1e-1], rtol=1e-4)
    assert not np.allclose(by_eigh[3], 2e-5, rtol=0.1)


def test_random_directions_find_a_slowly_falling_spectrum():
    rng = np.random.default_rng(0)
    U, V = (
        np.linalg.qr(rng.normal(size=(300, 100)))[0],
        np.linalg.qr(rng.normal(size=(100, 100)))[0],
    )
    values = 1 / np.sqrt(np.arange(1, 101))
    A = U * values @ V.T
    errors = []
    for steps in (0, 2, 8):
        state = randomized_svd.fit(key, A, num_components=10, num_power_steps=steps)
        back = truncated_svd.inverse_transform(state, truncated_svd.transform(state, A))
        errors.append(np.linalg.norm(A - back, 2) / values[10])
        assert (state.singular_values <= values[:10] + 1e-12).all()
    assert errors[2] < 1.0001 < errors[1] < 1.01 < errors[0]


def test_a_linear_kernel_is_pca_and_a_quadratic_one_opens_a_ring():
    X = bundled("iris")
    state = kernel_pca.fit(X, num_components=2, kernel="linear")
    ours = kernel_pca.transform(state, X, kernel="linear")
    theirs = pca.transform(pca.fit(X, num_components=2), X)
    np.testing.assert_allclose(jnp.abs(ours), jnp.abs(theirs), atol=1e-9)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    rows = np.concatenate([ring, 3 * ring])
    state = kernel_pca.fit(rows, num_components=5, kernel="poly", degree=2.0)
    Z = kernel_pca.transform(state, rows, kernel="poly")
    gap = np.abs(Z[:60].mean(axis=0) - Z[60:].mean(axis=0)) / (Z[:60].std(axis=0) + 1e-9)
    assert gap.max() > 10
    constant = kernel_pca.fit(np.ones((6, 2)), num_components=2)
    np.testing.assert_array_equal(constant.vectors, 0)


@pytest.mark.slow
def test_every_row_has_its_perplexity():
    X = jnp.asarray(bundled("iris"))
    near = affinities.nearest(X, X, 90, is_same=True)
    p, error = affinities.perplexed(near.squares, perplexity=30.0)
    entropy = -(p * jnp.log(jnp.where(p > 0, p, 1))).sum(axis=0)
    np.testing.assert_allclose(jnp.exp(entropy), 30, rtol=1e-5)
    assert error.max() < 1e-6
    edges = affinities.edges(near, p)
    P = np.zeros((150, 150))
    where = np.asarray(near.rows), np.arange(150)[None]
    P[where] = p
    P = (P + P.T) / 300
    np.testing.assert_allclose(edges.weights, P[where], atol=1e-12)
    total = (edges.weights * jnp.where(edges.is_mutual, 1, 2)).sum()
    np.testing.assert_allclose(total, 1, rtol=1e-9)
    # Five rows at one place are nearer than a perplexity of 3 can resolve, and it is said.
    heap = jnp.asarray(np.concatenate([np.zeros((5, 2)), random(0, (10, 2)) + 9]))
    near = affinities.nearest(heap, heap, 9, is_same=True)
    _, error = affinities.perplexed(near.squares, perplexity=3.0)
    assert (np.asarray(error) > 0.3).tolist() == [True] * 5 + [False] * 10


def test_the_forces_are_the_slope_of_the_divergence():
    X = jnp.asarray(random(0, (40, 5)))
    near = affinities.nearest(X, X, 12, is_same=True)
    edges = affinities.edges(near, affinities.perplexed(near.squares, perplexity=4.0)[0])
    Y = np.random.default_rng(1).normal(size=(2, 40))

    def divergence(Y):
        squares = ((Y[:, :, None] - Y[:, None, :]) ** 2).sum(axis=0)
        return affinities.cost(Y, edges) + jnp.log((1 / (1 + squares)).sum() - 40)

    wanted = jax.jit(jax.grad(divergence))(Y)
    forces, sums = jax.jit(exact_repulsion.repulsion)(Y)
    slope = 4 * (jax.jit(affinities.attraction)(Y, edges) - forces / sums.sum())
    np.testing.assert_allclose(slope, wanted, atol=1e-12)


def test_the_grid_agrees_with_all_pairs():
    exact, on_grid = (jax.jit(e.repulsion) for e in (exact_repulsion, interpolated_repulsion))
    for scale, offset, error in ((1e-4, 0.0, 1e-6), (1.0, 50.0, 1e-3), (12.0, 0.0, 6e-2)):
        Y = scale * np.random.default_rng(0).normal(size=(2, 1500)) + offset
        forces, sums = exact(Y)
        near, near_sums = on_grid(Y)
        assert np.linalg.norm(near - forces) < error * np.linalg.norm(forces)
        np.testing.assert_allclose(near_sums.sum(), sums.sum(), rtol=4e-3)


@pytest.mark.slow
def test_digits_are_laid_out_better_than_by_scikit_learn():
    X, labels = np.float32(bundled("digits")), datasets.load_digits().target
    theirs = TSNE(init="pca", max_iter=750, random_state=0).fit(X)
    for repulsion in ("exact", "interpolated"):
        state, info = tsne.fit(X, repulsion=repulsion)
        assert info.divergence < theirs.kl_divergence_
        assert (np.diff(info.divergences) < 1e-3).all()
        assert info.perplexity_error < 1e-5
        assert trustworthiness(X[::3], np.asarray(state.embedding)[::3]) > 0.985
    is_new = np.arange(len(X)) % 5 == 0
    state, _ = tsne.fit(X[~is_new])
    placed = tsne.transform(state, X[is_new])
    judge = KNeighborsClassifier().fit(np.asarray(state.embedding), labels[~is_new])
    assert judge.score(np.asarray(placed), labels[is_new]) > 0.95
    np.testing.assert_array_equal(tsne.transform(state, X[is_new][:5])[3], placed[3])


def test_groups_and_duplicates_on_a_map():
    X = np.concatenate([random(0, (30, 4)), random(0, (30, 4)) + 30])
    X[1] = X[0]
    state, info = tsne.fit(X, perplexity=5.0, num_steps=300, exaggeration_steps=100)
    assert jnp.isfinite(state.embedding).all()
    Y = np.asarray(state.embedding)
    middles = Y[:30].mean(axis=0), Y[30:].mean(axis=0)
    side = (Y - sum(middles) / 2) @ (middles[1] - middles[0])
    assert (side[:30] < 0).all()
    assert (side[30:] > 0).all()
    assert info.divergences[-1] == info.divergence


@pytest.mark.parametrize(
    ("perplexity", "fault", "status"),
    [
        (20.0, False, Status.BAD_INPUT),
        (0.5, False, Status.BAD_INPUT),
        (5.0, True, Status.NOT_FINITE),
    ],
)
def test_a_map_of_what_makes_no_sense(perplexity, fault, status):
    X = random(0, (20, 4))
    X[3, 2] = np.nan if fault else 0.0
    state, info = tsne.fit(X, perplexity=perplexity, num_steps=50)
    assert (info.status, info.is_done) == (status, False)
    assert jnp.isnan(state.embedding).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X: pca.fit(X, num_components=6), r"pca\.fit: num_components is 6, not from 1 to 5"),
        (lambda X: truncated_svd.fit(X, num_components=0), "num_components is 0"),
        (lambda X: randomized_svd.fit(key, X, num_components=6), "num_components is 6"),
        (lambda X: randomized_svd.fit(key, X, num_components=2, num_power_steps=-1), "is 10 and"),
        (lambda X: kernel_pca.fit(X, num_components=21), "not from 1 to the 20 rows"),
        (lambda X: tsne.fit(X, num_components=6), r"tsne\.fit: num_components is 6"),
        (lambda X: tsne.fit(X, num_neighbors=20), "num_neighbors is 20, not from 1 to 19"),
        (lambda X: tsne.fit(X, num_steps=70), "not a multiple of record_every, 50"),
        (lambda X: tsne.fit(X, num_components=1, repulsion="interpolated"), "interpolated with"),
        (
            lambda X: tsne.transform(tsne.State(X[:, :2], X), X, num_neighbors=21),
            "not from 1 to the 20 fitted",
        ),
    ],
)
def test_static_options_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(random(0, (20, 5)))
