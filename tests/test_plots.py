"""Pictures: the right numbers at the right places, on the right axes."""

import math
import subprocess
import sys

import numpy as np
import pytest

from mastery_jax.plots import curves, style, sweep


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw and return the axes; the PNG is written too."""
    kept = {}
    save = style.save

    def keep(plane, file, **options):
        kept.update(plane=plane, options=options)
        return save(plane, file, **options)

    monkeypatch.setattr(style, "save", keep)

    def draw(module, series, **options):
        file = module.draw(series, file=tmp_path / "new" / "x.png", **options)
        assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert file.stat().st_size > 5000
        return kept["plane"]

    return draw


def test_one_curve(drawn):
    plane = drawn(curves, {"a": ([1, 2, 3], [0.5, math.nan, 0.9])}, metric="test_accuracy")
    (line,) = plane.lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [0.5, math.nan, 0.9])
    assert plane.get_title(loc="left") == "test accuracy over steps"
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("steps", "test accuracy (fraction)")
    assert plane.get_yscale() == "linear"
    assert plane.figure.legends == [], "one line needs no legend"


def test_curves_of_repeated_runs(drawn):
    values = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 8.0]])
    series = {"a": ([0, 5, 9], values), "b": ([0, 5, 9], values + 1)}
    plane = drawn(curves, series, metric="loss")
    np.testing.assert_array_equal(plane.lines[0].get_ydata(), [2.0, 2.0, 5.5])
    corners = plane.collections[0].get_paths()[0].vertices
    assert {(0.0, 1.0), (0.0, 3.0), (9.0, 3.0), (9.0, 8.0)} <= set(map(tuple, corners))
    assert [text.get_text() for text in plane.figure.legends[0].get_texts()] == ["a", "b"]
    assert plane.lines[0].get_color() != plane.lines[1].get_color()
    assert "mean over runs" in plane.get_title(loc="right")


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1.0, 0.01], "log"), ([1.0, 0.02], "linear"), ([1.0, 0.0], "linear"), ([1.0, -5], "linear")],
)
def test_two_decades_are_logarithmic(drawn, values, scale):
    plane = drawn(curves, {"a": ([1, 2], values)}, metric="loss")
    assert plane.get_yscale() == scale


def test_what_cannot_be_drawn_is_a_gap(drawn):
    values = [1.0, math.inf, -1e308, 0.001, math.nan]
    plane = drawn(curves, {"a": (range(5), values)}, metric="loss")
    np.testing.assert_array_equal(
        plane.lines[0].get_ydata(), [1.0, math.nan, math.nan, 0.001, math.nan]
    )
    assert plane.get_yscale() == "log"


def test_a_numeric_field(drawn):
    series = {"": {0.1: [0.5, 0.7], 0.001: [0.2, 0.4, math.nan]}}
    plane = drawn(sweep, series, field="optimizer.learning_rate", metric="test_rmse")
    seeds, means = plane.lines
    np.testing.assert_allclose(means.get_xydata(), [[0.001, 0.3], [0.1, 0.6]])
    assert len(seeds.get_xdata()) == 4, "every seed but the NaN"
    assert plane.get_xscale() == "log"
    assert {text.get_text() for text in plane.get_xticklabels()} == {"0.1", "0.001"}
    assert plane.get_xlabel() == "optimizer.learning_rate"
    assert plane.get_ylabel() == "test rmse (unit of y)"
    assert plane.get_title(loc="left") == "test rmse by optimizer.learning_rate"


def test_a_narrow_numeric_field_is_linear(drawn):
    plane = drawn(sweep, {"": {8: [0.1], 16: [0.2]}}, field="batch_size", metric="loss")
    assert plane.get_xscale() == "linear"
    (means,) = plane.lines
    np.testing.assert_array_equal(means.get_xydata(), [[8, 0.1], [16, 0.2]])
    assert plane.get_title(loc="right") == "", "one seed: there are no points to explain"


@pytest.mark.parametrize("values", [["adam", "sgd"], [True, False], [None, 3], [(8, 8), (16,)]])
def test_other_fields_stand_side_by_side(drawn, values):
    series = {name: {v: [0.1, 0.3] for v in values} for name in ("a", "b")}
    plane = drawn(sweep, series, field="optimizer.kind", metric="loss")
    assert [text.get_text() for text in plane.get_xticklabels()] == [str(v) for v in values]
    means = [line for line in plane.lines if not line.get_label().startswith("_")]
    assert [line.get_linestyle() for line in means] == ["None", "None"], "no line between names"
    first, second = (line.get_xdata() for line in means)
    assert (first < second).all(), "series do not cover each other"
    np.testing.assert_allclose((first + second) / 2, [0, 1], atol=1e-12)


def test_nothing_finite_is_drawn_as_nothing(drawn):
    plane = drawn(sweep, {"": {1: [math.nan], 2: []}}, field="width", metric="loss")
    assert [len(line.get_xdata()) for line in plane.lines] == [0]


def test_looks_do_not_repeat():
    assert len({style.look(i) for i in range(28)}) == 28


def test_nothing_global_is_set(tmp_path):
    program = (
        "import sys, pathlib, matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "from mastery_jax.plots import curves\n"
        "curves.draw({'a': ([1, 2], [1, 2])}, metric='loss', file=pathlib.Path(sys.argv[1]))\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'jax' not in sys.modules\n"
    )
    file = tmp_path / "x.png"
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(file)], check=True)
    assert file.exists()
