"""Following a sweep that runs: frames, what is read, and when it ends."""

import contextlib
import io
import json

import pytest

from mastery_jax.workflow import files, records
from mastery_jax.workflow.compare import lanes, members, table, watch
from mastery_jax.workflow.errors import RunError
from tests.folders import line, write_sweep

RATES = [0.25, 0.5, 0.75]


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A sweep of three lanes of which none is over; ``over(n)`` ends one."""
    measure = lambda learning_rate, seed: {"test_accuracy": learning_rate}  # noqa: E731
    swept = {"optimizer.learning_rate": RATES, "seed": [0]}
    folder = write_sweep(tmp_path, "a", swept, measure, state="running")
    kept = {path.name: path.read_text() for path in sorted((folder / "lanes").glob("*"))}
    for name in kept:
        (folder / "lanes" / name).unlink()

    def over(number, *rows):
        name = f"{number:04d}.jsonl"
        text = (
            kept[name] if not rows else kept[name].splitlines()[0] + "\n" + "".join(map(line, rows))
        )
        (folder / "lanes" / name).write_text(text)

    def end(state="finished"):
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps(status | {"state": state}))

    with files.lock(folder):
        yield folder, over, end


class Terminal(io.StringIO):
    def isatty(self):
        return True


def follow(folder, steps, stream):
    """Watch; every sleep does the next step. Return what was written, and how it ended."""
    steps = iter(steps)
    sources = [(records.read(folder), None)]
    ended = watch.watch(
        sources,
        table.table,
        seconds=1,
        stream=stream,
        sleep=lambda _: next(steps)(),
    )
    return stream.getvalue(), ended


def test_lines_in_a_pipe(running):
    folder, over, end = running
    steps = [
        lambda: over(1),
        lambda: None,
        lambda: over(2, {"step": 9, "test_accuracy": 1.0, "stopped": "halving"}),
        lambda: over(0, {"step": 9, "reason": "loss became nan"}),
        lambda: end("failed"),
    ]
    text, ended = follow(folder, steps, io.StringIO())
    assert text.splitlines() == [
        "0/3 over: 3 running or waiting; there is nothing to compare: the sweep has no lanes yet",
        "1/3 over: 1 done, 2 running or waiting; best test_accuracy 0.5",
        "2/3 over: 1 done, 1 stopped, 1 running or waiting; "
        "best test_accuracy 0.5 at optimizer.learning_rate 0.5",
        "3/3 over: 1 done, 1 failed, 1 stopped; "
        "best test_accuracy 0.5 at optimizer.learning_rate 0.5",
    ]
    assert ended[0][0].state == "failed"


def test_frames_on_a_terminal(running):
    folder, over, end = running
    steps = [lambda: over(0), lambda: over(1), end]
    text, _ = follow(folder, steps, Terminal())
    _, second, third, last = text.split("\r\x1b[J")[1:]
    assert second.startswith("1/3 over: 1 done")
    assert "optimizer.learning_rate" in third
    assert third.splitlines()[2].split()[0] == "optimizer.learning_rate"
    assert text.endswith("\r\x1b[J")
    assert last == ""
    assert third.endswith(f"\x1b[{watch._height(third.rpartition(chr(27))[0])}A")


def test_height_counts_what_a_terminal_folds(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    assert watch._height("") == 0
    assert watch._height(f"a\n\n{'b' * 21}\n\x1b[1m{'c' * 10}\x1b[0m") == 6


def test_records_that_stay_are_not_read_again(running, monkeypatch):
    folder, over, end = running
    seen, whole = [], lanes._of_record
    monkeypatch.setattr(lanes, "_of_record", lambda path: seen.append(path.stem) or whole(path))
    follow(folder, [lambda: over(0), lambda: over(1), lambda: None, end], io.StringIO())
    assert seen == ["0000", "0001"]


def test_what_has_ended_is_not_watched(running):
    folder, _, end = running
    end("interrupted")
    text, ended = follow(folder, [], io.StringIO())
    assert (text, ended[0][0].state) == ("", "interrupted")


def test_a_driver_that_dies_ends_it(tmp_path):
    folder = write_sweep(tmp_path, "a", {"seed": [0]}, lambda seed: {"loss": 0.5}, state="running")
    with contextlib.ExitStack() as held:
        held.enter_context(files.lock(folder))
        text, ended = follow(folder, [held.close], io.StringIO())
    assert text == "1/1 over: 1 done; best loss 0.5\n"
    assert ended[0][0].state == "killed"


def test_a_table_of_an_interruption_before_does_not_hide_what_is_new(running):
    folder, over, _ = running
    assert (folder / "lanes.csv").is_file()
    over(1)
    run = records.read(folder)
    assert [m.label for m in members.members(run)] == ["a#1"]


def test_damage_ends_it_with_a_sentence(running):
    folder, over, _ = running
    over(0)
    path = folder / "lanes" / "0000.jsonl"
    path.write_text(path.read_text().replace('{"step":0', '{"step":'))
    with pytest.raises(RunError, match="line 2 is damaged"):
        follow(folder, [], io.StringIO())
