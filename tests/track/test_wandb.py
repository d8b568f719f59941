"""What Weights & Biases leaves offline: its file is a log of LevelDB's form, of its own records."""

import json
import math
import time

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from tests.track.rooms import feed

BLOCK, FULL, LAST = 32768, 1, 4


def records(path):
    """Return the records of a ``.wandb`` file, which another process writes."""
    deadline = time.monotonic() + 20
    while not any(record.HasField("exit") for record in read(path)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return read(path)


def read(path):
    content, at, found, body = path.read_bytes(), 7, [], b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        body += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (FULL, LAST):
            found.append(Record.FromString(body))
            body = b""
    return found


def key(item):
    return item.key or "/".join(item.nested_key)


def rows(found):
    histories = [r.history.item for r in found if r.WhichOneof("record_type") == "history"]
    return [{key(item): json.loads(item.value_json) for item in items} for items in histories]


@pytest.fixture
def offline(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_lanes_come_back(tmp_path, offline):
    folder = tmp_path / "toy" / "20261123-é"
    assert feed("wandb", folder, lanes=(0, 12), state="failed") == []
    _, path = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert path.name == "run-20261123-é-0012.wandb"
    found = records(path)
    kinds = {record.WhichOneof("record_type"): record for record in found}
    run = kinds["run"].run
    assert (run.project, run.run_group) == ("toy", folder.name)
    assert run.display_name == f"{folder.name}/0012"
    config = {key(each): each.value_json for each in run.config.update}
    assert json.loads(config["model.widths"]) == "[32,64]"
    logged = rows(found)
    assert [row["_step"] for row in logged] == [1, 2, 3, 4]
    losses = [1.0, math.nan, math.inf, 0.25]
    assert [row["loss"] for row in logged] == pytest.approx(losses, nan_ok=True)
    assert logged[3]["test/genauigkeit ü"] == 0.5
    assert kinds["exit"].exit.exit_code == 1


def test_a_resumed_run_has_the_same_id(tmp_path, offline, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    feed("wandb", tmp_path / "toy" / "x", state="interrupted")
    time.sleep(1)  # W&B names its folders by the second
    feed("wandb", tmp_path / "toy" / "x", rows=[{"step": 5, "loss": 0.1}], first=4)
    paths = tmp_path.glob("elsewhere/wandb/offline-run-*/run-x.wandb")
    assert sorted(row["_step"] for path in paths for row in rows(records(path))) == [1, 2, 3, 4, 5]


def test_disabled_means_nothing(tmp_path, offline, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert feed("wandb", tmp_path / "toy" / "x") == []
    assert not (tmp_path / "toy" / "x" / "wandb").exists()
