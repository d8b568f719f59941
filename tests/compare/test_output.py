"""A comparison as CSV, JSON, text and pictures."""

import csv
import io

import msgspec
import pytest
import scipy.stats

from mastery_jax.workflow.compare import pictures, text
from mastery_jax.workflow.compare import table as compare
from mastery_jax.workflow.compare.estimates import estimate
from mastery_jax.workflow.compare.metrics import Metric
from tests.compare.known import RATES, VALUES, gather
from tests.folders import write_run, write_sweep


def test_csv_holds_every_digit(sweep):
    made = compare.table(gather(sweep))
    rows = list(csv.DictReader(io.StringIO(text.to_csv(made))))
    assert [float(row["optimizer.learning_rate"]) for row in rows] == RATES
    assert [row["test_accuracy_is_reference"] for row in rows] == ["false", "true", "false"]
    for row, expected in zip(rows, made.rows, strict=True):
        for part, value in expected.estimates["test_accuracy"]._asdict().items():
            assert float(row[f"test_accuracy_{part}"]) == value
    assert rows[1]["test_accuracy_difference_mean"] == ""
    assert float(rows[0]["test_accuracy_difference_low"]) < 0


def test_json_is_plain_and_has_null_for_what_is_not_there(tmp_path, sweep):
    run = write_run(tmp_path, "b", metrics={"test_accuracy": 0.5})
    made = compare.table(gather(sweep, run), metrics=["test_accuracy"])
    found = msgspec.json.decode(msgspec.json.encode(text.to_json(made)))
    assert found["metrics"] == {"test_accuracy": "max"}
    assert found["rows"][0]["estimates"]["test_accuracy"] == {
        "mean": 0.5, "low": None, "high": None, "n": 1,
    }  # fmt: skip
    assert found["rows"][2]["is_reference"] == ["test_accuracy"]
    assert found["rows"][2]["members"] == [f"{sweep.name}#{n}" for n in (4, 5, 6, 7)]
    assert list(found["rows"][2]["values"]["test_accuracy"].values()) == VALUES[1].tolist()


def test_the_table_on_a_terminal(sweep):
    shown = text.text(compare.table(gather(sweep), metrics=["test_accuracy"]))
    head, _, *rows = shown.splitlines()
    assert head.split() == ["optimizer.learning_rate", "seeds", "test_accuracy", "minus", "best"]
    assert [row.split()[:2] for row in rows[:3]] == [["0.001", "4"], ["0.01", "4"], ["0.1", "4"]]
    interval = scipy.stats.ttest_1samp(VALUES[0], 0).confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    assert f"{VALUES[0].mean():.4f} ± {half:.4f}" in rows[0]
    assert rows[1].endswith("best")
    assert "Student's t" in shown
    assert "paired by seed" in shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.97, 0.98, 0.96], "0.970 ± 0.025"),
        ([1200.0, 1300.0], "1250 ± 6.4e+02"),
        ([2.0, 2.0], "2 ± 0"),
        ([0.5], "0.5"),
        ([1e308, -1e308], "0 ± inf"),
        ([], "-"),
        ([3.2e-12, 3.1e-12], "3.15e-12 ± 6.4e-13"),
    ],
)
def test_an_interval_has_two_digits(values, shown):
    row = compare.Row(
        {}, ("a",), ("a",), 0, 0, {}, {"loss": estimate(values)}, {}, {}, is_front=False
    )
    made = compare.Table((), "seed", (Metric("loss", "min"),), (row,), {"loss": 0}, ())
    assert text.text(made).splitlines()[2].split(maxsplit=1)[1].strip() == shown


def test_pictures_of_a_comparison(tmp_path, sweep):
    compared = gather(sweep)
    made = compare.table(compared, metrics=["test_accuracy"])
    drawn = pictures.draw(made, compared, tmp_path / "plots" / "new")
    assert [file.name for file in drawn] == [
        "test_accuracy.png",
        "test_accuracy-by-optimizer.learning_rate.png",
    ]
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in drawn)


def test_pictures_hold_the_best_groups(tmp_path, monkeypatch):
    from mastery_jax.plots import curves, sweep

    swept = {"num_steps": list(range(1, 31)), "seed": [0]}
    measure = lambda num_steps, seed: {"test_accuracy": 1 / num_steps}  # noqa: E731
    compared = gather(write_sweep(tmp_path, "a", swept, measure))
    seen = {}
    monkeypatch.setattr(curves, "draw", lambda series, **_: seen.update(curves=series))
    monkeypatch.setattr(sweep, "draw", lambda series, **_: seen.update(sweep=series))
    pictures.draw(compare.table(compared), compared, tmp_path)
    assert list(seen["curves"]) == [f"num_steps={n}" for n in range(1, pictures.MOST + 1)]
    assert seen["curves"]["num_steps=2"] == ([0, 100], [[0.0, 0.5]])
    assert seen["sweep"] == {"": {n: [1 / n] for n in range(1, 31)}}
