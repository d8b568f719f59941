"""MLflow: the server that ``MLFLOW_TRACKING_URI`` names, or ``mlflow.db`` beside the runs folder.

The experiment is the config's name. A sweep is a run whose lanes are nested in it. What MLflow
has of a run already is found by the tag ``mastery.id`` and not sent again. Its SQL stores hold an
infinity as the largest float; names lose the characters that it refuses.
"""

import logging
import os
import pathlib
import posixpath
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mastery_jax.workflow.track.tracker import Row, Scalar, Whole

__all__ = ["open"]

TAG = "mastery.id"
MOST_METRICS, MOST_PARAMS, LONGEST_VALUE = 1000, 100, 6000  # of one call, and of a param: MLflow's

_STATES = {"failed": "FAILED", "interrupted": "KILLED"}


def open(whole: Whole) -> "_Session":
    """Find or make the experiment; of a sweep, the run that holds its lanes."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would ask a server for settings
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # what it raises is said in a sentence
    beside = whole.folder.parents[2]
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside / 'mlflow.db'}"
    files = None if os.environ.get("MLFLOW_TRACKING_URI") else (beside / "mlartifacts").as_uri()
    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(whole.name)
    experiment = (
        known.experiment_id
        if known
        else client.create_experiment(whole.name, artifact_location=files)
    )
    return _Session(client, experiment, whole)


class _Session:
    def __init__(self, client: Any, experiment: str, whole: Whole):
        self._client, self._experiment, self._whole = client, experiment, whole
        self._parent = self._run(None, {})[0] if whole.is_sweep else None

    def lane(self, number: int | None) -> "_Lane":
        tags = {"mlflow.parentRunId": self._parent} if self._parent else {}
        return _Lane(self._client, *self._run(number, tags))

    def close(self, state: str) -> None:
        if self._parent:
            self._client.set_terminated(self._parent, _STATES.get(state, "FINISHED"))

    def _run(self, number: int | None, tags: dict[str, str]) -> tuple[str, bool]:
        """Return the id of a run, and whether it was there before."""
        label = self._whole.label(number)
        where = f"tags.`{TAG}` = '{label.replace(chr(39), '')}'"
        label = label.replace("'", "")
        found = self._client.search_runs([self._experiment], where, max_results=1)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id, True
        tags = tags | {TAG: label, "mlflow.source.type": "LOCAL"}
        made = self._client.create_run(self._experiment, tags=tags, run_name=label)
        return made.info.run_id, False


class _Lane:
    def __init__(self, client: Any, id: str, is_known: bool):
        self._client, self._id, self._is_known = client, id, is_known
        self._last: dict[str, int] = {}  # the last step that MLflow has of a metric

    def start(self, config: Mapping[str, Scalar], first: int) -> None:
        from mlflow.entities import Param

        if self._is_known:
            data = self._client.get_run(self._id).data
            for name in data.metrics:
                history = self._client.get_metric_history(self._id, name)
                self._last[name] = max(metric.step for metric in history)
            config = {name: x for name, x in config.items() if _name(name) not in data.params}
        params = [Param(_name(name), str(x)[:LONGEST_VALUE]) for name, x in config.items()]
        for some in _parts(params, MOST_PARAMS):
            self._client.log_batch(self._id, params=some)

    def log(self, rows: Sequence[Row]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = ((_name(name), value, row["step"]) for row in rows for name, value in row.items())
        metrics = [
            Metric(name, value, now, step)
            for name, value, step in values
            if name != "step" and step > self._last.get(name, -1)
        ]
        for some in _parts(metrics, MOST_METRICS):
            self._client.log_batch(self._id, metrics=some)

    def artifact(self, path: pathlib.Path) -> None:
        self._client.log_artifact(self._id, str(path))

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        self._client.set_tag(self._id, "mastery.state", state)
        self._client.set_terminated(self._id, _STATES.get(state, "FINISHED"))


def _name(name: str) -> str:
    """Return a name that MLflow takes: ``loss(β)`` becomes ``loss_β_``."""
    return posixpath.normpath(re.sub(r"[^\w./ :-]", "_", name)).lstrip("./") or "_"


def _parts(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    starts: Iterable[int] = range(0, len(items), most)
    return (items[start : start + most] for start in starts)
