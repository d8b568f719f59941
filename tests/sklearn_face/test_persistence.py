"""An estimator that was saved is the one that is loaded, or a sentence says why not."""

import json
import pathlib
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from mastery_jax.learning.sklearn import estimators, persistence
from mastery_jax.learning.sklearn.persistence import SavedEstimatorError, load, save

IRIS, KINDS = load_iris(return_X_y=True)
NAMED = np.array(["setosa", "versicolor", "virginica"], dtype=object)[KINDS]
DIABETES, PROGRESS = load_diabetes(return_X_y=True)

FITTED = {
    "regressor": lambda: estimators.Ridge(l2=0.5).fit(DIABETES.astype(np.single), PROGRESS),
    "info and labels": lambda: estimators.LogisticRegression().fit(IRIS, NAMED),
    "class weights": lambda: estimators.LogisticRegression(class_weight={0: 2.0, 2: 1}).fit(
        IRIS, KINDS
    ),
    "nested state": lambda: estimators.DecisionTreeClassifier(
        max_depth=2, monotone=[1, 0, -1, 0], categorical=(3,)
    ).fit(IRIS, NAMED == "setosa"),
    "a union in the state": lambda: estimators.SVR(kernel="poly", degree=2).fit(
        DIABETES[:50], PROGRESS[:50]
    ),
    "bound parameter": lambda: estimators.KernelPCA(kernel="linear").fit(IRIS),
    "labels of rows": lambda: estimators.DBSCAN().fit(IRIS),
}


def ask(estimator, X):
    verb = next((v for v in ("predict", "transform") if hasattr(estimator, v)), None)
    return getattr(estimator, verb)(X) if verb else estimator.labels_


def same(mine, other):
    if isinstance(mine, np.ndarray):
        return mine.dtype == other.dtype and np.array_equal(mine, other)
    if isinstance(mine, tuple):
        return type(mine) is type(other) and all(map(same, mine, other))
    return mine == other


@pytest.mark.parametrize("name", FITTED)
def test_what_is_saved_is_loaded(name, tmp_path):
    estimator = FITTED[name]()
    save(estimator, tmp_path / "model")
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        *("arrays.safetensors", "estimator.json", "model")
    ]
    loaded = load(tmp_path / "model")
    assert type(loaded) is type(estimator)
    assert loaded.get_params() == estimator.get_params()
    assert vars(loaded).keys() == vars(estimator).keys()
    assert all(same(value, vars(loaded)[key]) for key, value in vars(estimator).items())
    X = DIABETES if estimator.n_features_in_ == 10 else IRIS
    np.testing.assert_array_equal(ask(loaded, X), ask(estimator, X))


@pytest.mark.parametrize("name", FITTED)
def test_what_is_pickled_is_read(name):
    estimator = FITTED[name]()
    again = pickle.loads(pickle.dumps(estimator))
    assert all(same(value, vars(again)[key]) for key, value in vars(estimator).items())


@pytest.fixture
def model(tmp_path):
    save(estimators.Ridge().fit(DIABETES, PROGRESS), tmp_path / "model")
    return tmp_path / "model"


def test_nothing_is_overwritten_without_being_told(model):
    before = load(model)
    other = estimators.Ridge(l2=7.0).fit(DIABETES, PROGRESS)
    with pytest.raises(SavedEstimatorError, match=r"holds a saved estimator: say overwrite=True"):
        save(other, model)
    assert load(model).l2 == before.l2
    save(other, model, overwrite=True)
    assert load(model).l2 == 7.0
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SavedEstimatorError, match="is there already"):
        save(estimators.Ridge().fit(DIABETES, PROGRESS), tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_what_cannot_be_saved_is_said(tmp_path):
    ridge = estimators.Ridge()
    with pytest.raises(NotFittedError):
        save(ridge, tmp_path / "model")
    with pytest.raises(SavedEstimatorError, match="a Pipeline is no estimator of mastery_jax"):
        save(make_pipeline(ridge).fit(DIABETES, PROGRESS), tmp_path / "model")
    drawn = estimators.RandomizedSVD(random_state=np.random.RandomState(0)).fit(IRIS)
    with pytest.raises(SavedEstimatorError, match=r"random_state has RandomState.*no form in JSON"):
        save(drawn, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def damaged(model, *, is_signed=True, **changes):
    path = model / "estimator.json"
    text = json.loads(path.read_text()) | changes
    if is_signed:
        packed = (model / "arrays.safetensors").read_bytes()
        text["sha256"] = persistence._digest(text, packed)
    path.write_text(json.dumps(text))


BREAKAGES = {
    "no folder": (lambda m: m.rename(m.parent / "gone"), "estimator.json cannot be read: No such"),
    "no JSON": (lambda m: (m / "estimator.json").write_text("{"), "is no JSON"),
    "a list": (lambda m: (m / "estimator.json").write_text("[]"), "has format None, not 1"),
    "a later form": (lambda m: damaged(m, format=2), "has format 2, not 1"),
    "no such class": (lambda m: damaged(m, **{"class": "make"}), "holds a make, which is not in"),
    "another class": (lambda m: damaged(m, **{"class": "KMeans"}), "TypeError: KMeans: l2 is no"),
    "a foreign type": (
        lambda m: damaged(m, state={"type": "subprocess.Popen", "fields": {"args": "state/bias"}}),
        "KeyError: 'subprocess.Popen'",
    ),
    "no number": (
        lambda m: damaged(m, beside={"classes_": {"array": ["x"], "dtype": "<i8"}}),
        "ValueError: invalid literal",
    ),
    "a text of other hands": (
        lambda m: damaged(m, is_signed=False, beside={"n_features_in_": 7}),
        "is not what was written",
    ),
    "no arrays": (lambda m: (m / "arrays.safetensors").unlink(), "FileNotFoundError"),
    "cut short": (
        lambda m: (m / "arrays.safetensors").write_bytes(b"12"),
        "is not what was written",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_bad_folder_is_one_sentence(breakage, model):
    spoil, sentence = BREAKAGES[breakage]
    spoil(model)
    with pytest.raises(SavedEstimatorError, match=sentence) as caught:
        load(model)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_noticed(model):
    path = model / "arrays.safetensors"
    bits = bytearray(path.read_bytes())
    bits[-1] ^= 1
    path.write_bytes(bits)
    with pytest.raises(SavedEstimatorError, match="is not what was written"):
        persistence.load(model)


def test_the_old_estimator_comes_back_where_the_new_cannot_be_put(model, monkeypatch):
    before = sorted((path.name, path.read_bytes()) for path in model.iterdir())
    rename = pathlib.Path.rename

    def full(self, target):
        if self.name == "new":
            raise OSError("no space left")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", full)
    with pytest.raises(OSError, match="no space left"):
        save(load(model), model, overwrite=True)
    assert sorted((path.name, path.read_bytes()) for path in model.iterdir()) == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]
