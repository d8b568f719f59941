"""What is measured reaches trackers in order, and no tracker can stop or hold up a run."""

import math
import sys
import threading
import time

import pytest

from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.track import mlflow, tracker, writer
from tests.track.fakes import Fake, Sayings


@pytest.fixture
def said():
    return Sayings()


@pytest.fixture
def opened(tmp_path, said):
    def opened(*names, **options):
        return writer.open(names, folder=tmp_path / "toy" / "x", progress=said, **options)

    return opened


def rows(*steps):
    return [{"step": step, "loss": step / 10} for step in steps]


def test_calls_arrive_in_order_on_one_thread_of_another(opened, said, tmp_path, monkeypatch):
    fake = Fake().replace(monkeypatch)
    with opened("tensorboard") as tracked:
        lane = tracked.lane(None, {"a": {"b": (1.5, 2)}, "c": None, "d": (32, 64)}, first=3)
        lane.log(rows(4, 5))
        lane.log(rows(6))
        lane.artifact(tmp_path / "loss.png")
        lane.finish("finished", {"acc": 0.5})
    assert [verb for verb, *_ in fake.calls] == [
        *("open", "start", "log", "log", "artifact", "finish", "close")
    ]
    assert fake.of("start") == [({"a.b.0": 1.5, "a.b.1": 2, "c": "null", "d": "[32,64]"}, 3)]
    assert fake.steps == [4, 5, 6]
    assert fake.of("finish") == [("finished", {"acc": 0.5})]
    assert fake.of("close") == [("finished",)]
    assert fake.whole == tracker.Whole(tmp_path / "toy" / "x", is_sweep=False)
    assert (fake.whole.name, fake.whole.id) == ("toy", "x")
    (thread,) = fake.threads
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
    assert said.lines == []


def test_no_names_cost_nothing(opened, said):
    before = threading.active_count()
    with opened() as tracked:
        lane = tracked.lane(0, {"a": 1})
        lane.log(rows(1))
        lane.finish("done", {})
        assert threading.active_count() == before
    assert said.lines == []


def test_only_numbers_are_logged(opened, monkeypatch):
    fake = Fake().replace(monkeypatch)
    with opened("tensorboard") as tracked:
        lane = tracked.lane(0, {})
        lane.log([{"step": 1, "loss": math.nan}, {"step": 1, "reason": "loss became nan"}])
        lane.log([{"step": 2, "stopped": "last of 4"}])
    ((logged,),) = fake.of("log")
    assert [list(row) for row in logged] == [["step", "loss"]]
    assert math.isnan(logged[0]["loss"])


def test_lanes_in_threads(opened, monkeypatch):
    fake = Fake().replace(monkeypatch)

    def work(number):
        lane = tracked.lane(number, {"seed": number})
        for step in range(1, 101):
            lane.log(rows(step))
        lane.finish("done", {})

    with opened("tensorboard", is_sweep=True) as tracked:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(8):
        found = [args[0][0]["step"] for verb, n, args in fake.calls if (verb, n) == ("log", number)]
        assert found == list(range(1, 101))


def test_an_unknown_name_is_refused(opened):
    with pytest.raises(ConfigError, match="no tracker is named tensorbord; did you mean tensorb"):
        tracker.check(["mlflow", "tensorbord"])
    with pytest.raises(ConfigError, match="there are: mlflow, tensorboard, trackio, wandb"):
        tracker.check(["aim"])
    assert tracker.check(["mlflow", "mlflow", "wandb"]) == ("mlflow", "wandb")
    with pytest.raises(ConfigError), opened("aim"):
        pass


