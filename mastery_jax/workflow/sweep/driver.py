"""Many lanes, few programs: a grid run in one process, one table at the end.

A sweep writes ``sweep.yaml``, ``plan.json``, ``environment.json``, ``status.json``, one
``lanes/<number>.jsonl`` a lane (written whole when the lane is over, so that a sweep can be
resumed by what is there) and ``lanes.csv``.
"""

import pathlib
import threading
import time
from typing import Any

from mastery_jax.workflow import config, environment, files, records
from mastery_jax.workflow.config import Loaded, Sweep
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.run import failures, interrupts
from mastery_jax.workflow.sweep import plan, store, strategies
from mastery_jax.workflow.sweep.plan import Lane, Plan, Strategy

__all__ = ["lane_config", "resume", "sweep"]


def sweep(
    swept: Sweep,
    *,
    runs: pathlib.Path,
    strategy: Strategy = "auto",
    width: int | None = None,
    progress: Progress,
) -> pathlib.Path:
    """Run every point in a new folder ``runs/<name>/<id>``.

    Args:
        swept: What is varied, from ``config.load_sweep``.
        runs: Where run folders are kept.
        strategy: ``loop`` calls the solo program once a lane: equal to solo runs bit for bit;
            ``vmap`` and ``map`` put ``width`` lanes into one program: equal to a tolerance.
        width: Lanes in one program under ``vmap`` and ``map``; by default what memory allows.
        progress: Where to say how far it is.

    Returns:
        The folder.

    Raises:
        UserError: a lane is not sound; nothing has been written.
    """
    loaded = swept.loaded
    made = plan.plan(swept, strategy=strategy)
    folder = files.new_folder(runs / loaded.name, f"sweep-{config.digest(loaded)[:6]}")
    with files.writing(folder), files.lock(folder):
        width = strategies.choose_width(made, width)
        listed = {path: list(values) for path, values in swept.space.items()}
        files.write_text(folder / "sweep.yaml", config.to_yaml(loaded, sweep=listed))
        store.write_points(folder, swept.points)
        files.write_json(folder / "plan.json", made.to_json() | {"width": width})
        environment.write(folder, loaded, made.datasets, strategy=made.strategy, width=width)
        for path in made.without_effect:
            progress.say(f"warning: {path} is swept but changes nothing")
        _run(folder, made, width, progress)
    return folder


def resume(folder: pathlib.Path, *, progress: Progress, force: bool = False) -> pathlib.Path:
    """Run the lanes that are not there yet, by the strategy and width of the record.

    Raises:
        RunError: the sweep is finished, damaged, in use by another process, or its config or its
            data is not what it began with.
    """
    swept = _read(folder)
    loaded = swept.loaded
    with files.writing(folder), files.lock(folder):
        if records.status(folder, missing={}).get("state") == "finished":
            raise RunError(f"{folder} is finished: there is nothing to resume")
        before = files.read_json(folder / "plan.json")
        made = plan.plan(swept, strategy=before["strategy"])
        environment.confirm(folder, loaded, made.datasets, force=force, say=progress.say)
        _run(folder, made, strategies.choose_width(made, before["width"]), progress)
    return folder


def lane_config(folder: pathlib.Path, number: int) -> Loaded:
    """Return the config of one lane, as a run of its own would have it."""
    swept = _read(folder)
    if not 0 <= number < len(swept.points):
        raise RunError(f"{folder} has no lane {number}: it has {len(swept.points)}")
    value = config.replace(swept.loaded.value, swept.points[number])
    return swept.loaded._replace(value=value)


def _read(folder: pathlib.Path) -> Sweep:
    if not (folder / "sweep.yaml").is_file():
        raise RunError(f"{folder} has no sweep.yaml: it is not a sweep, or it is damaged")
    swept = config.load_sweep(folder / "sweep.yaml")
    return swept._replace(loaded=swept.loaded._replace(name=folder.parent.name))


def _run(folder: pathlib.Path, made: Plan, width: int, progress: Progress) -> None:
    """Run what is missing, then write the table."""
    begun, one_at_a_time = time.monotonic(), threading.Lock()
    (folder / "lanes").mkdir(exist_ok=True)
    written = (path for path in (folder / "lanes").glob("*.jsonl") if path.stat().st_size)
    done = {int(path.stem) for path in written}

    def status(state: str, reason: str = "") -> None:
        found = {"state": state, "lanes_done": len(done), "num_lanes": made.num_lanes}
        seconds = round(time.monotonic() - begun, 3)
        files.write_json(folder / "status.json", found | {"seconds": seconds, "reason": reason})

    def keep(lane: Lane, rows: list[dict[str, Any]]) -> None:
        store.write_lane(folder, lane.number, lane.fields, rows)
        with one_at_a_time:
            done.add(lane.number)
            progress.update(len(done))

    status("running")
    for partial in (folder / "lanes").glob("*.partial"):
        partial.unlink()
    title = f"{made.loaded.name} {folder.name}"
    with progress, interrupts() as interrupt, failures(status):
        progress.start(title, made.num_lanes, "lanes", done=len(done))
        for group in made.groups:
            waiting = tuple(lane for lane in group.lanes if lane.number not in done)
            if waiting and not interrupt.asked:
                strategies.run(
                    group,
                    waiting,
                    module=made.loaded.experiment,
                    strategy=made.strategy,
                    width=width,
                    keep=keep,
                    interrupt=interrupt,
                )
    store.write_table(folder)
    status("finished" if len(done) == made.num_lanes else "interrupted")
