"""Pictures of several fields at once: which are drawn, where lines and cells stand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastery_jax.plots import heat, parallel, style
from mastery_jax.workflow.compare import pairs, pictures
from mastery_jax.workflow.compare import table as compare
from tests.compare.known import gather
from tests.folders import write_sweep

SWEPT = {
    "optimizer.learning_rate": [1e-4, 1e-3, 1e-2],
    "model.dropout": [0.0, 0.5],
    "optimizer.kind": ["sgd", "adamw"],
    "seed": [0, 1],
}


def measure(learning_rate, dropout, kind, seed):
    best = {"test_accuracy": 1 + math.log10(learning_rate) / 10 - dropout / 100 + seed / 50}
    return None if kind == "sgd" and dropout else best


def test_several_fields_are_drawn_at_once(tmp_path):
    compared = gather(write_sweep(tmp_path, "a", SWEPT, measure))
    made = compare.table(compared)
    drawn = pictures.draw(made, compared, tmp_path / "plots")
    assert [file.name for file in drawn[-4:]] == [
        "parallel.png",
        "test_accuracy-optimizer.learning_rate-by-model.dropout.png",
        "test_accuracy-optimizer.learning_rate-by-optimizer.kind.png",
        "test_accuracy-model.dropout-by-optimizer.kind.png",
    ]
    for file in drawn:
        assert file.read_bytes()[:4] == b"\x89PNG"
        assert file.stat().st_size < 60_000


def test_what_is_handed_to_the_pictures(tmp_path, monkeypatch):
    lines, cells = {}, []
    monkeypatch.setattr(parallel, "draw", lambda columns, **given: lines.update(columns))
    monkeypatch.setattr(heat, "draw", lambda means, **given: cells.append((means, given)))
    monkeypatch.setattr(pictures, "PAIRS", 2)
    monkeypatch.setattr(pictures, "LINES", 4)
    compared = gather(write_sweep(tmp_path, "a", SWEPT, measure))
    pictures.draw(compare.table(compared, best="test_accuracy:min"), compared, tmp_path)
    assert list(lines) == [*list(SWEPT)[:3], "test_accuracy"]
    assert lines["optimizer.learning_rate"] == [1e-4, 1e-4, 1e-4, 1e-3]
    assert lines["test_accuracy"] == sorted(lines["test_accuracy"])
    assert len(cells) == 2
    means, given = cells[0]
    assert given["mode"] == "min"
    assert given["note"] == "2 of 3 pairs: the widest spread"
    assert (given["x"], given["y"]) == ("model.dropout", "optimizer.learning_rate")
    assert given["xs"] == ("0", "0.5")
    assert given["ys"] == ("0.0001", "0.001", "0.01")
    np.testing.assert_allclose(means, [[0.61, 0.605], [0.71, 0.705], [0.81, 0.805]])


fields = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), min_size=3, max_size=3)


@given(st.lists(st.tuples(fields, st.floats(-1, 1) | st.just(math.nan)), min_size=1, max_size=12))
def test_cells_are_means_over_the_other_fields(groups):
    columns = {name: [found[name] for found, _ in groups] for name in "abc"}
    values = [value for _, value in groups]
    found = pairs.pairs(columns, values)
    assert [p.spread for p in found] == sorted((p.spread for p in found), reverse=True)
    for pair in found:
        for i, y in enumerate(pair.ys):
            for j, x in enumerate(pair.xs):
                inside = [
                    v for f, v in groups if (str(f[pair.x]), str(f[pair.y])) == (x, y) and v == v
                ]
                assert pair.means[i][j] == pytest.approx(
                    np.mean(inside) if inside else math.nan, nan_ok=True, abs=1e-12
                )


def test_levels():
    assert pairs.levels([0.1, 0.001, 0.1]) == ([1, 0, 1], ("0.001", "0.1"))
    assert pairs.levels(["b", "a", None]) == ([0, 1, 2], ("b", "a", "null"))
    assert pairs.levels([1.00001, 1.00002])[1] == ("1.00001", "1.00002")
    assert pairs.levels([f"word{n}" for n in range(30)]) is None
    at, names = pairs.levels([10 ** (-k / 10) for k in range(41)], True)
    assert at == sorted(at, reverse=True)
    assert (at[0], at[-1], len(names)) == (9, 0, 10)
    assert float(names[0]) == pytest.approx(10**-3.8, rel=0.01)


def test_axes_of_parallel_coordinates():
    wide = parallel.axis([1e-4, 1e-2, 1e-3])
    assert wide.places == pytest.approx((0, 1, 0.5))
    assert list(wide.ticks.values()) == ["0.0001", "0.001", "0.01"]
    assert parallel.axis([0, 1, 4]).places == (0, 0.25, 1)
    assert parallel.axis([3, 3]).places == (0.5, 0.5)
    words = parallel.axis(["sgd", "adamw", True, "sgd"])
    assert words.places == (0, 0.5, 1, 0)
    missing = parallel.axis([1.0, None, 2.0])
    assert missing.places[1] < 0
    assert missing.ticks[missing.places[1]] == "none"
    many = parallel.axis([float(k) for k in range(101)])
    assert list(many.ticks.values()) == ["0", "25", "50", "75", "100"]
    near = parallel.axis([0, 1, 100])
    assert list(near.ticks.values()) == ["0", "100"]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_cells_are_labeled_where_they_are_few_and_brighter_where_they_are_better(
    tmp_path, monkeypatch, mode
):
    kept, save = [], style.save
    keep = lambda plane, *x, **y: kept.append(plane) or save(plane, *x, **y)  # noqa: E731
    monkeypatch.setattr(style, "save", keep)
    of = {"x": "rate", "y": "kind", "metric": "test_accuracy", "mode": mode}
    cells = [[0.5, math.nan], [0.25, math.inf]]
    heat.draw(cells, xs=("1", "2"), ys=("a", "b"), file=tmp_path / "a.png", **of)
    assert [text.get_text() for text in kept[0].texts] == ["0.5", "0.25"]
    (image,) = kept[0].images
    light = [sum(image.to_rgba(x)[:3]) for x in (0.5, 0.25)]
    assert (light[0] > light[1]) == (mode == "max")
    names = tuple(map(str, range(20)))
    heat.draw([[1.0] * 20] * 20, xs=names, ys=names, file=tmp_path / "b.png", **of)
    assert not kept[1].texts


def test_many_lines_are_a_small_file(tmp_path):
    rows = np.random.default_rng(0).random((9, 300)).tolist()
    columns = dict(zip("abcdefghi", rows, strict=True))
    file = parallel.draw(columns, metric="i", mode="max", file=tmp_path / "a.png")
    assert file.stat().st_size < 60_000
