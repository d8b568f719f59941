"""Support vector machines: libsvm's optimum, the published counts, and what holds at every one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.svm import SVC, SVR, LinearSVC

from mastery_jax.core.status import Status
from mastery_jax.learning.svm import dual, linear_svm, similarity, svm_classifier, svm_regressor

few = settings(max_examples=6, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def drawn(seed, n=40, num_classes=3):
    """Return classes that overlap, and times that rows are repeated: 40 more rows, always."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % num_classes).astype(np.int32)
    X = rng.normal(size=(n, 3)) + labels[:, None]
    return X, labels, 1 + rng.multinomial(n, np.ones(n) / n)


def bundled(name):
    X, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, labels.astype(np.int32), int(labels.max()) + 1


def objective_of(model, X, signs):
    """Return the dual objective of a fitted SVC of two classes, from its coefficients."""
    coefs = model.dual_coef_[0]
    gram = np.exp(-model._gamma * ((X[:, None] - X[None]) ** 2).sum(axis=2))
    K = gram[np.ix_(model.support_, model.support_)]
    return coefs @ K @ coefs / 2 - np.abs(coefs).sum()


@pytest.mark.reference
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
@pytest.mark.parametrize("kind", ["rbf scaled", "rbf raw", "linear scaled"])
def test_the_published_counts_of_support_vectors_and_errors(reference, name, kind):
    folder = reference / "sklearn_reference"
    published = json.loads((folder / "reference.json").read_text())["classification"]
    kernel, _, form = kind.partition(" ")
    model = f"svc_rbf_C1_gammascale_{form}" if kernel == "rbf" else "svc_linear_C1_scaled"
    wanted = published[name]["models"][model]
    X, labels, num_classes = bundled(name)
    splits = np.load(folder / "splits.npz")
    train, test = splits[f"{name}_train"], splits[f"{name}_test"]
    if form == "scaled":
        deviation = X[train].std(axis=0)
        X = (X - X[train].mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    # At 1e-3 a row that is nearly one may be found to be none, by libsvm too.
    state, info = svm_classifier.fit(
        X[train], labels[train], num_classes=num_classes, kernel=kernel, atol=1e-6
    )
    assert info.status == Status.CONVERGED
    assert info.num_support.tolist() == wanted["n_support"]
    assert (svm_classifier.predict(state, X[test]) != labels[test]).sum() == wanted["n_errors"]


def test_the_objective_and_the_decisions_of_libsvm():
    X, labels, _ = bundled("breast_cancer")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = SVC(tol=1e-5).fit(X, labels)
    state, info = svm_classifier.fit(X, labels, num_classes=2, atol=1e-5)
    np.testing.assert_allclose(info.objective[0], objective_of(model, X, labels), rtol=1e-6)
    found = svm_classifier.decision_function(state, X)
    np.testing.assert_allclose(found, model.decision_function(X), atol=1e-4)
    assert info.num_support.tolist() == model.n_support_.tolist()


@pytest.mark.parametrize("kernel", ["linear", "poly"])
def test_three_classes_one_against_one_as_libsvm_does(kernel):
    X, labels, times = drawn(0)
    model = SVC(kernel=kernel, C=3, gamma=0.2, coef0=1.0, tol=1e-8, decision_function_shape="ovo")
    model.fit(X, labels, sample_weight=times)
    state, _ = svm_classifier.fit(
        X, labels, num_classes=3, kernel=kernel, C=3, gamma=0.2, offset=1.0, atol=1e-8,
        weights=times.astype(float),
    )  # fmt: skip
    found = svm_classifier.decision_function(state, X, shape="ovo")
    # libsvm holds its kernel in single precision.
    np.testing.assert_allclose(found, model.decision_function(X), atol=1e-4)
    np.testing.assert_array_equal(svm_classifier.predict(state, X), model.predict(X))
    model.decision_function_shape = "ovr"
    found = svm_classifier.decision_function(state, X)
    np.testing.assert_allclose(found, model.decision_function(X), atol=1e-4)


def test_the_tube_of_libsvm():
    X, y = datasets.load_diabetes(return_X_y=True)
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    state, info = svm_regressor.fit(X, y, C=2.0, epsilon=0.3, atol=1e-6)
    model = SVR(C=2.0, epsilon=0.3, tol=1e-6).fit(X, y)
    assert int(info.num_support) == model.n_support_.sum()
    np.testing.assert_allclose(svm_regressor.predict(state, X), model.predict(X), atol=1e-5)
    error = np.abs(svm_regressor.predict(state, X) - y)
    assert (error[state.coefs == 0] <= 0.3 + 1e-5).all()
    assert (error[jnp.abs(state.coefs) >= 2] >= 0.3 - 1e-5).all()


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_the_plane_of_liblinear(name):
    X, labels, num_classes = bundled(name)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    state, info = linear_svm.fit(X, labels, num_classes=num_classes, l2=1 / len(X))
    assert info.status == Status.CONVERGED
    # With a scale of 1000 its penalty of the bias is all but gone.
    model = LinearSVC(dual=False, tol=1e-10, intercept_scaling=1000, max_iter=100_000)
    model.fit(X, labels)
    np.testing.assert_allclose(state.weights, model.coef_, atol=1e-4)
    np.testing.assert_allclose(state.bias, model.intercept_, atol=1e-3)
    np.testing.assert_array_equal(linear_svm.predict(state, X), model.predict(X))


FITS = {
    "classifier": lambda X, labels, **w: svm_classifier.decision_function(
        svm_classifier.fit(X, labels, num_classes=3, gamma=0.3, atol=1e-9, **w)[0],
        PROBES,
        shape="ovo",
    ),
    "regressor": lambda X, labels, **w: svm_regressor.predict(
        svm_regressor.fit(X, X[:, 0] * X[:, 1], gamma=0.3, atol=1e-9, **w)[0], PROBES
    ),
    "plane": lambda X, labels, **w: linear_svm.decision_function(
        linear_svm.fit(X, labels, num_classes=3, l2=0.01, **w)[0], PROBES
    ),
}  # fmt: skip
PROBES = np.linspace(-1, 3, 15).reshape(5, 3)


@pytest.mark.slow
@few
@given(seeds)
@pytest.mark.parametrize("name", FITS)
def test_a_whole_weight_is_a_repeated_row_and_weight_zero_none(name, seed):
    X, labels, times = drawn(seed)
    wanted = FITS[name](np.repeat(X, times, axis=0), np.repeat(labels, times))
    junk, codes = np.full((40, 3), np.nan), np.full(40, 99, np.int32)
    found = FITS[name](
        np.vstack([X, junk]), np.append(labels, codes), weights=np.append(times, np.zeros(40))
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@few
@given(seeds)
def test_the_solution_obeys_its_conditions(seed):
    X, labels, _ = drawn(seed, num_classes=2)
    signs = np.where(labels == 0, 1.0, -1.0)
    gram = np.asarray(similarity.cross(similarity.RBF(jnp.array(0.5)), X, X))
    state, info = dual.solve(
        gram, signs, np.minimum(signs, 0) * 3, np.maximum(signs, 0) * 3, atol=1e-7
    )
    alpha, margin = signs * state.coefs, signs * (gram @ state.coefs + state.bias)
    np.testing.assert_allclose(state.coefs.sum(), 0, atol=1e-12)
    assert ((alpha >= 0) & (alpha <= 3)).all()
    assert (margin[alpha == 0] >= 1 - 1e-6).all()
    assert (margin[alpha == 3] <= 1 + 1e-6).all()
    np.testing.assert_allclose(margin[(alpha > 0) & (alpha < 3)], 1, atol=1e-6)
    primal = state.coefs @ gram @ state.coefs / 2 + 3 * np.maximum(1 - margin, 0).sum()
    np.testing.assert_allclose(primal, -info.objective, rtol=1e-6)  # no gap of duality


def test_probabilities_are_nearly_those_of_libsvm_and_are_calibrated():
    X, labels, _ = bundled("iris")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    state, _ = svm_classifier.fit(X, labels, num_classes=3, num_folds=5)
    found = svm_classifier.predict_proba(state, X)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert (found > 0).all()
    # Of the likeliest classes as many are right as was said: 150 rows, within four deviations.
    likeliest = np.asarray(found).max(axis=1)
    hits = (np.asarray(found).argmax(axis=1) == labels).sum()
    assert abs(hits - likeliest.sum()) < 4 * np.sqrt((likeliest * (1 - likeliest)).sum())
    bare, _ = svm_classifier.fit(X, labels, num_classes=3)
    assert jnp.isnan(svm_classifier.predict_proba(bare, X)).all()


def test_a_grid_of_costs_widths_and_folds_is_one_program():
    X, labels, _ = drawn(0, num_classes=2)
    folds = np.eye(4)[np.arange(40) % 4].T
    costs, widths = jnp.array([0.1, 10.0]), jnp.array([0.01, 1.0])

    def hits(gamma, C, fold):
        state, info = svm_classifier.fit(
            X, labels, num_classes=2, C=C, gamma=gamma, weights=1 - fold
        )
        return svm_classifier.predict(state, X) == labels, info.is_done

    def over(f, xs):
        return jax.lax.map(f, xs)

    found, is_done = over(
        lambda g: over(lambda C: over(lambda fold: hits(g, C, fold), jnp.asarray(folds)), costs),
        widths,
    )
    assert is_done.all()
    for g, C, k in np.ndindex(2, 2, 4):
        out = folds[k] == 1
        model = SVC(C=float(costs[C]), gamma=float(widths[g])).fit(X[~out], labels[~out])
        wanted = model.predict(X[out]) == labels[out]
        np.testing.assert_array_equal(found[g, C, k][out], wanted)


def test_single_precision_ends_and_says_how():
    X, labels, _ = drawn(1, num_classes=2)
    X = X.astype(np.float32)
    for C, ends in ((1.0, {Status.CONVERGED}), (1e6, {Status.CONVERGED, Status.STALLED})):
        state, info = svm_classifier.fit(X, labels, num_classes=2, C=C, gamma=0.1, max_steps=20_000)
        assert state.coefs.dtype == np.float32
        assert int(info.status) in ends | ({Status.OUT_OF_STEPS} if C > 1 else set())
        assert info.is_done == (info.status == Status.CONVERGED)
    _, info = svm_classifier.fit(X, labels, num_classes=2, max_steps=3)
    assert (info.status, info.num_steps.tolist()) == (Status.OUT_OF_STEPS, [3])


@pytest.mark.parametrize("fault", ["C", "weights", "no weights", "one class", "code", "NaN"])
@pytest.mark.parametrize("name", ["classifier", "plane"])
def test_data_that_make_no_sense(name, fault):
    X, labels, _ = drawn(0, num_classes=2)
    weights, price = np.ones(40), -1.0 if fault == "C" else 1.0
    if fault in ("weights", "no weights"):
        weights[0 if fault == "weights" else slice(None)] = -1 if fault == "weights" else 0
    elif fault == "one class":
        weights[labels == 1] = 0
    elif fault == "code":
        labels[0] = 7
    elif fault == "NaN":
        X[0, 0] = np.nan
    fit, hyper = svm_classifier.fit, {"C": price}
    if name == "plane":
        fit, hyper = linear_svm.fit, {"l2": price}
    state, info = fit(X, labels, num_classes=2, weights=weights, **hyper)
    assert info.status == (Status.NOT_FINITE if fault == "NaN" else Status.BAD_INPUT)
    assert not info.is_done
    assert jnp.isnan(state.bias).all()


def test_a_constant_feature_one_row_a_class_and_an_absent_class():
    X, labels = np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([0, 2], np.int32)
    state, info = svm_classifier.fit(X, labels, num_classes=3, kernel="linear", C=100.0)
    assert info.is_done
    np.testing.assert_array_equal(svm_classifier.predict(state, X), labels)
    np.testing.assert_array_equal(info.num_support, [1, 0, 1])
    state, info = linear_svm.fit(X, labels, num_classes=3, l2=1e-3)
    np.testing.assert_array_equal(linear_svm.predict(state, X), labels)
    state, info = svm_regressor.fit(X[:1], np.array([3.0]))
    assert info.is_done
    np.testing.assert_allclose(svm_regressor.predict(state, X[:1]), 3.0)


def test_wrong_options_are_refused():
    X, labels, _ = drawn(0)
    for wrong, said in (
        ({"num_classes": 1}, r"svm_classifier\.fit: num_classes is 1, not at least 2"),
        ({"num_classes": 3, "num_folds": 1}, "num_folds is 1, not 0 or at least 2"),
        ({"num_classes": 3, "rows_per_class": 0}, "rows_per_class is 0, not at least 1"),
        ({"num_classes": 3, "kernel": "sigmoid"}, "kernel is 'sigmoid'"),
        ({"num_classes": 3, "kernel": "poly", "degree": 0}, "degree is 0"),
        ({"num_classes": 3, "kernel": "precomputed"}, "X is 40 x 3, not a Gram matrix"),
    ):
        with pytest.raises(ValueError, match=said):
            svm_classifier.fit(X, labels, **wrong)
    with pytest.raises(ValueError, match=r"linear_svm\.fit: num_classes is 1"):
        linear_svm.fit(X, labels, num_classes=1)


def test_a_gram_matrix_may_stand_for_rows():
    X, labels, _ = drawn(2)
    kernel = similarity.RBF(jnp.array(0.3))
    gram = similarity.cross(kernel, X, X)
    given, _ = svm_classifier.fit(gram, labels, num_classes=3, kernel="precomputed")
    state, _ = svm_classifier.fit(X, labels, num_classes=3, gamma=0.3)
    rows = similarity.cross(kernel, PROBES, X)
    np.testing.assert_allclose(
        svm_classifier.decision_function(given, rows),
        svm_classifier.decision_function(state, PROBES),
        atol=1e-9,
    )
