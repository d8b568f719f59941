"""From a run, or from the best lane of a sweep, to a published artefact."""

import math
import pathlib
from typing import Any

from mastery_jax.workflow import (
    checkpoint,
    config,
    environment,
    files,
    goals,
    publish,
    records,
    run,
    spelling,
)
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, states, store

__all__ = ["export", "materialize"]


def export(
    source: pathlib.Path,
    *,
    name: str,
    models: pathlib.Path,
    best: str | None = None,
    with_slopes: bool = False,
    progress: Progress,
) -> pathlib.Path:
    """Publish ``models/<name>/<next version>`` from a run or a sweep.

    Args:
        source: The folder of a run or of a sweep.
        name: The name under which the model will be served.
        models: Where models are kept.
        best: ``METRIC:max`` or ``METRIC:min``. Of a sweep: which lane; it is run again as a run of
            its own, to the same bits under ``loop``. Of a run: its best checkpoint, not its last.
        with_slopes: Publish the method ``explain`` too.
        progress: Where to say how far it is.

    Raises:
        UserError: the source is not finished, or has nothing that can be served.
    """
    publish.check_name(name)
    if (source / "sweep.yaml").is_file():
        if best is None:
            raise RunError(f"{source} is a sweep: say which lane with --best METRIC:max or :min")
        return export(
            materialize(source, _best_lane(source, best), progress=progress),
            name=name,
            models=models,
            with_slopes=with_slopes,
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
    recorded = _recorded(source, loaded, prepared.dataset, progress)
    state = checkpoint.restore(source, step, prepared.program.state)
    train = prepared.dataset.arrays.get("train", {})
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
        with_slopes=with_slopes,
        provenance={
            "run": str(source),
            "step": step,
            "config": config.flatten(loaded.value),
            **{key: recorded[key] for key in ("git", "packages", "code") if key in recorded},
        },
    )


def _recorded(
    source: pathlib.Path, loaded: config.Loaded, dataset: Any, progress: Progress
) -> dict[str, Any]:
    """Return what the run was made with; refuse another config and other data, warn of the rest."""
    if not (source / environment.FILE).exists():
        progress.say(f"warning: {source} has no {environment.FILE}: what it was made with is lost")
        return {}
    before = environment.read(source)
    for found in environment.differences(before, environment.record(loaded, [dataset])):
        if found.kind in ("config", "data"):
            raise RunError(
                f"{source} is not what it was: its {found.kind} changed since it began "
                f"({found.text}); run it anew"
            )
        progress.say(f"warning: {found.text}; the model may answer otherwise than the run did")
    return before


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
    metric, sign = goals.direction(best)
    lanes = [lane for lane in store.lanes(source) if lane["state"] == "done"]
    if not lanes:
        raise RunError(f"{source} has no finished lane")
    _, swept = records.config(records.read(source))
    known = [k for k in lanes[0] if k not in ("lane", "state", "step", *swept)]
    if metric not in known:
        hint = spelling.hint(metric, known)
        raise RunError(f"--best: {metric} is not measured{hint} (there is {', '.join(known)})")
    scored = [lane for lane in lanes if math.isfinite(lane[metric])]
    if not scored:
        raise RunError(f"--best: {metric} is not finite in any lane of {source}")
    return int(max(scored, key=lambda lane: sign * lane[metric])["lane"])


def materialize(source: pathlib.Path, number: int, *, progress: Progress) -> pathlib.Path:
    """Run one lane of a sweep as a run of its own, and hold it against the table.

    A lane of a population has taken the states of others: its last state was kept, and is taken.

    Returns:
        ``<sweep>/runs/<lane>``; a finished one is returned as it is, another one is resumed.

    Raises:
        RunError: it does not finish, or another process is at it.
    """
    folder = source / "runs" / f"{number:04d}"
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if driver.keeps_states(source) and not (folder / "config.yaml").exists():
        _adopt(source, number, folder)
    elif not (folder / "config.yaml").exists():
        progress.say(f"lane {number} of {source.name} is run on its own")
        run.start_in(folder, run.ready(driver.lane_config(source, number)), progress=progress)
    elif records.status(folder, missing={}).get("state") != "finished":
        run.resume(folder, progress=progress)
    status = records.status(folder)
    if status["state"] != "finished":
        raise RunError(f"{folder} is {status['state']}: mastery resume {folder}")
    lane = next(row for row in store.lanes(source) if int(row["lane"]) == number)
    for metric, value in status["metrics"].items():
        before = float(lane[metric])
        if before != value and not (math.isnan(before) and math.isnan(value)):
            progress.say(f"warning: {metric} of lane {number} was {before:.7g} and is {value:.7g}")
    return folder


def _adopt(source: pathlib.Path, number: int, folder: pathlib.Path) -> None:
    import jax

    path = store.state(source, number)
    if not path.exists():
        raise RunError(f"{path} is not there: the process was killed as lane {number} ended")
    with path.open("rb") as file:
        said = states.head(file)
    if said.step != records.metrics(store.record(source, number))[-1]["step"]:
        raise RunError(
            f"{path} is not of the last step: the process was killed as lane {number} ended"
        )
    prepared = run.ready(driver.lane_config(source, number))
    state = jax.device_put(states.load(path.read_bytes(), prepared.program.state))
    run.adopt(folder, prepared, state, said.rows, lane=f"{source.name}#{number}")
