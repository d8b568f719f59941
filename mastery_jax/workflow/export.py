"""From a run, or from the best lane of a sweep, to a published artefact."""

import math
import pathlib
from typing import Any

from mastery_jax.workflow import checkpoint, config, files, publish, records, run, sweep
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress

__all__ = ["export", "materialize"]


def export(
    source: pathlib.Path,
    *,
    name: str,
    models: pathlib.Path,
    best: str | None = None,
    progress: Progress,
) -> pathlib.Path:
    """Publish ``models/<name>/<next version>`` from a run or a sweep.

    Args:
        source: The folder of a run or of a sweep.
        name: The name under which the model will be served.
        models: Where models are kept.
        best: ``METRIC:max`` or ``METRIC:min``. Of a sweep: which lane; it is run again as a run of
            its own, to the same bits under ``loop``. Of a run: its best checkpoint, not its last.
        progress: Where to say how far it is.

    Raises:
        UserError: the source is not finished, or has nothing that can be served.
    """
    if (source / "sweep.yaml").is_file():
        if best is None:
            raise RunError(f"{source} is a sweep: say which lane with --best METRIC:max or :min")
        return export(
            materialize(source, _best_lane(source, best), progress=progress),
            name=name,
            models=models,
            progress=progress,
        )
    status = records.status(source)
    if status["state"] != "finished":
        raise RunError(f"{source} is {status['state']}, not finished: mastery resume {source}")
    step, metrics = status["step"], status["metrics"]
    if best is not None:
        step, metrics = _best_step(source, status, best)
    loaded = config.load(source / "config.yaml")
    prepared = run.ready(loaded)
    state = checkpoint.restore(source, step, prepared.program.state)
    train = prepared.dataset.arrays.get("train", {})
    environment = files.read_json(source / "environment.json")
    return publish.publish(
        models,
        name,
        experiment=prepared.functions.experiment(prepared.lane),
        state=state,
        data=prepared.data,
        task=loaded.experiment.rpartition(".")[2],
        features=prepared.dataset.features,
        classes=prepared.dataset.classes,
        metrics=metrics,
        reference={"features": train["X"]} if "X" in train else None,
        provenance={
            "run": str(source),
            "step": step,
            "config": config.flatten(loaded.value),
            "git": environment["git"],
            "packages": environment["packages"],
        },
    )


def _split(best: str) -> tuple[str, int]:
    metric, _, mode = best.partition(":")
    if mode not in ("min", "max") or not metric:
        raise RunError(f"--best is {best!r}, not METRIC:max or METRIC:min")
    return metric, 1 if mode == "max" else -1


def _best_step(
    source: pathlib.Path, status: dict[str, Any], best: str
) -> tuple[int, dict[str, Any]]:
    """Return the kept best checkpoint's step, and what was measured there."""
    kept = status.get("best")
    wanted = config.load(source / "config.yaml").value.best
    if kept is None or wanted != best:
        raise RunError(
            f"{source} kept no best checkpoint by {best}: run it with best={best} and "
            f"evaluate_every=N, or leave --best away to export its last step"
        )
    rows = [row for row in records.metrics(source) if row["step"] == kept["step"]]
    measured = {k: v for row in rows for k, v in row.items() if k in status["metrics"]}
    return kept["step"], measured


def _best_lane(source: pathlib.Path, best: str) -> int:
    """Return the number of the finished lane whose final metric is best; ties: the first."""
    metric, sign = _split(best)
    lanes = [lane for lane in records.lanes(source) if lane["state"] == "done"]
    if not lanes:
        raise RunError(f"{source} has no finished lane")
    if metric not in lanes[0]:
        known = ", ".join(k for k in lanes[0] if k not in ("lane", "state"))
        raise RunError(f"--best: {metric} is not in the table of {source}; there is {known}")
    scored = [lane for lane in lanes if math.isfinite(float(lane[metric]))]
    return int(max(scored, key=lambda lane: sign * float(lane[metric]))["lane"])


def materialize(source: pathlib.Path, number: int, *, progress: Progress) -> pathlib.Path:
    """Run one lane of a sweep as a run of its own, and hold it against the table.

    Returns:
        ``<sweep>/runs/<lane>``; a finished one is returned as it is.

    Raises:
        RunError: it does not finish.
    """
    folder = source / "runs" / f"{number:04d}"
    if not folder.exists():
        prepared = run.ready(sweep.lane_config(source, number))
        folder.mkdir(parents=True)
        progress.say(f"lane {number} of {source.name} is run on its own")
        run.start_in(folder, prepared, progress=progress)
    status = records.status(folder)
    if status["state"] != "finished":
        raise RunError(f"{folder} is {status['state']}: mastery resume {folder}")
    lane = next(row for row in records.lanes(source) if int(row["lane"]) == number)
    for metric, value in status["metrics"].items():
        before = float(lane[metric])
        if before != value:
            progress.say(f"warning: {metric} of lane {number} was {before:.7g} and is {value:.7g}")
    return folder
