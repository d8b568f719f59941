"""A sweep from its first lane to its table, and resumed.

A sweep writes ``sweep.yaml``, ``plan.json``, ``environment.json``, ``status.json`` and what
``store`` says of its lanes.
"""

import pathlib
import tempfile
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from mastery_jax.workflow import config, environment, files, records
from mastery_jax.workflow.config import Loaded, Sweep
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.stops import failures, interrupts
from mastery_jax.workflow.sweep import plan, processes, session, store, strategies
from mastery_jax.workflow.sweep.hosts import Hosts
from mastery_jax.workflow.sweep.ledger import Ledger
from mastery_jax.workflow.sweep.plan import Plan, Strategy
from mastery_jax.workflow.sweep.search import Search

__all__ = ["HERE", "Where", "lane_config", "resume", "sweep"]


class Where(NamedTuple):
    """The engine that runs lanes."""

    engine: Literal["here", "ray", "slurm", "hosts"] = "here"
    address: str | None = None  # of a cluster of Ray that runs; slurm or local
    resources: Mapping[str, Any] = MappingProxyType({})  # of one task or job
    jobs: int = 8  # of SLURM


HERE = Where()


def sweep(
    swept: Sweep,
    *,
    runs: pathlib.Path,
    strategy: Strategy = "auto",
    width: int | None = None,
    where: Where = HERE,
    progress: Progress,
) -> pathlib.Path:
    """Run every point in a new folder ``runs/<name>/<id>``.

    Args:
        swept: What is varied, from ``config.load_sweep``.
        runs: Where run folders are kept.
        strategy: ``loop`` calls the solo program once a lane: equal to solo runs bit for bit;
            ``vmap`` and ``map`` put ``width`` lanes into one program: equal to a tolerance.
        width: Lanes in one program under ``vmap`` and ``map``; by default what memory allows.
        where: On which engine; each keeps the promises of the strategy.
        progress: Where to say how far it is.

    Returns:
        The folder.

    Raises:
        UserError: a lane is not sound; nothing has been written.
    """
    loaded = swept.loaded
    made = plan.plan(swept, strategy=strategy)
    folder = _new_folder(runs, loaded)
    with files.writing(folder), files.lock(folder):
        width = strategies.choose_width(made.groups, width)
        files.write_text(folder / "sweep.yaml", config.sweep_to_yaml(swept))
        store.write_points(folder, swept.points)
        files.write_json(folder / "plan.json", made.to_json() | {"width": width})
        environment.write(folder, loaded, made.datasets, strategy=made.strategy, width=width)
        for path in made.without_effect:
            progress.say(f"warning: {path} is swept but changes nothing")
        _run(folder, made, swept.search, width, where, progress)
    return folder


def resume(
    folder: pathlib.Path, *, where: Where = HERE, progress: Progress, force: bool = False
) -> pathlib.Path:
    """Run the lanes that are not there yet, by the strategy and width of the record.

    Raises:
        RunError: the sweep is finished, damaged, in use by another process, or its config or its
            data is not what it began with.
    """
    folder = processes.mirror(folder)
    swept = _read(folder)
    loaded = swept.loaded
    with files.writing(folder), files.lock(folder):
        if records.status(folder, missing={}).get("state") == "finished":
            raise RunError(f"{folder} is finished: there is nothing to resume")
        before = files.read_json(folder / "plan.json")
        made = plan.plan(swept, strategy=before["strategy"])
        environment.confirm(folder, loaded, made.datasets, force=force, say=progress.say)
        width = strategies.choose_width(made.groups, before["width"])
        _run(folder, made, swept.search, width, where, progress)
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
    swept = config.load_sweep(folder / "sweep.yaml", many=True)
    return swept._replace(loaded=swept.loaded._replace(name=folder.parent.name))


def _new_folder(runs: pathlib.Path, loaded: Loaded) -> pathlib.Path:
    """Return a folder of runs, or where another process writes that, one of this process's own."""
    label = f"sweep-{config.digest(loaded)[:6]}"
    if processes.is_first():
        return files.new_folder(runs / loaded.name, label)
    return files.new_folder(pathlib.Path(tempfile.mkdtemp(prefix="mastery-")) / loaded.name, label)


def _place(
    folder: pathlib.Path, where: Where, made: Plan, width: int, progress: Progress
) -> strategies.Place:
    """Return what runs lanes."""
    experiment = made.loaded.experiment
    how: dict[str, Any] = {"strategy": made.strategy, "width": width, "say": progress.say}
    if where.engine == "ray":
        from mastery_jax.workflow.sweep.cluster import Cluster

        return Cluster(experiment, address=where.address, resources=where.resources, **how)
    if where.engine == "slurm":
        from mastery_jax.workflow.sweep.slurm import Slurm

        return Slurm(
            experiment,
            folder,
            jobs=where.jobs,
            cluster=where.address,
            parameters=where.resources,
            **how,
        )
    return (Hosts if processes.are_several() else strategies.Here)(experiment, **how)


def _run(
    folder: pathlib.Path,
    made: Plan,
    search: Search,
    width: int,
    where: Where,
    progress: Progress,
) -> None:
    """Run what is missing, then write the table."""
    begun = time.monotonic()
    for partial in (folder / "lanes").glob(".*"):  # of a process that was killed
        partial.unlink()
    ledger = Ledger(folder, say=progress.say, changed=progress.update)

    def status(state: str, reason: str = "") -> None:
        found = {"state": state, "lanes_done": len(ledger.over), "num_lanes": made.num_lanes}
        seconds = round(time.monotonic() - begun, 3)
        files.write_json(folder / "status.json", found | {"seconds": seconds, "reason": reason})

    status("running")
    place = _place(folder, where, made, width, progress)
    title = f"{made.loaded.name} {folder.name}"
    with progress, interrupts() as interrupt, failures(status):
        progress.start(title, made.num_lanes, "lanes", done=len(ledger.over))
        session.run(made.groups, search, place=place, ledger=ledger, interrupt=interrupt)
    store.write_table(folder)
    is_over = len(ledger.over) == made.num_lanes
    status("finished" if is_over else "interrupted", "" if is_over else "stopped by a signal")
