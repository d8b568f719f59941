"""The table of a sweep can always be made from the records of its lanes."""

import math

import pytest

from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.sweep import store

ROWS = [{"step": 5, "loss": 0.5}, {"step": 9, "loss": 0.25, "test_loss": 0.75}]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lanes").mkdir()
    points = [{"rate": 0.1, "widths": (64, 64)}, {"rate": 0.2, "widths": (8,)}, {"rate": 1e30}]
    store.write_points(tmp_path, points)
    store.write_lane(tmp_path, 0, points[0], ROWS)
    store.write_lane(tmp_path, 1, points[1], [*ROWS, {"step": 9, "stopped": "halving"}])
    failed = [ROWS[0], {"step": 7, "loss": math.nan}, {"step": 7, "reason": "loss became nan"}]
    store.write_lane(tmp_path, 2, points[2], failed)
    store.write_table(tmp_path)
    return tmp_path


def test_the_table_is_what_the_records_say(folder):
    first, second, third = store.lanes(folder)
    last = {"step": 9, "loss": 0.25, "test_loss": 0.75}
    assert first == {"lane": 0, "state": "done", "rate": 0.1, "widths": "[64,64]"} | last
    assert second == {"lane": 1, "state": "stopped", "rate": 0.2, "widths": "[8]"} | last
    assert (third["state"], third["step"]) == ("failed", 7)
    assert math.isnan(third["loss"])
    assert math.isnan(third["test_loss"])
    assert store.points(folder)[1] == {"rate": 0.2, "widths": [8]}


@pytest.mark.parametrize("text", [None, "", "lane,state\n0,done\n1\n", "\0", "step\n1\n"])
def test_a_damaged_table_is_read_from_the_records(folder, text):
    (folder / "lanes.csv").unlink()
    if text is not None:
        (folder / "lanes.csv").write_text(text)
    states = [(lane["lane"], lane["state"], lane["step"]) for lane in store.lanes(folder)]
    assert states == [(0, "done", 9), (1, "stopped", 9), (2, "failed", 7)]
    assert [lane["rate"] for lane in store.lanes(folder)] == [0.1, 0.2, 1e30]


@pytest.mark.parametrize("content", [None, b"", b'{"lane": 0}\n', b"\xff\n"])
def test_damaged_points_are_read_from_the_records(folder, content):
    (folder / "points.jsonl").unlink()
    if content is not None:
        (folder / "points.jsonl").write_bytes(content)
    assert store.points(folder)[2] == {"rate": 1e30}
    assert list(store.points(folder)) == [0, 1, 2]


@pytest.mark.parametrize("length", range(1, 40, 6))
def test_a_line_of_points_that_was_cut_off_is_left_out(folder, length):
    store.append_points(folder, {3: {"rate": 0.3}, 7: {"rate": 0.7}})
    assert list(store.points(folder)) == [0, 1, 2, 3, 7]
    path = folder / "points.jsonl"
    path.write_bytes(path.read_bytes()[:-length])
    kept = [0, 1, 2, 3] if length < 33 else [0, 1, 2]
    assert list(store.points(folder)) == kept
    store.write_points(folder, store.points(folder))
    store.append_points(folder, {9: {"rate": 0.9}})
    assert list(store.points(folder)) == [*kept, 9]


def test_a_record_that_names_no_lane_is_damaged(folder):
    (folder / "lanes.csv").unlink()
    (folder / "lanes" / "0001.jsonl").write_text('{"step":1}\n')
    with pytest.raises(RunError, match=r"0001\.jsonl, line 1 is damaged: it does not name its"):
        store.lanes(folder)


def test_cells_have_numbers_and_text(tmp_path):
    (tmp_path / "lanes.csv").write_text(
        'lane,state,model.kind,widths,loss\n0,done,mlp,"[64,64]",1e-05\n1,nan,cnn,-,\n'
    )
    first, second = store.lanes(tmp_path)
    assert first == {
        "lane": 0, "state": "done", "model.kind": "mlp", "widths": "[64,64]", "loss": 1e-5,
    }  # fmt: skip
    assert second["state"] == "nan"
    assert math.isnan(second["loss"])
