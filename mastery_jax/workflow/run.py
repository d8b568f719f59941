"""One config, one folder: run to the end, or resume to the same bits.

A run writes ``config.yaml``, ``environment.json``, ``metrics.jsonl``, ``status.json``,
``checkpoints/`` and ``plots/``. It answers Ctrl-C and SIGTERM with a checkpoint. Nothing is
written before the config, the data and the program have been found sound.
"""

import pathlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow import (
    checkpoint,
    config,
    environment,
    files,
    program,
    records,
    trace,
)
from mastery_jax.workflow.config import Loaded
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.goals import confirm_measured, direction
from mastery_jax.workflow.keeper import Keeper
from mastery_jax.workflow.log import Log
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.stops import failures, interrupts
from mastery_jax.workflow.track import tracker, writer

__all__ = [
    "Ready",
    "adopt",
    "ready",
    "resume",
    "run",
    "start_in",
]


class Ready(NamedTuple):
    """A config whose data is on the device and whose program is compiled."""

    loaded: Loaded
    dataset: Any
    data: Any
    functions: program.Functions
    program: program.Program
    lane: dict[str, Any]


def ready(loaded: Loaded) -> Ready:
    """Load the data, check that every float traces, and compile."""
    import jax

    from mastery_jax.workflow import data

    dataset = data.load(loaded.value.data)
    spec = program.specify(dataset)
    measured = trace.confirm(loaded.experiment, loaded.value, spec, dataset.arrays).measured
    confirm_measured("best", [loaded.value.best] if loaded.value.best else [], measured)
    place = jax.local_devices()[0]
    arrays = jax.device_put(dataset.arrays, place)
    lane = jax.device_put(program.lane(loaded.value), place)
    fns = program.functions(loaded.experiment, loaded.value, spec)
    compiled = program.prepare(fns, lane, arrays)
    return Ready(loaded, dataset, arrays, fns, compiled, lane)


def run(
    loaded: Loaded, *, runs: pathlib.Path, progress: Progress, track: Iterable[str] = ()
) -> pathlib.Path:
    """Run a config in a new folder ``runs/<name>/<id>``.

    Args:
        loaded: A config.
        runs: Where run folders are kept.
        progress: Where to say how far it is.
        track: Trackers that are handed what is measured; none of them can stop the run.

    Returns:
        The folder. Its ``status.json`` says whether the run finished, was interrupted or failed.

    Raises:
        UserError: the config or the data is not sound, or the folder cannot be written.
    """
    track = tracker.check(track)
    prepared = ready(loaded)
    folder = files.new_folder(runs / loaded.name, config.digest(loaded)[:6])
    return start_in(folder, prepared, progress=progress, track=track)


def start_in(
    folder: pathlib.Path,
    prepared: Ready,
    *,
    progress: Progress,
    until: int | None = None,
    evaluate_at: Sequence[int] = (),
    track: Iterable[str] = (),
    **entries: Any,
) -> pathlib.Path:
    """Run in a folder that exists and holds no run.

    Args:
        folder: Where its files go.
        prepared: From :func:`ready`.
        progress: Where to say how far it is.
        until: Stop once this step is reached; by default at the end.
        evaluate_at: Steps after which it is evaluated too.
        track: Trackers.
        entries: What ``environment.json`` says besides.
    """
    with files.writing(folder), files.lock(folder):
        files.write_text(folder / "config.yaml", config.to_yaml(prepared.loaded))
        recorded = {"programs": [prepared.program.digest], "track": list(track), **entries}
        environment.write(folder, prepared.loaded, [prepared.dataset], **recorded)
        with writer.open(track, folder=folder, progress=progress) as tracked:
            where = {"until": until, "evaluate_at": evaluate_at}
            _drive(folder, prepared, tracked, state=None, first=0, progress=progress, **where)
    return folder


def adopt(
    folder: pathlib.Path, prepared: Ready, state: Any, rows: list[dict[str, Any]], **entries: Any
) -> pathlib.Path:
    """Write a run that was run elsewhere to its last step, as if it had been run here.

    Args:
        folder: It exists and holds no run.
        prepared: From :func:`ready`.
        state: After the last step.
        rows: What was measured.
        entries: What ``environment.json`` says besides.
    """
    step = rows[-1]["step"]
    last = {k: v for row in rows if row["step"] == step for k, v in row.items() if k != "step"}
    found = {"state": "finished", "step": step, "num_steps": step, "seconds": 0.0, "reason": ""}
    with files.writing(folder), files.lock(folder):
        files.write_text(folder / "config.yaml", config.to_yaml(prepared.loaded))
        environment.write(folder, prepared.loaded, [prepared.dataset], **entries)
        files.write_lines(folder / "metrics.jsonl", rows)
        checkpoint.save(folder, step, state)
        files.write_json(folder / "status.json", found | {"metrics": last, "best": None})
    return folder


