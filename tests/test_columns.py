"""Data files: three formats, their columns, and what is said when one is wrong."""

import pathlib
import pickle
import sys

import jax
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from mastery_jax.workflow import columns, data
from mastery_jax.workflow.errors import DataError

ROWS = "size,weight,kind\n" + "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(1, 11))


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a file and returns its path as text."""

    def write(content, name="x.csv"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        elif name.endswith(".npz"):
            np.savez(path, **content)
        else:
            parquet.write_table(pyarrow.table(content), path)
        return str(path)

    return write


def same_arrays(one, other):
    jax.tree.map(np.testing.assert_array_equal, one.arrays, other.arrays)
    assert one[1:] == other[1:], "features, classes, fingerprint"


def test_the_same_rows_in_three_formats(write):
    i = np.arange(1, 11)
    kind = np.array(["a", "b"])[i % 2]
    sources = [
        write(ROWS),
        write("\ufeff" + ROWS.replace("\n", "\r\n\r\n").replace("\n4,", '\n"4",'), "y.csv"),
        write({"size": i, "weight": i.astype(np.float32) ** 2, "kind": kind}, "x.parquet"),
        write({"size": i, "weight": i**2, "kind": kind}, "x.npz"),
    ]
    first, *others = (
        data.load(data.Classification(source=s, target="kind", test_fraction=0.5)) for s in sources
    )
    assert first.features == ("size", "weight")
    assert first.classes == ("a", "b")
    for other in others:
        same_arrays(first, other)


def test_numbers_are_read_the_same_beside_words(write):
    numbers = (
        np.random.default_rng(0).standard_normal((50, 3)) * 10.0 ** np.arange(-150, 0)[:50, None]
    )
    lines = [",".join(map(repr, row.tolist())) for row in numbers]
    alone = columns.read(write("a,b,c\n" + "\n".join(lines)))
    beside = columns.read(write("a,b,c,d\n" + "\n".join(f"{line},word" for line in lines)))
    for index, name in enumerate("abc"):
        np.testing.assert_array_equal(columns.numbers(alone, name), numbers[:, index])
        np.testing.assert_array_equal(columns.numbers(beside, name), numbers[:, index])


def test_arrays_of_an_npz(write):
    X = np.arange(12.0).reshape(6, 2)
    source = write({"X": X, "y": np.array([1, 0, 1, 0, 1, 0])}, "x.npz")
    dataset = data.load(data.Classification(source=source, test_fraction=0.5))
    assert (dataset.features, dataset.classes) == (("x0", "x1"), ("0", "1"))
    assert data.load(data.Series(source=source)).arrays["y"].tolist() == X.tolist()
    assert set(data.load(data.Columns(source=source, columns=("y", "x1"))).arrays) == {"y", "x1"}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "10", "9"], ("9", "10")),
        (["1", "1.0", "2e0", "2"], ("1", "2")),
        (["no", "yes", "no", " yes"], ("no", "yes")),
        (["1", "x", "1", "x"], ("1", "x")),
        (["-1", "+1", "-1", "+1"], ("-1", "1")),
    ],
)
def test_labels(write, labels, classes):
    source = write("x,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)))
    dataset = data.load(data.Classification(source=source, test_fraction=0.5))
    assert dataset.classes == classes


def test_labels_of_booleans(write):
    source = write({"x": [1.0, 2.0, 3.0, 4.0], "y": [True, False, True, False]}, "x.parquet")
    dataset = data.load(data.Classification(source=source, test_fraction=0.5))
    assert dataset.classes == ("False", "True")


FOUR = "a,y\n1,x\n2,x\n3,z\n4,z\n"
CSV = {  # what the file says, the block's options, what is said of it
    "empty": ("", {}, "is empty"),
    "blank": ("\n\n", {}, "is empty"),
    "only names": ("a,b,y\n", {}, "holds no rows"),
    "names missing": ("1,2,3\n4,5,6\n", {}, "the first line must name the columns"),
    "a name missing": (",b,y\n1,2,3\n", {}, "column 1 has no name"),
    "a name twice": ("a,a,y\n1,2,3\n", {}, "two columns are named a"),
    "semicolons": ("a;b\n1;2\n", {}, "separated by commas, they are by ';'"),
    "a short row": ("a,y\n1,2\n3\n", {}, "row 2 has 1 values, the header names 2 columns"),
    "a long row": ("a,y\n1,x\n3,x,5\n", {}, "row 2 has 3 values"),
    "rows all long": ("a,y\n1,2,3\n4,5,6\n", {}, "row 1 has 3 values"),
    "a word": ("a,y\n1,x\ntwo,x\n", {}, "column a must hold numbers, row 2 holds 'two'"),
    "a gap": (
        "a,y\n1,x\n,x\n,x\n",
        {},
        "column a has 2 missing or infinite values, the first in row 2",
    ),
    "nan": (
        "a,y\n1,2\nnan,2\n",
        {},
        "column a has 1 missing or infinite values, the first in row 2",
    ),
    "inf": ("a,y\n1,2\n1,2\n-inf,2\n", {}, "the first in row 3"),
    "too large": ("a,y\n1,0\n1e39,1\n1,0\n1,1\n", {}, "column a has values too large for float32"),
    "no label": ("a,y\n1,x\n2,\n", {}, "column y has no label in row 2"),
    "label nan": ("a,y\n1,1\n2,nan\n", {}, "column y has no label in row 2"),
    "label inf": ("a,y\n1,1\n2,inf\n", {}, "column y holds inf in row 2"),
    "label a fraction": ("a,y\n1,1\n2,1.5\n", {}, "holds 1.5 in row 2; classes are words or whole"),
    "one class": ("a,y\n1,x\n2,x\n", {}, "every row is of class x"),
    "a rare class": ("a,y\n1,x\n2,x\n3,z\n", {}, "class z has one row"),
    "too few to test": (
        "a,y\n1,x\n2,x\n3,z\n4,z\n",
        {"test_fraction": 0.1},
        "leaves none for testing",
    ),
    "too few to train": (
        "a,y\n1,x\n2,x\n3,z\n4,z\n",
        {"test_fraction": 0.9},
        "leaves none for training",
    ),
    "a class not trained": (
        "a,y\n" + "1,x\n" * 20 + "1,z\n" * 2,
        {"test_fraction": 0.85},
        "leaves no row of class z for training",
    ),
    "no such column": (
        ROWS,
        {"columns": ("wieght",)},
        "has no column wieght; did you mean weight?",
    ),
    "no such target": (ROWS, {"target": "kin"}, "has no column kin; did you mean kind?"),
    "target in columns": (ROWS, {"columns": ("size", "kind")}, "kind is the target"),
    "column twice": (ROWS, {"columns": ("size", "size")}, "size is given twice"),
    "only a target": ("y\nx\nz\nx\nz\n", {}, "has no column beside the target y"),
    "an open quote": ('a,y\n1,"x\n', {}, "is not CSV"),
    "not UTF-8": (b"a,y\n1,\xff\n", {}, "is not text in UTF-8"),
}


@pytest.mark.parametrize("case", CSV)
def test_wrong_csv(write, case):
    content, options, sentence = CSV[case]
    source = write(content)
    with pytest.raises(DataError) as caught:
        data.load(data.Classification(source=source, **options))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("block", [data.Regression, data.Samples])
def test_ten_rows_may_leave_none_for_testing(write, block):
    source = write("a,b\n" + "1,2\n2,3\n" * 5)
    with pytest.raises(DataError, match=r"10 rows: test_fraction 0\.04 leaves none for testing"):
        data.load(block(source=source, test_fraction=0.04))
    assert len(data.load(block(source=source, test_fraction=0.1)).arrays["test"]["X"]) == 1


def test_a_word_to_predict_in_a_regression(write):
    with pytest.raises(DataError, match="column kind must hold numbers, row 1 holds 'b'"):
        data.load(data.Regression(source=write(ROWS)))


SOURCES = {
    "irsi": "no data set is named irsi; did you mean iris? (there are: digits,",
    "none.csv": "none.csv: there is no such file",
    "folder.csv": "is a folder",
    "some/table.xlsx": "is of no known kind; a data file is .csv, .parquet or .npz",
}


@pytest.mark.parametrize("source", SOURCES)
def test_wrong_source(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("folder.csv").mkdir()
    with pytest.raises(DataError) as caught:
        data.load(data.Samples(source=source))
    assert SOURCES[source] in str(caught.value)


NPZ = {
    "a pickle": (pickle.dumps({"y": 1}), "is not an .npz file of plain arrays"),
    "noise": (b"PK\x03\x04" + b"\0" * 50, "is not an .npz file of plain arrays"),
    "nothing": (b"", "is not an .npz file of plain arrays"),
    "objects": ({"x": np.array([{}, {}])}, "is not an .npz file of plain arrays"),
    "images": ({"X": np.zeros((2, 3, 3)), "y": np.zeros(2)}, "X has shape (2, 3, 3)"),
    "lengths": ({"X": np.zeros((2, 3)), "y": np.zeros(4)}, "x0 2, x1 2, x2 2, y 4"),
    "complex": ({"x": np.ones(3, complex)}, "column x must hold numbers, row 1"),
    "dates": ({"x": np.array(["2020-01-01"], "M8[D]")}, "column x must hold numbers, row 1"),
    "no rows": ({"x": np.zeros(0)}, "holds no rows"),
    "no arrays": ({}, "holds no rows"),
}


@pytest.mark.parametrize("case", NPZ)
def test_wrong_npz(write, case):
    content, sentence = NPZ[case]
    source = write(content, "x.npz")
    with pytest.raises(DataError) as caught:
        data.load(data.Columns(source=source))
    assert sentence in str(caught.value)


def test_a_truncated_or_lone_array(write, tmp_path):
    source = write({"x": np.arange(1000.0)}, "x.npz")
    whole = pathlib.Path(source).read_bytes()
    for content in (whole[: len(whole) // 2], whole[:200] + b"\xff" * 100 + whole[300:]):
        with pytest.raises(DataError, match=r"is not an \.npz file"):
            data.load(data.Columns(source=write(content, "x.npz")))
    np.save(tmp_path / "lone.npy", np.zeros(3))
    (tmp_path / "lone.npy").rename(tmp_path / "lone.npz")
    with pytest.raises(DataError, match="it holds one array without a name"):
        data.load(data.Columns(source=str(tmp_path / "lone.npz")))


def test_wrong_parquet(write):
    with pytest.raises(DataError, match="is not Parquet"):
        data.load(data.Columns(source=write("a,b\n1,2\n", "x.parquet")))
    source = write({"a": [1, None, 3], "b": ["x", "y", "z"]}, "x.parquet")
    with pytest.raises(DataError, match="column a has 1 missing or infinite values"):
        data.load(data.Columns(source=source, columns=("a",)))
    with pytest.raises(DataError, match="column b must hold numbers, row 1 holds 'x'"):
        data.load(data.Columns(source=source, columns=("b",)))


def test_parquet_without_pyarrow(write, monkeypatch):
    source = write({"a": [1.0]}, "x.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'mastery-jax\[parquet\]'"):
        data.load(data.Columns(source=source))


def test_an_unreadable_file(write, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    source = write(ROWS)
    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        data.load(data.Samples(source=source))
