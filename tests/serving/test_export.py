"""``mastery db export``: what was recorded comes back as it was asked, answered and judged."""

import csv

import click.testing
import numpy as np
import pytest

from mastery_jax import cli
from serving.store import export, maintenance
from tests.serving.recorded import fresh, judge
from tests.serving.served import ROWS, post, start


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
def url(request, tmp_path):
    """Give a database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'predictions.sqlite3'}"
    return fresh(request.getfixturevalue("postgres"))


def ask(client, rows, model="flower"):
    return post(client, "/predict/batch", {"features": rows.tolist(), "model_id": model}).json()


@pytest.fixture
def asked(published, url, monkeypatch):
    """Record requests of several sizes, and two truths."""
    monkeypatch.setattr(export, "CHUNK", 2)
    with start(published, store=url) as client:
        answers = [ask(client, rows) for rows in (ROWS[:1], ROWS[1:4], ROWS[4:9])]
        ask(client, ROWS[:2], "line")
        judge(client, answers[0]["prediction_id"], "red")
        judge(client, answers[2]["prediction_id"], "blue", row=4)
    return url, answers


def mastery(url, *words):
    command = ["db", "export", "--store", url, *map(str, words)]
    done = click.testing.CliRunner().invoke(cli.main, command)
    return done.exit_code, done.stdout, done.stderr


def test_arrays_come_back(asked, tmp_path, published):
    url, answers = asked
    out = tmp_path / "rows.npz"
    options = ["--model", "flower", "--out", out, "--models", published]
    assert mastery(url, *options) == (0, f"{out}: 9 rows, 2 of them with the truth\n", "")
    with np.load(out, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["inputs.features"], ROWS)
        for name in ("predictions", "probabilities"):
            said = np.concatenate([answer[name] for answer in answers])
            np.testing.assert_array_equal(found[f"outputs.{name}"], said.astype(np.float32))
        np.testing.assert_array_equal(found["truth"], [0, *[np.nan] * 7, 1])
        assert found["row"].tolist() == [0, 0, 1, 2, 0, 1, 2, 3, 4]
        assert found["prediction_id"][-1] == answers[2]["prediction_id"]
        assert set(found["version"]) == {1}
        assert found["names.inputs.features"].tolist() == ["a", "b", "c"]


def test_a_table_has_names(asked, tmp_path, published):
    url, _ = asked
    out = tmp_path / "rows.csv"
    assert mastery(url, "--model", "flower", "--out", out, "--models", published)[0] == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["a", "b", "c", "outputs.predictions", "outputs.probabilities[0]"]
    found = np.array([[row[name] for name in "abc"] for row in rows], np.float32)
    np.testing.assert_array_equal(found, ROWS)
    assert [row["truth"] for row in rows] == ["0.0", *[""] * 7, "1.0"]
    mastery(url, "--model", "flower", "--out", out, "--models", tmp_path)
    assert out.read_text().startswith("inputs.features[0],inputs.features[1],")


def test_a_feature_that_is_named_as_what_is_beside(asked, tmp_path):
    rows = export.read(asked[0], "flower")
    export.write(tmp_path / "rows.csv", rows, ("row", "b", "c"))
    assert (tmp_path / "rows.csv").read_text().startswith("inputs.features[0],")


def test_one_method_at_a_time(published, url, tmp_path):
    with start(published, store=url) as client:
        ask(client, ROWS)
        post(client, "/models/flower/predict", {"inputs": {"features": ROWS[:2].tolist()}})
    code, _, err = mastery(url, "--model", "flower", "--out", tmp_path / "rows.npz")
    assert code == 2
    assert "several of flower are recorded, say which: predict, predict_proba" in err
    rows = export.read(url, "flower", method="predict")
    assert (len(rows.truth), list(rows.outputs)) == (2, ["predictions"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "flowr"], "no prediction of flowr is recorded; did you mean flower?"),
        (["--model", "flower", "--method", "fly"], "by fly of flower is recorded, wanted predict_"),
        (["--model", "flower", "--version", "7"], "nothing of version 7 of flower is recorded"),
        (["--model", "flower", "--out", "rows.txt"], "--out is rows.txt, not a file with the end"),
        (["--model", "flower", "--out", "/proc/no/rows.npz"], "/proc/no"),
    ],
)
def test_what_is_wrong_is_said(asked, words, sentence, tmp_path):
    out = [] if "--out" in words else ["--out", tmp_path / "rows.npz"]
    code, _, err = mastery(asked[0], *words, *out)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_a_database_that_is_not_there(tmp_path):
    path = tmp_path / "none.sqlite3"
    code, _, err = mastery(f"sqlite:///{path}", "--model", "line", "--out", tmp_path / "rows.npz")
    assert (code, path.exists()) == (2, False)
    assert "none.sqlite3 is not there" in err
    maintenance.upgrade(f"sqlite:///{path}")
    _, _, err = mastery(f"sqlite:///{path}", "--model", "line", "--out", tmp_path / "rows.npz")
    assert "no prediction of line is recorded (models: none)" in err
