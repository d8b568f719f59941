"""Data: the bundled sets, the files, the splits and what is said when one is wrong."""

import json
import math
import sys

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.workflow import bundled, columns, data, errors

WITH_CLASSES = ("digits", "iris", "wine", "breast_cancer", "two_moons")


def loader(name):
    """Return scikit-learn's own X, y and names of a set."""
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    found = getattr(datasets, f"load_{name}")(**options)
    y = found.target if name == "diabetes" else found.target_names[found.target].astype(str)
    return found.data, y, [str(feature) for feature in found.feature_names]


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer", "diabetes"])
def test_sets_of_scikit_learn(name, monkeypatch, tmp_path):
    X, y, features = loader(name)
    table = bundled.read(name)
    assert [*table.columns] == [*features, "target"]
    np.testing.assert_array_equal(np.stack([table.columns[f] for f in features], axis=1), X)
    np.testing.assert_array_equal(table.columns["target"].astype(y.dtype), y)
    monkeypatch.setattr(bundled, "_sklearn_folder", lambda: tmp_path)
    again = bundled.read(name)
    for feature, column in table.columns.items():
        np.testing.assert_array_equal(again.columns[feature], column)


def test_nile_is_the_published_series():
    y = data.load(data.Series(source="nile", columns=("volume",))).arrays["y"]
    year = data.load(data.Columns(source="nile", columns=("year",))).arrays["year"]
    assert y.shape == (100, 1)
    np.testing.assert_array_equal(year, np.arange(1871, 1971))
    # Cobb (1978): the first value, the last, and the drop after the dam of 1898.
    assert (y[0, 0], y[-1, 0]) == (1120, 740)
    assert y[:28].mean() == pytest.approx(1097.75)
    assert y[28:].mean() == pytest.approx(849.9722, abs=1e-3)


@pytest.mark.reference
def test_nile_equals_the_reference(reference):
    rows = np.loadtxt(reference / "nile" / "nile.csv", delimiter=",", skiprows=1)
    table = bundled.read("nile")
    np.testing.assert_array_equal(np.stack(list(table.columns.values()), axis=1), rows)


def test_eight_schools_is_the_published_table():
    arrays = data.load(data.Columns(source="eight_schools")).arrays
    np.testing.assert_array_equal(arrays["effect"], [28, 8, -3, 7, -1, 1, 18, 12])
    np.testing.assert_array_equal(arrays["std_error"], [15, 10, 16, 11, 9, 11, 10, 18])


@pytest.mark.reference
def test_eight_schools_equals_the_reference(reference):
    folder = reference / "posteriordb" / "eight_schools-eight_schools_noncentered"
    found = json.loads((folder / "data.json").read_text())
    arrays = data.load(data.Columns(source="eight_schools")).arrays
    np.testing.assert_array_equal(arrays["effect"], found["y"])
    np.testing.assert_array_equal(arrays["std_error"], found["sigma"])


def test_two_moons_lie_on_their_circles():
    table = bundled.read("two_moons")
    points = np.stack([table.columns["x0"], table.columns["x1"]], axis=1)
    upper = table.columns["target"] == "upper"
    assert upper.sum() == (~upper).sum() == 1000
    radius = np.where(upper, *(np.hypot(*(points - c).T) for c in ([0, 0], [1, 0.5])))
    assert abs(radius.mean() - 1) < 0.02, "noise 0.1 moves a mean of 2,000 by 0.1 ** 2 / 2 + 0.002"
    assert 0.09 < radius.std() < 0.11


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_classification(name):
    block = data.Classification(source=name)
    dataset = data.load(block)
    train, test = dataset.arrays["train"], dataset.arrays["test"]
    table = bundled.read(name)
    num_rows = len(table.columns["target"])
    assert len(test["y"]) == round(0.2 * num_rows)
    assert len(train["y"]) + len(test["y"]) == num_rows
    assert train["y"].dtype == np.int32
    assert len(dataset.features) == train["X"].shape[1] == test["X"].shape[1]
    counts = np.bincount(np.concatenate([train["y"], test["y"]]))
    assert counts.tolist() == [
        np.sum(table.columns["target"].astype(str) == c) for c in dataset.classes
    ]
    assert np.all(np.abs(np.bincount(test["y"]) - 0.2 * counts) < 1), "every class alike"
    assert any(np.diff(train["y"]) < 0), "rows are mixed, for batches taken in order"
    np.testing.assert_allclose(dataset.arrays["center"], train["X"].mean(0), rtol=1e-4, atol=1e-5)
    scale = train["X"].std(0)
    np.testing.assert_allclose(
        dataset.arrays["scale"], np.where(scale > 0, scale, 1), rtol=1e-4, atol=1e-5
    )
    whole = {tuple(row) for row in np.concatenate([train["X"], test["X"]])}
    columns_ = [table.columns[f].astype(np.float32) for f in dataset.features]
    assert whole == set(zip(*columns_, strict=True)), "raw units, nothing lost"


