"""What is compared: lanes from tables and records, drawn points, single lanes, large sweeps."""

import os

import pytest

from mastery_jax.workflow import records
from mastery_jax.workflow.compare import gaps, lanes, members
from mastery_jax.workflow.compare import table as compare
from mastery_jax.workflow.errors import RunError
from tests.compare.known import gather
from tests.folders import line, write_run, write_sweep


def measure(**fields):
    return {"test_accuracy": 0.5}


def test_lanes_may_change_different_fields(tmp_path):
    points = [
        {"optimizer.learning_rate": 0.25},
        {"model": {"kind": "cnn", "channels": [1.0, 2.0]}, "model.channels": None, "seed": 3},
        {"optimizer": {"kind": "sgd", "betas": [0.5]}, "optimizer.betas": [0.1, 0.2]},
        {},
    ]
    swept = {"optimizer.learning_rate": ["loguniform(1e-3,1)"]}
    folder = write_sweep(tmp_path, "a", swept, measure, points=points, search={"metrics": []})
    first, second, third, last = (member.fields for member in gather(folder))
    assert first["optimizer.learning_rate"] == 0.25
    assert last["optimizer.learning_rate"] == 1e-5
    assert {k: v for k, v in second.items() if k.startswith("model")} == {
        "model.kind": "cnn", "model.channels": None,
    }  # fmt: skip
    assert (second["seed"], first["seed"]) == (3, 0)
    assert {k: v for k, v in third.items() if k.startswith("optimizer")} == {
        "optimizer.kind": "sgd", "optimizer.betas.0": 0.1, "optimizer.betas.1": 0.2,
    }  # fmt: skip
    assert not any(path.startswith("search") for path in first)
    assert [member.metrics for member in gather(folder)] == [{"test_accuracy": 0.5}] * 4


def test_a_lane_is_a_source(tmp_path, sweep):
    runs = sweep.parents[1]
    run = write_run(runs, "20261124-091300-0123ab")
    named = [f"{sweep.name}#7", "sweep-0123ab#007", f"{sweep}#2", run.name]
    found = members.gather([members.find(name, runs) for name in named])
    assert [m.label for m in found] == [f"{sweep.name}#7", f"{sweep.name}#2", run.name]
    for source, message in (
        (f"{run.name}#0", "0123ab is a run, which has no lanes"),
        ("sweep-0123ab#12", f"{sweep.name} has no lane 12 that is over: 12 are"),
        ("sweep-0123ab#x", "sweep-0123ab#x is not a folder of a run"),
    ):
        with pytest.raises(RunError, match=message):
            members.gather([members.find(source, runs)])


def test_records_are_read_once_as_long_as_they_stay(tmp_path, monkeypatch):
    folder = write_sweep(tmp_path, "a", {"seed": [0, 1, 2]}, measure)
    (folder / "lanes.csv").unlink()
    (folder / "lanes" / "0002.jsonl").unlink()
    seen, whole = [], lanes._of_record
    monkeypatch.setattr(lanes, "_of_record", lambda path: seen.append(path.stem) or whole(path))
    memory = lanes.Memory()
    assert len(lanes.read(folder, memory, is_over=False)) == 2
    rows = [{"lane": 2, "fields": {"seed": 2}}, {"step": 9, "test_accuracy": 1.0, "reason": "nan"}]
    (folder / "lanes" / "0002.jsonl").write_text("".join(map(line, rows)))
    os.utime(folder / "lanes" / "0001.jsonl", (1, 1))
    (folder / "lanes" / "0003.jsonl").write_text("")
    found = lanes.read(folder, memory, is_over=False)
    assert seen == ["0000", "0001", "0001", "0002"], "no record that is not sound"
    assert found[2] == lanes.Lane(2, "failed", {"seed": 2}, {"test_accuracy": 1.0})
    assert len(found) == 3


def test_damage_is_one_sentence(tmp_path):
    folder = write_sweep(tmp_path, "a", {"seed": [0, 1]}, measure)
    (folder / "lanes.csv").write_text("lane,state\n1")
    assert [m.state for m in gather(folder)] == ["done", "done"], "from the records"
    (folder / "lanes.csv").unlink()
    record = folder / "lanes" / "0001.jsonl"
    head, *rows = record.read_text().splitlines()
    for text, message in (
        (f"{head}\nx\n{rows[1]}\n", "is damaged: a line is no object with a step"),
        ("\n".join(rows) + "\n", "is damaged: its first line does not name its lane"),
    ):
        record.write_text(text)
        assert [m.label for m in gather(folder)] == ["a#0"]
        (note,) = gaps.notes([records.read(folder)])
        assert message in note
    record.write_text(f'{head}\n{{"step":}}\n{rows[1]}\n')
    with pytest.raises(RunError, match="line 2 is damaged"):
        gather(folder)


def test_ten_thousand_groups_are_compared(tmp_path):
    drawn = [{"optimizer.learning_rate": 1 / (n + 1), "seed": 0} for n in range(10_000)]
    member = members.Member("", "done", {}, {}, tmp_path)
    found = [
        member._replace(
            label=f"a#{n}", fields={"run": f"a#{n}"} | point, metrics={"loss": n, "nll": -n}
        )
        for n, point in enumerate(drawn)
    ]
    made = compare.table(found, best="loss:min", objectives=["loss:min", "nll:min"])
    assert len(made.front) == len(made.rows) == 10_000