def resume(
    folder: pathlib.Path,
    *,
    progress: Progress,
    track: Iterable[str] | None = None,
    force: bool = False,
) -> pathlib.Path:
    """Go on from the newest checkpoint, to the bits of a run that was never stopped.

    Args:
        folder: The run's.
        progress: Where to say how far it is.
        track: Trackers; by default those that the run began with.
        force: Go on though config, data, code or packages changed; its record will say so.

    Raises:
        RunError: the run is finished, damaged, in use by another process, or its config, data,
            code or packages are not what it began with.
    """
    if not (folder / "config.yaml").is_file():
        raise RunError(f"{folder} has no config.yaml: it is not a run, or it is damaged")
    with files.writing(folder), files.lock(folder):
        records.refuse_finished(folder)
        loaded = config.load(folder / "config.yaml")._replace(name=folder.parent.name)
        prepared = ready(loaded)
        programs = [prepared.program.digest]
        environment.confirm(
            folder, loaded, [prepared.dataset], force=force, say=progress.say, programs=programs
        )
        saved = checkpoint.steps(folder)
        first = saved[-1] if saved else 0
        state = checkpoint.restore(folder, first, prepared.program.state) if saved else None
        # What was measured after the checkpoint will be measured again.
        kept = [row for row in records.metrics(folder) if saved and row["step"] <= first]
        files.write_lines(folder / "metrics.jsonl", kept)
        progress.say(f"resuming at step {first} of {loaded.value.num_steps}")
        names = environment.read(folder).get("track", ()) if track is None else track
        with writer.open(names, folder=folder, progress=progress) as tracked:
            _drive(folder, prepared, tracked, state=state, first=first, progress=progress)
    return folder


def _drive(
    folder: pathlib.Path,
    prepared: Ready,
    tracked: writer.Tracked,
    *,
    state: Any,
    first: int,
    progress: Progress,
    until: int | None = None,
    evaluate_at: Sequence[int] = (),
) -> None:
    value, begun = prepared.loaded.value, time.monotonic()
    metric, sign = direction(value.best) if value.best else ("", 1)
    keeper = Keeper(folder, every=value.save_every, metric=metric, sign=sign)
    log = Log(value.num_steps, step=first)
    lane = tracked.lane(None, value, first=first)

    def status(name: str, reason: str = "") -> None:
        seconds = round(time.monotonic() - begun, 3)
        found = {"state": name, "step": log.step, "num_steps": value.num_steps, "seconds": seconds}
        found |= {"reason": reason, "metrics": log.evaluation, "best": keeper.best}
        files.write_json(folder / "status.json", found)
        if name != "running":
            lane.finish(name, log.evaluation)

    status("running")
    events = program.drive(
        prepared.program,
        prepared.lane,
        prepared.data,
        num_steps=value.num_steps,
        evaluate_every=value.evaluate_every,
        save_every=value.save_every,
        state=state,
        first=first,
        evaluate_at=evaluate_at,
    )
    title = f"{prepared.loaded.name} {folder.name}"
    with progress, interrupts() as interrupt, failures(status):
        progress.start(title, value.num_steps, "steps", done=first)
        for event in events:
            lines = log.add(event)
            if state is None or event.step > first:
                files.append_lines(folder / "metrics.jsonl", lines)
                lane.log(lines)
            if log.reason:
                status("failed", log.reason)
                return
            keeper.keep(event, log.evaluation, force=log.is_over or interrupt.asked)
            progress.update(event.step, lines[-1] if lines else {})
            if interrupt.asked and not log.is_over:
                status("interrupted", "stopped by a signal")
                return
            if until is not None and event.step >= until and not log.is_over:
                status("interrupted", f"asked to stop after step {until}")
                return
            status("running")
        for file in _plot(folder):
            lane.artifact(file)
        status("finished")


def _plot(folder: pathlib.Path) -> list[pathlib.Path]:
    """Draw every metric that was recorded more than once."""
    from mastery_jax.plots import curves

    drawn = []
    for metric, (steps, values) in records.series(records.metrics(folder)).items():
        if len(steps) > 1:
            (folder / "plots").mkdir(exist_ok=True)
            file = folder / "plots" / f"{metric.replace('/', '_')}.png"
            curves.draw({folder.name: (steps, values)}, metric=metric, file=file)
            drawn.append(file)
    return drawn