@pytest.mark.parametrize(
    ("name", "package"),
    [("mlflow", "mlflow"), ("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("trackio",) * 2],
)
def test_a_missing_package_is_said_once(opened, said, monkeypatch, name, package):
    loaded = [each for each in sys.modules if each.partition(".")[0] == package]
    for each in {package, *loaded}:
        monkeypatch.setitem(sys.modules, each, None)
    with opened(name) as tracked:
        lane = tracked.lane(None, {})
        lane.log(rows(1))
        lane.finish("finished", {})
    (line,) = said.lines
    assert f"warning: {name} gets nothing: it needs {package}" in line
    assert f"pip install 'mastery-jax[{name}]'" in line
    assert set(tracked.problems) == {name}


@pytest.mark.parametrize(("verb", "count"), [("open", 1), ("start", 1), ("log", 3), ("finish", 1)])
def test_a_tracker_that_fails_is_given_up(opened, said, monkeypatch, verb, count):
    fake, sound = Fake(fails={verb: count}).replace(monkeypatch), Fake()
    sound.replace(monkeypatch, mlflow)
    with opened("tensorboard", "mlflow") as tracked:
        lane = tracked.lane(None, {})
        for step in range(1, 6):
            lane.log(rows(step))
            time.sleep(0.01)
        lane.finish("finished", {})
    (line,) = said.lines
    assert line.startswith("warning: tensorboard gets nothing more")
    assert f"ConnectionError: no answer to {verb}" in line
    assert f"mastery push {fake.whole.folder} --to tensorboard" in line
    assert sound.steps == [1, 2, 3, 4, 5]
    if verb == "log":
        assert fake.steps == [1, 2, 3]
        assert fake.of("finish") == [("failed", {})], "what was begun is ended"


@pytest.mark.parametrize("verb", ["open", "start", "log", "finish", "close"])
def test_a_tracker_that_hangs_is_left_after_a_while(opened, said, monkeypatch, verb):
    fake = Fake(hangs={verb: 1}).replace(monkeypatch)
    begun = time.monotonic()
    with opened("tensorboard", timeout=0.3) as tracked:
        lane = tracked.lane(None, {})
        lane.log(rows(1))
        lane.finish("finished", {})
        assert time.monotonic() - begun < 0.2
    assert 0.3 <= time.monotonic() - begun < 2
    assert [line for line in said.lines if "0.3 s" in line] == said.lines
    assert len(said.lines) == 1
    fake.release.set()


def test_a_tracker_that_hangs_takes_no_time_from_the_next(opened, said, monkeypatch):
    """All are asked to end before any is waited for."""
    hanging = Fake(hangs={"log": 1}).replace(monkeypatch, mlflow)
    sound = Fake().replace(monkeypatch)
    with opened("mlflow", "tensorboard", timeout=0.5) as tracked:
        lane = tracked.lane(None, {})
        lane.log(rows(1))
        lane.finish("finished", {})
    assert sound.of("close") == [("finished",)]
    (line,) = said.lines
    assert line.startswith("warning: mlflow did not take everything")
    hanging.release.set()


def test_who_waits_for_a_tracker_is_told(opened, said, monkeypatch):
    monkeypatch.setattr(writer, "SECONDS_TO_SAY", 0.01)
    hanging = Fake(hangs={"log": 1}).replace(monkeypatch)
    with opened("tensorboard", timeout=0.3) as tracked:
        tracked.lane(None, {}).log(rows(1))
    assert said.lines[0] == (
        "waiting for tensorboard to take everything (at most 0.3 s; Ctrl-C ends it)"
    )
    assert len(said.lines) == 2
    hanging.release.set()


def test_rows_are_dropped_and_counted_where_the_queue_is_full(opened, said, monkeypatch):
    fake = Fake(hangs={"log": 1}).replace(monkeypatch)
    with opened("tensorboard", most=4) as tracked:
        lane = tracked.lane(None, {})
        lane.log(rows(1))
        while not fake.of("log"):
            time.sleep(0.001)
        for step in range(2, 10):
            lane.log(rows(step))
        fake.release.set()
        lane.finish("finished", {})
    assert fake.steps == [1, 2, 3, 4]
    assert fake.of("finish") == [("finished", {})], "only rows are dropped"
    (line,) = said.lines
    assert line.startswith("warning: tensorboard was too slow for 5 rows")


def test_who_pushes_waits_for_room(opened, said, monkeypatch):
    fake = Fake().replace(monkeypatch)
    with opened("tensorboard", most=4, is_patient=True) as tracked:
        lane = tracked.lane(None, {})
        for step in range(0, 300, 3):
            lane.log(rows(step, step + 1, step + 2))
        lane.log(rows(*range(300, 310)))
    assert fake.steps == list(range(310))
    assert said.lines == []


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_what_is_open_is_ended_as_the_work_was(opened, monkeypatch, error, state):
    fake = Fake().replace(monkeypatch)

    def work():
        with opened("tensorboard", is_sweep=True) as tracked:
            tracked.lane(0, {}).finish("done", {})
            tracked.lane(1, {}).log(rows(1))
            raise error

    with pytest.raises(error):
        work()
    assert fake.of("finish") == [("done", {}), (state, {})]
    assert fake.of("close") == [(state,)]


def test_a_lane_that_was_left_was_interrupted(opened, monkeypatch):
    fake = Fake().replace(monkeypatch)
    with opened("tensorboard", is_sweep=True) as tracked:
        tracked.lane(0, {})
    assert fake.of("finish") == [("interrupted", {})]
    assert fake.of("close") == [("interrupted",)]


def test_ctrl_c_ends_the_waiting(opened, said, monkeypatch):
    fake = Fake(hangs={"log": 1}).replace(monkeypatch)
    join = threading.Thread.join

    def pressed(thread, timeout=None):
        if thread.name.startswith("track "):
            raise KeyboardInterrupt
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", pressed)
    with opened("tensorboard") as tracked:
        tracked.lane(None, {}).log(rows(1))
    (line,) = said.lines
    assert "mastery push" in line
    fake.release.set()
