"""A run is the same with trackers and without, and they hear how it ended."""

import pytest

from mastery_jax.workflow import config, files, records, run, stops
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.track import mlflow, tensorboard
from tests.track.fakes import Fake, Sayings
from tests.track.test_tensorboard import scalars


class Progress(Sayings):
    """A progress line that only listens."""

    def start(self, *args, **options):
        pass

    update = finish = __exit__ = start

    def __enter__(self):
        return self


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 40\nevaluate_every: 10\nsave_every: 10\n")
    return path


def test_what_is_on_disk_is_in_the_tracker(toy, tmp_path):
    said = Progress()
    folder = run.run(config.load(toy), runs=tmp_path, progress=said, track=["tensorboard"])
    assert said.lines == []
    expected = [
        (row["step"], name, pytest.approx(value, nan_ok=True))
        for row in records.metrics(folder)
        for name, value in row.items()
        if name != "step"
    ]
    assert scalars(folder / "events") == expected


def test_a_tracker_hears_of_the_run(toy, tmp_path, monkeypatch):
    fake = Fake().replace(monkeypatch)
    folder = run.run(config.load(toy), runs=tmp_path, progress=Progress(), track=["tensorboard"])
    assert fake.whole.folder == folder.resolve()
    ((started, first),) = fake.of("start")
    assert (started["rate"], started["data.source"], first) == (0.1, "eight_schools", 0)
    assert fake.steps == list(range(1, 41))
    ((state, metrics),) = fake.of("finish")
    assert state == "finished"
    assert metrics["seen"] == 40
    assert {path.name for (path,) in fake.of("artifact")} >= {"loss.png", "test_loss.png"}


@pytest.mark.parametrize("fault", [{"fails": {"open": 1}}, {"fails": {"log": 1}}])
def test_a_run_does_not_mind_a_tracker_that_fails(toy, tmp_path, monkeypatch, fault):
    fake, said = Fake(**fault).replace(monkeypatch), Progress()
    Fake(**fault).replace(monkeypatch, mlflow)
    track = ["tensorboard", "mlflow"]
    folder = run.run(config.load(toy), runs=tmp_path, progress=said, track=track)
    assert records.status(folder)["state"] == "finished"
    assert len(records.metrics(folder)) == 40
    assert sorted(line.split()[1] for line in said.lines) == ["mlflow", "tensorboard"]
    assert fake.steps in ([], list(range(1, fake.steps[-1] + 1)) if fake.steps else [])


def test_an_interrupted_run_is_ended_and_resumed_in_its_trackers(toy, tmp_path, monkeypatch):
    fake = Fake().replace(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(stops.Interrupt, "__init__", lambda self: setattr(self, "asked", True))
        folder = run.run(
            config.load(toy), runs=tmp_path, progress=Progress(), track=["tensorboard"]
        )
    assert [state for state, _ in fake.of("finish")] == ["interrupted"]
    (last,) = fake.steps[-1:]
    assert 0 < last < 40
    run.resume(folder, progress=Progress())
    assert [first for _, first in fake.of("start")] == [0, last]
    assert fake.steps == list(range(1, 41))
    assert [state for state, _ in fake.of("finish")] == ["interrupted", "finished"]


def test_an_error_of_the_run_ends_it_as_failed(toy, tmp_path, monkeypatch):
    fake = Fake().replace(monkeypatch)

    def dies(folder, rows):
        raise ValueError("no")

    monkeypatch.setattr(files, "append_lines", dies)
    with pytest.raises(ValueError, match="no"):
        run.run(config.load(toy), runs=tmp_path, progress=Progress(), track=["tensorboard"])
    assert [state for state, _ in fake.of("finish")] == ["failed"]
    assert fake.of("close") == [("failed",)]


def test_a_loss_that_is_not_finite(toy, tmp_path, monkeypatch):
    fake = Fake().replace(monkeypatch)
    loaded = config.load(toy, ["rate=1e30"])
    run.run(loaded, runs=tmp_path, progress=Progress(), track=["tensorboard"])
    assert [state for state, _ in fake.of("finish")] == ["failed"]
    assert all("reason" not in row for (rows,) in fake.of("log") for row in rows)


def test_an_unknown_tracker_is_refused_before_anything(toy, tmp_path):
    with pytest.raises(ConfigError, match="no tracker is named ml-flow; did you mean mlflow"):
        run.run(config.load(toy), runs=tmp_path, progress=Progress(), track=["ml-flow"])
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_trackers_imports_none(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "open", None)
    said = Progress()
    folder = run.run(config.load(toy), runs=tmp_path, progress=said)
    assert said.lines == []
    assert not (folder / "events").exists()
