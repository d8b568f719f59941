"""Trackio's database, read as what it is: SQLite."""

import json
import sqlite3

import pytest
from trackio import sqlite_storage

from tests.track.rooms import feed


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")

    def ask(question):
        with sqlite3.connect(tmp_path / "trackio" / "toy.db") as connection:
            found = connection.execute(question).fetchall()
        connection.close()
        return found

    return ask


def test_a_run_comes_back_and_goes_on(database, tmp_path):
    folder = tmp_path / "toy" / "20261123-é"
    assert feed("trackio", folder, state="interrupted") == []
    more = [{"step": step, "loss": 0.25} for step in (3, 4, 5)]
    assert feed("trackio", folder, rows=more, first=2, state="finished") == []
    found = database("select run_name, step, metrics from metrics order by id")
    assert [step for _, step, _ in found] == [1, 2, 3, 4, 5]
    assert {name for name, *_ in found} == {"20261123-é"}
    assert [json.loads(text)["loss"] for *_, text in found] == [1.0, "NaN", "Infinity", 0.25, 0.25]
    assert json.loads(found[3][2])["test/genauigkeit ü"] == 0.5
    ((config,),) = database("select config from configs")
    assert json.loads(config)["model.widths"] == "[32,64]"
    assert json.loads(config)["state"] == "finished"


def test_lanes_are_a_group(database, tmp_path):
    assert feed("trackio", tmp_path / "toy" / "x", lanes=(0, 12), state="failed") == []
    found = database("select run_name, config from configs order by run_name")
    assert [name for name, _ in found] == ["x/0000", "x/0012"]
    configs = [json.loads(config) for _, config in found]
    assert [(config["_Group"], config["seed"], config["state"]) for config in configs] == [
        ("x", 0, "failed"),
        ("x", 12, "failed"),
    ]


def test_a_lane_without_rows_is_there(database, tmp_path):
    assert feed("trackio", tmp_path / "toy" / "x", lanes=(0,), rows=[], state="failed") == []
    assert database("select run_name from configs") == [("x/0000",)]
