"""Clusters: published optima, scikit-learn's answers, weights as repeated rows, and bad data."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.cluster import DBSCAN
from sklearn.mixture import GaussianMixture

from mastery_jax.core.status import Status
from mastery_jax.learning.clustering import dbscan, gaussian_mixture, kmeans
from tests.cases.clustering import mixture_by_sklearn, mixture_in_order
from tests.statistics import assert_mean

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
key = jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def bundled(name, *, standardize=False):
    X = getattr(datasets, f"load_{name}")().data
    return (X - X.mean(axis=0)) / X.std(axis=0) if standardize else X


def blobs(seed, n=30):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + 6 * rng.integers(0, 3, size=(n, 1))


@pytest.mark.reference
@pytest.mark.parametrize(("name", "standardize"), [("iris", False), ("wine", True)])
def test_published_optima(reference, name, standardize):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    X = bundled(name, standardize=standardize)
    _, info = kmeans.fit(key, X, num_clusters=3, num_restarts=20)
    wanted = published["deterministic"][f"kmeans_{name}_k3"]["best_inertia_of_200"]
    np.testing.assert_allclose(info.inertia, wanted, rtol=1e-6)
    state, info = gaussian_mixture.fit(key, X, num_clusters=3, num_restarts=20, atol=1e-9)
    wanted = published["deterministic"][f"gmm_full_{name}_k3"]
    np.testing.assert_allclose(info.log_likelihood, wanted["mean_loglik"], atol=1e-5)
    np.testing.assert_allclose(gaussian_mixture.bic(state, X), wanted["bic"], atol=1e-2)
    np.testing.assert_allclose(np.sort(state.weights), np.sort(wanted["weights"]), atol=1e-3)


@pytest.mark.reference
@pytest.mark.slow
def test_many_restarts_find_more_than_the_published_best_of_digits(reference):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    X = np.float32(bundled("digits"))
    _, info = kmeans.fit(key, X, num_clusters=10, num_restarts=1500)
    wanted = published["deterministic"]["kmeans_digits_k10"]["best_inertia_of_200"]
    assert info.inertia <= wanted * (1 + 1e-6)


@pytest.mark.slow
@few
@given(seeds)
def test_a_weight_is_a_number_of_repeated_rows(seed):
    X, rng = blobs(seed), np.random.default_rng(seed)
    counts = rng.integers(0, 3, size=30)
    start = kmeans.State(X[:3])
    once, info = kmeans.step(start, X, weights=counts.astype(float))
    often, _ = kmeans.step(start, np.repeat(X, counts, axis=0))
    np.testing.assert_allclose(once.centers, often.centers, rtol=1e-9)
    assert jnp.isfinite(info.shift)
    labels = dbscan.fit(X, radius=0.7, weights=counts.astype(float))[0].labels
    repeated = DBSCAN(eps=0.7).fit(np.repeat(X, counts, axis=0)).labels_
    np.testing.assert_array_equal(np.repeat(labels, counts), repeated)


@few
@given(seeds)
def test_the_end_of_lloyd_is_a_fixed_point(seed):
    X = blobs(seed)
    state, info = kmeans.fit(key, X, num_clusters=4, num_restarts=3)
    assert info.status == Status.CONVERGED
    labels = kmeans.predict(state, X)
    np.testing.assert_array_equal(np.bincount(labels, minlength=4), info.sizes)
    for j in range(4):
        np.testing.assert_allclose(state.centers[j], X[labels == j].mean(axis=0), rtol=1e-9)
    distances = kmeans.transform(state, X)
    np.testing.assert_array_equal(distances.argmin(axis=1), labels)
    np.testing.assert_allclose((distances.min(axis=1) ** 2).sum(), info.inertia, rtol=1e-9)
    assert info.inertia == info.inertias.min()


def test_fewer_distinct_rows_than_clusters():
    X = np.repeat([[0.0, 1.0], [3.0, 1.0]], 4, axis=0)
    state, info = kmeans.fit(key, X, num_clusters=3)
    assert (info.status, info.inertia) == (Status.CONVERGED, 0)
    np.testing.assert_array_equal(np.sort(info.sizes), [0, 4, 4])
    assert {tuple(c) for c in np.asarray(state.centers)} == {(0.0, 1.0), (3.0, 1.0)}


def test_a_row_without_weight_is_never_drawn():
    X = np.arange(40.0)[:, None]
    weights = np.where(np.arange(40) % 4, 0.0, 1.0)
    keys = jax.random.split(key, 200)
    drawn = jax.vmap(lambda k: kmeans.init(k, X, num_clusters=5, weights=weights))(keys)
    assert set(np.round(np.unique(drawn.centers), 9) % 4) == {0.0}


def test_greedy_seeds_are_better_than_rows():
    X = bundled("iris")

    def inertia(centers):
        return (kmeans.transform(kmeans.State(centers), X).min(axis=1) ** 2).sum()

    keys = jax.random.split(key, 64)
    ours = jax.lax.map(lambda k: inertia(kmeans.init(k, X, num_clusters=3).centers), keys)
    rows = jax.lax.map(lambda k: inertia(jax.random.choice(k, X, (3,), replace=False)), keys)
    assert ours.mean() < 0.6 * rows.mean()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["negative", "all zero", "NaN"])
def test_bad_data_are_said_to_be_bad(fault):
    X, weights = blobs(0), np.ones(30)
    if fault == "NaN":
        X[3, 1] = np.nan
    else:
        weights = np.zeros(30) if fault == "all zero" else weights - 2.0 * (np.arange(30) == 4)
    wanted = Status.NOT_FINITE if fault == "NaN" else Status.BAD_INPUT
    state, info = kmeans.fit(key, X, num_clusters=3, weights=weights)
    assert (info.status, info.is_done) == (wanted, False)
    assert jnp.isnan(state.centers).all()
    state, info = gaussian_mixture.fit(key, X, num_clusters=3, weights=weights)
    assert (info.status, info.is_done) == (wanted, False)
    assert jnp.isnan(state.means).all()
    if fault != "all zero":  # of no weight nothing is a core, which is an answer
        state, info = dbscan.fit(X, weights=weights)
        assert (info.status, info.num_clusters, info.num_noise) == (wanted, 0, 30)


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["tied", "diag", "spherical"])
def test_other_covariances_reach_the_optimum_of_scikit_learn(covariance):
    X = 3 * blobs(1, 40)
    hyper = {"num_clusters": 3, "covariance": covariance, "reg_covar": 1e-6}
    ours = mixture_in_order(key, X, atol=1e-13, **hyper)
    theirs = mixture_by_sklearn(key, X, **hyper)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("start", "num_clusters"), [("kmeans", 3), ("rows", 1)])
def test_weights_of_a_mixture_are_repeated_rows(start, num_clusters):
    X = 3 * blobs(2)
    counts = np.arange(30) % 3
    hyper = {"num_clusters": num_clusters, "start": start, "num_restarts": 3, "atol": 1e-12}
    one = mixture_in_order(key, X, weights=counts.astype(float), **hyper)
    two = mixture_in_order(key, np.repeat(X, counts, axis=0), **hyper)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_a_collapsed_component_is_told_and_passed_over():
    X = np.concatenate([blobs(3), np.full((4, 2), 40.0)])
    _, info = gaussian_mixture.fit(key, X, num_clusters=3)
    assert info.is_collapsed.sum() == 1
    constant = np.column_stack([blobs(3), np.ones(30)])
    _, info = gaussian_mixture.fit(key, constant, num_clusters=2)
    assert info.is_collapsed.all()
    assert info.is_done
    _, info = gaussian_mixture.fit(key, constant, num_clusters=2, reg_covar=0.0)
    assert info.status == Status.SINGULAR


def test_float32_finds_the_same_mixture():
    X = bundled("iris") + 100.0
    single = gaussian_mixture.fit(key, np.float32(X), num_clusters=3)[1]
    theirs = GaussianMixture(3, random_state=0, tol=1e-6).fit(X).score(X)
    np.testing.assert_allclose(single.log_likelihood, theirs, atol=1e-4)
    assert single.status == Status.CONVERGED


def test_samples_have_the_moments_of_the_mixture():
    factors = jnp.array([[[1.0, 0.0], [0.5, 2.0]], [[0.7, 0.0], [-0.2, 0.6]]])
    means = jnp.array([[0.0, 1.0], [6.0, 3.0]])
    state = gaussian_mixture.State(jnp.array([0.3, 0.7]), means, factors)
    chains = gaussian_mixture.sample(key, state, shape=(50, 8000))
    assert_mean(chains[..., 0], 4.2)
    assert_mean(chains[..., 0] * chains[..., 1], 0.3 * 0.5 + 0.7 * (18 - 0.14))
    with pytest.raises(AssertionError):  # what the factors turned round would give
        assert_mean(chains[..., 0] * chains[..., 1], 0.3 * 1.0 + 0.7 * (18 - 0.12))


@pytest.mark.parametrize(
    ("name", "radius", "min_samples"), [("iris", 0.5, 5), ("digits", 20.0, 5), ("grid", 1.0, 4)]
)
def test_labels_are_those_of_scikit_learn(name, radius, min_samples, monkeypatch):
    if name == "grid":  # distances of exactly one radius
        rows = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), axis=2).reshape(-1, 2)
        X = np.random.default_rng(0).permutation(rows)[:600]
        monkeypatch.setattr(dbscan, "MOST_KEPT", 0)  # nothing else is of this shape
    else:
        X = bundled(name)
    state, info = dbscan.fit(X, radius=radius, min_samples=min_samples)
    theirs = DBSCAN(eps=radius, min_samples=min_samples).fit(X)
    np.testing.assert_array_equal(state.labels, theirs.labels_)
    np.testing.assert_array_equal(np.flatnonzero(state.is_core), theirs.core_sample_indices_)
    assert (info.num_clusters, info.is_done) == (int(theirs.labels_.max()) + 1, True)


def test_a_long_line_is_joined_in_few_rounds():
    X = np.random.default_rng(0).permutation(np.arange(2000.0))[:, None]
    _, info = dbscan.fit(X, radius=1.0, min_samples=2)
    assert (info.num_clusters, info.num_noise) == (1, 0)
    assert info.num_steps <= 12
    _, info = dbscan.fit(X, radius=1.0, min_samples=2, max_steps=1)
    assert (info.status, info.is_done) == (Status.OUT_OF_STEPS, False)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X: kmeans.fit(key, X, num_clusters=31), r"kmeans\.fit: num_clusters is 31"),
        (lambda X: kmeans.init(key, X, num_clusters=0), r"kmeans\.init: num_clusters is 0"),
        (lambda X: kmeans.fit(key, X, num_clusters=2, num_restarts=0), "num_restarts is 0"),
        (lambda X: gaussian_mixture.fit(key, X, num_clusters=31), "num_clusters is 31, not from"),
        (
            lambda X: gaussian_mixture.fit(key, X, num_clusters=2, num_restarts=0),
            r"gaussian_mixture\.fit: num_restarts is 0",
        ),
        (lambda X: dbscan.fit(X[:0]), r"dbscan\.fit: 0 rows"),
        (lambda X: dbscan.fit(X, block_size=0), "in blocks of 0"),
    ],
)
def test_static_options_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(blobs(0))
