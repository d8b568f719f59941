"""MLflow without a server, asked by its own client."""

import math
import shutil

import pytest
from mlflow.tracking import MlflowClient

from mastery_jax.workflow.track import writer
from tests.track.fakes import Sayings
from tests.track.rooms import ROWS, feed


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A store with its tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}")
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, tables):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(tables, tmp_path / "mlflow.db")
    return tmp_path / "runs" / "toy" / "20261123-é"


@pytest.fixture
def client(tmp_path, folder):
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def runs(client):
    experiment = client.get_experiment_by_name("toy")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return {run.info.run_name: run for run in found}


def history(client, run, name):
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]


def test_a_run_comes_back_and_goes_on(folder, client):
    assert feed("mlflow", folder, state="interrupted") == []
    (run,) = runs(client).values()
    assert run.info.status == "KILLED"
    assert run.data.params["model.widths"] == "[32,64]"
    found = history(client, run, "loss")
    assert [step for step, _ in found] == [1, 2, 3, 4]
    assert math.isnan(found[1][1])
    assert found[2][1] > 1e308
    assert history(client, run, "test/genauigkeit ü") == [(4, 0.5)]
    more = [{"step": 3, "loss": 0.5}, {"step": 5, "loss(β)": 2.0, "loss": 0.125}]
    assert feed("mlflow", folder, rows=more, first=2) == []
    (run,) = runs(client).values()
    assert run.info.status == "FINISHED"
    assert [step for step, _ in history(client, run, "loss")] == [1, 2, 3, 4, 5]
    assert history(client, run, "loss_β_") == [(5, 2.0)]


def test_the_lanes_of_a_sweep_are_nested(folder, client, tmp_path):
    (tmp_path / "loss.png").write_bytes(b"picture")
    said = Sayings()
    with writer.open(["mlflow"], folder=folder, progress=said, is_sweep=True) as tracked:
        for number in (0, 1):
            lane = tracked.lane(number, {"seed": number})
            lane.log(ROWS)
            lane.artifact(tmp_path / "loss.png")
            lane.finish("failed" if number else "done", {})
    assert said.lines == []
    found = runs(client)
    assert sorted(found) == [folder.name, f"{folder.name}/0000", f"{folder.name}/0001"]
    parent, first, second = (found[name] for name in sorted(found))
    assert [run.info.status for run in (parent, first, second)] == [
        "FINISHED",
        "FINISHED",
        "FAILED",
    ]
    assert first.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert second.data.params == {"seed": "1"}
    assert (tmp_path / "mlartifacts" / second.info.run_id / "artifacts" / "loss.png").exists()


def test_another_store_is_used_where_the_environment_names_one(folder, tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").rename(tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert feed("mlflow", folder) == []
    assert not (tmp_path / "mlflow.db").exists()
    assert runs(MlflowClient(f"sqlite:///{tmp_path}/other.db"))


@pytest.mark.slow
def test_the_store_is_made(folder, tmp_path):
    assert feed("mlflow", tmp_path / "new" / "runs" / "toy" / "x") == []
    assert runs(MlflowClient(f"sqlite:///{tmp_path}/new/mlflow.db"))
