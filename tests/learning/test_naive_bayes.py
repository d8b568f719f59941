"""Naive Bayes: scikit-learn's probabilities, updates that equal a fit, weights and bad input."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets, naive_bayes

from mastery_jax.learning.naive_bayes import bernoulli_nb, gaussian_nb, multinomial_nb

few = settings(max_examples=6, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
KINDS = [gaussian_nb, multinomial_nb, bernoulli_nb]
kinds = pytest.mark.parametrize("kind", KINDS, ids=["gaussian", "multinomial", "bernoulli"])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def drawn(seed, n=24):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3).astype(np.int32)
    return rng.poisson(1 + labels[:, None], size=(n, 4)).astype(float), labels


def digits():
    X, labels = datasets.load_digits(return_X_y=True)
    return X, labels.astype(np.int32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "peer"),
    [
        (gaussian_nb, naive_bayes.GaussianNB()),
        (multinomial_nb, naive_bayes.MultinomialNB()),
        (bernoulli_nb, naive_bayes.BernoulliNB(binarize=0.0)),
    ],
)
def test_the_log_probabilities_of_scikit_learn(kind, peer, dtype):
    X, labels = digits()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    state = kind.fit(X.astype(dtype), labels, num_classes=10, weights=weights.astype(dtype))
    wanted = peer.fit(X, labels, sample_weight=weights).predict_log_proba(X)
    if kind is gaussian_nb and dtype == np.float64:
        # Pixels that are always 0 have the smoothing as variance; theirs knows no weights.
        state = state._replace(smoothing=state.smoothing * _variance(X) / _variance(X, weights))
        np.testing.assert_allclose(kind.predict_log_proba(state, X), wanted, rtol=1e-6, atol=1e-6)
    found = kind.predict(state, X.astype(dtype))
    assert (found == wanted.argmax(axis=1).astype(np.int32)).mean() > 0.998
    if kind is not gaussian_nb:
        found = kind.predict_log_proba(state, X.astype(dtype))
        rtol = 1e-9 if dtype == np.float64 else 1e-4
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol)


def _variance(X, weights=None):
    mean = np.average(X, axis=0, weights=weights)
    return np.average((X - mean) ** 2, axis=0, weights=weights).max()


@pytest.mark.reference
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_the_published_errors_and_loss(reference, name):
    folder = reference / "sklearn_reference"
    published = json.loads((folder / "reference.json").read_text())["classification"]
    wanted = published[name]["models"]["gaussian_nb_raw"]
    splits = np.load(folder / "splits.npz")
    train, test = splits[f"{name}_train"], splits[f"{name}_test"]
    X, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    labels = labels.astype(np.int32)
    state = gaussian_nb.fit(X[train], labels[train], num_classes=int(labels.max()) + 1)
    log_probs = np.asarray(gaussian_nb.predict_log_proba(state, X[test]))
    assert (log_probs.argmax(axis=1) != labels[test]).sum() == wanted["n_errors"]
    # scikit-learn's log loss clips probabilities at the rounding of a double.
    picked = np.maximum(log_probs[np.arange(len(test)), labels[test]], np.log(2.220446e-16))
    np.testing.assert_allclose(-picked.mean(), wanted["test_logloss"], rtol=1e-6)


@kinds
@few
@given(seeds)
def test_an_update_is_a_fit_of_all_rows(kind, seed):
    X, labels = drawn(seed)
    labels[:12] = labels[:12] % 2  # the third class comes later
    state = kind.fit(X[:12], labels[:12], num_classes=3)
    state = kind.update(state, X[12:], labels[12:])
    whole = kind.fit(X, labels, num_classes=3)
    for found, wanted in zip(state, whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@kinds
@few
@given(seeds)
def test_a_whole_weight_is_a_repeated_row_and_weight_zero_none(kind, seed):
    X, labels = drawn(seed)
    times = 1 + np.random.default_rng(seed).multinomial(24, np.ones(24) / 24)
    wanted = kind.fit(np.repeat(X, times, axis=0), np.repeat(labels, times), num_classes=3)
    X, labels = np.vstack([X, np.full((24, 4), np.nan)]), np.append(labels, np.full(24, 99))
    weights = np.append(times, np.zeros(24))
    found = kind.fit(X, labels.astype(np.int32), num_classes=3, weights=weights)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@kinds
@pytest.mark.parametrize("fault", ["weights", "no weights", "code", "NaN"])
def test_data_that_make_no_sense_give_nan(kind, fault):
    X, labels = drawn(0)
    weights = np.zeros(24) if fault == "no weights" else np.ones(24)
    if fault == "weights":
        weights[0] = -1
    elif fault == "code":
        labels[0] = 3
    elif fault == "NaN":
        X[0] = np.nan
    found = kind.predict_proba(kind.fit(X, labels, num_classes=3, weights=weights), X[1:])
    assert jnp.isnan(found).any(axis=1).all()


@kinds
def test_an_absent_class_one_row_and_one_class(kind):
    X, labels = drawn(0)
    state = kind.fit(X, labels % 2, num_classes=3)
    assert (kind.predict_proba(state, X)[:, 2] == 0).all()
    alone = kind.fit(X, 0 * labels + 1, num_classes=3)
    np.testing.assert_array_equal(kind.predict_proba(alone, X), np.eye(3)[np.ones(24, int)])
    assert kind.predict(kind.fit(X, labels, num_classes=3), X[:1]).shape == (1,)
    name = kind.__name__.rpartition(".")[2]
    with pytest.raises(ValueError, match=rf"{name}\.fit: num_classes is 1, not at least 2"):
        kind.fit(X, labels, num_classes=1)


def test_a_grid_is_one_program():
    X, labels = digits()
    grid = jnp.array([1e-9, 1e-3, 1e-1])
    states = jax.vmap(lambda s: gaussian_nb.fit(X, labels, num_classes=10, smoothing=s))(grid)
    hits = jax.vmap(lambda s: (gaussian_nb.predict(s, X) == labels).mean())(states)
    assert hits[1] > hits[0]
    assert jnp.isnan(gaussian_nb.fit(X, labels, num_classes=10, smoothing=-1.0).smoothing)
    assert jnp.isnan(multinomial_nb.fit(X, labels, num_classes=10, alpha=0.0).alpha)


def test_a_feature_that_all_rows_have_is_never_absent():
    rng = np.random.default_rng(0)
    X = np.stack([np.ones(1000), rng.integers(0, 2, 1000)], axis=1)
    labels = rng.integers(0, 2, 1000).astype(np.int32)
    weights = np.float32(rng.random(1000))
    state = bernoulli_nb.fit(np.float32(X), labels, num_classes=2, weights=weights, alpha=1e-6)
    np.testing.assert_array_equal(state.absent[:, 0], 0.0)
    theirs = naive_bayes.BernoulliNB(alpha=1e-6, force_alpha=True).fit(X, labels, weights)
    for row in ([[1.0, 0.0]], [[0.0, 1.0]]):
        found = bernoulli_nb.predict_proba(state, np.float32(row))
        np.testing.assert_allclose(found, theirs.predict_proba(row), rtol=1e-4)


def test_a_large_mean_costs_no_digits_of_the_variance():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100_000).astype(np.int32)
    X = np.float32(1e6 + rng.normal(size=(100_000, 3)) + labels[:, None])
    state = gaussian_nb.fit(X, labels, num_classes=2)
    theirs = naive_bayes.GaussianNB().fit(np.double(X), labels)
    np.testing.assert_allclose(state.means, theirs.theta_, rtol=0, atol=2**-5)  # its half step
    np.testing.assert_allclose(state.scales**2, theirs.var_, rtol=1e-3)
    wanted = theirs.score(np.double(X), labels)
    assert (gaussian_nb.predict(state, X) == labels).mean() > wanted - 1e-3


@pytest.mark.parametrize("exponent", [-110, -66, 66, 110])
def test_a_unit_changes_no_probability(exponent):
    X, labels = drawn(1)
    X, unit = np.float32(X), np.ldexp(np.float32(1), exponent)
    plain = gaussian_nb.fit(X[:12], labels[:12], num_classes=3)
    scaled = gaussian_nb.fit(X[:12] * unit, labels[:12], num_classes=3)
    plain = gaussian_nb.update(plain, X[12:], labels[12:])
    scaled = gaussian_nb.update(scaled, X[12:] * unit, labels[12:])
    np.testing.assert_array_equal(scaled.scales, plain.scales * unit)
    probs = gaussian_nb.predict_proba(plain, X)
    np.testing.assert_array_equal(gaussian_nb.predict_proba(scaled, X * unit), probs)
    assert jnp.isfinite(probs).all()


@kinds
def test_no_class_is_named_without_probabilities(kind):
    X, labels = drawn(0)
    state = kind.fit(X, labels, num_classes=3)
    odd = X.copy()
    odd[1] = np.nan
    np.testing.assert_array_equal(kind.predict(state, odd) == -1, np.arange(24) == 1)
    nothing = jax.tree.map(lambda leaf: leaf * jnp.nan, state)
    np.testing.assert_array_equal(kind.predict(nothing, X), -1)


@kinds
def test_narrow_labels_are_codes_of_many_classes(kind):
    X, labels = drawn(0)
    narrow = kind.fit(X, labels.astype(np.int8), num_classes=200)
    for one, other in zip(narrow, kind.fit(X, labels, num_classes=200), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(narrow.counts[:3], [8, 8, 8])