def test_regression():
    dataset = data.load(data.Regression(source="diabetes", test_fraction=0.25, split_seed=3))
    train, test = dataset.arrays["train"], dataset.arrays["test"]
    assert (train["X"].shape, test["X"].shape) == ((332, 10), (110, 10))
    y = np.concatenate([train["y"], test["y"]])
    np.testing.assert_array_equal(np.sort(y), np.sort(loader("diabetes")[1]))
    assert dataset.arrays["y_center"] == pytest.approx(train["y"].mean(), rel=1e-5)
    assert dataset.arrays["y_scale"] == pytest.approx(train["y"].std(), rel=1e-5)
    assert dataset.classes == ()
    other = data.load(data.Regression(source="diabetes", target="bmi", columns=("age", "bp")))
    assert other.features == ("age", "bp")
    assert np.max(other.arrays["train"]["y"]) < 50, "kg/m^2"
    assert "target" not in data.load(data.Regression(source="wine", target="hue")).features


def test_samples_and_unstandardized():
    dataset = data.load(data.Samples(source="two_moons", standardize=False))
    assert set(dataset.arrays) == {"train", "test", "center", "scale"}
    assert set(dataset.arrays["train"]) == {"X"}
    assert dataset.features == ("x0", "x1"), "the class is no sample"
    np.testing.assert_array_equal(dataset.arrays["center"], [0, 0])
    np.testing.assert_array_equal(dataset.arrays["scale"], [1, 1])


def test_a_split_is_decided_by_its_seed_alone():
    def test_rows(**options):
        return data.load(data.Classification(source="iris", **options)).arrays["test"]["X"]

    np.testing.assert_array_equal(test_rows(), test_rows(standardize=False))
    assert not np.array_equal(test_rows(), test_rows(split_seed=1))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    fraction=st.floats(0.1, 0.5),
    seed=st.integers(0, 5),
)
def test_every_split_is_a_partition_with_equal_shares(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    table = columns.Table("drawn", {"x": np.arange(len(labels)), "y": labels}, "y")
    block = data.Classification(source="drawn", test_fraction=fraction, split_seed=seed)
    names = [str(code) for code in range(len(counts))]
    train, test = data._stratified(block, table, labels, names)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert len(test) == round(fraction * len(labels))
    fair = np.array(counts) * len(test) / len(labels)
    assert np.all(np.abs(np.bincount(labels[test], minlength=len(counts)) - fair) < 1)
    assert set(labels[train]) == set(range(len(counts)))


def test_floats_come_in_the_default_dtype():
    block = data.Regression(source="diabetes")
    narrow = data.load(block)
    with jax.enable_x64(True):
        wide = data.load(block)
    for dataset, dtype in ((narrow, np.float32), (wide, np.float64)):
        assert {leaf.dtype for leaf in jax.tree.leaves(dataset.arrays)} == {np.dtype(dtype)}
        assert jax.tree.leaves(dataset.arrays)[0].dtype == dtype
    assert narrow.fingerprint == wide.fingerprint
    assert jnp.asarray(narrow.arrays["train"]["X"]).dtype == jnp.zeros(()).dtype


@pytest.mark.parametrize(("said", "dtype"), [("true", np.float64), ("0", np.float32)])
def test_the_dtype_is_known_before_jax_is_there(monkeypatch, said, dtype):
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.setenv("JAX_ENABLE_X64", said)
    assert data.float_dtype() == dtype


def test_fingerprint_sees_values_names_and_classes(tmp_path):
    def fingerprint(text, **options):
        path = tmp_path / "x.csv"
        path.write_text(text)
        return data.load(data.Classification(source=str(path), **options)).fingerprint

    base = "a,b,y\n1,2,p\n3,4,q\n5,6,p\n7,8,q\n"
    options = {"test_fraction": 0.5}
    same = fingerprint(base, **options)
    assert same == fingerprint(base.replace("1,2", "1.0,2e0"), **options)
    assert same == fingerprint(base, test_fraction=0.5, split_seed=4), "a split changes no data"
    others = [
        fingerprint(base.replace("8", "9"), **options),
        fingerprint(base.replace("a,b", "b,a"), **options),
        fingerprint(base.replace("q", "r"), **options),
        fingerprint(base.replace("3,4,q\n5,6,p", "3,4,p\n5,6,q"), **options),
        fingerprint(base, columns=("a",), **options),
    ]
    assert len({same, *others}) == 6


def test_blocks_hash_and_convert():
    block = msgspec.convert({"source": "iris", "columns": ["a"]}, data.Classification)
    assert hash(block) == hash(data.Classification(source="iris", columns=("a",)))
    for wrong in ({}, {"source": "iris", "test_fraction": 0}, {"source": "iris", "target": 3}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, data.Classification)


def test_constant_columns_are_not_divided_by_zero(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("x,y,z\n" + "".join(f"0.1,{16777216 + i / 8},{i}\n" for i in range(9)))
    dataset = data.load(data.Samples(source=str(path)))
    assert dataset.arrays["scale"][:2].tolist() == [1, 1], "constant, or so in float32"
    assert dataset.arrays["center"][0] == np.float32(0.1)


def test_a_target_without_spread_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("x,y\n" + "".join(f"{i},2\n" for i in range(9)))
    with pytest.raises(errors.DataError, match="y is 2 in every row; two values are needed"):
        data.load(data.Regression(source=str(path)))


def test_series_keep_their_order(tmp_path):
    values = [math.sin(i) for i in range(20)]
    path = tmp_path / "x.csv"
    path.write_text("t,y\n" + "".join(f"{i},{value!r}\n" for i, value in enumerate(values)))
    arrays = data.load(data.Series(source=str(path), columns=("y", "t"))).arrays
    np.testing.assert_allclose(arrays["y"][:, 0], values, rtol=1e-6)
    np.testing.assert_array_equal(arrays["y"][:, 1], np.arange(20))
