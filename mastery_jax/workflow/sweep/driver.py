"""A sweep from its first lane to its table, and resumed.

A sweep writes ``sweep.yaml``, ``plan.json``, ``environment.json``, ``status.json`` and what
``store`` says of its lanes.
"""

import importlib.metadata
import pathlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from mastery_jax.workflow import config, environment, files
from mastery_jax.workflow.config import Loaded, Sweep
from mastery_jax.workflow.convert import convert_at
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.stops import Interrupt, failures, interrupts
from mastery_jax.workflow.sweep import (
    kept,
    plan,
    processes,
    sampled,
    session,
    sound,
    stopping,
    store,
    strategies,
)
from mastery_jax.workflow.sweep.ledger import Ledger
from mastery_jax.workflow.sweep.places import HERE, Where, enter, place
from mastery_jax.workflow.sweep.plan import Plan, Strategy
from mastery_jax.workflow.sweep.search import Population
from mastery_jax.workflow.sweep.strategies import Place
from mastery_jax.workflow.track import tracker, writer

__all__ = ["keeps_states", "lane_config", "planned", "resume", "rungs", "sweep"]


def sweep(
    swept: Sweep,
    *,
    runs: pathlib.Path,
    strategy: Strategy = "auto",
    width: int | None = None,
    where: Where = HERE,
    track: Iterable[str] = (),
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
        track: Trackers.
        progress: Where to say how far it is.

    Returns:
        The folder.

    Raises:
        UserError: a lane is not sound, or the engine cannot be reached; nothing has been written.
    """
    loaded, track = swept.loaded, tracker.check(track)
    made = planned(swept, strategy=strategy, width=width)
    enter(where)
    folder = _new_folder(runs, swept)
    with files.writing(folder), files.lock(folder):
        store.write_points(folder, swept.points)
        files.write_json(folder / "plan.json", made.to_json())
        how = _how(swept, made)
        environment.write(folder, loaded, made.datasets, **how, track=list(track))
        # The last: what has it can be resumed, and of what a kill left without it nothing was run.
        files.write_text(folder / "sweep.yaml", config.sweep_to_yaml(swept))
        for path in made.without_effect:
            progress.say(f"warning: {path} is swept but changes nothing")
        if made.idle_stop:
            progress.say(f"warning: {made.idle_stop}")
        _run(folder, swept, made, where, track, progress)
    return folder


def planned(swept: Sweep, *, strategy: Strategy = "auto", width: int | None = None) -> Plan:
    """Return the plan of a sweep; of a search that of some points that it might ask for.

    Args:
        swept: What is varied.
        strategy: See :func:`sweep`.
        width: See :func:`sweep`.

    Raises:
        UserError: a lane is not sound, or a sampler cannot do what is asked.
    """
    asked = sampled.num_lanes(swept) if swept.search.sampler else 0
    seen = swept._replace(points=sampled.preview(swept)) if asked else swept
    made = plan.plan(seen, strategy=strategy)
    return made._replace(width=strategies.choose_width(made.groups, width), asked=asked)


def resume(
    folder: pathlib.Path,
    *,
    where: Where = HERE,
    track: Iterable[str] | None = None,
    progress: Progress,
    force: bool = False,
) -> pathlib.Path:
    """Run the lanes that are not there yet, by the strategy and width of the record.

    Those of a finished sweep are run again whose record was damaged or lost since; where only its
    table was, that is written again.

    Args:
        folder: Of the sweep.
        where: On which engine, whichever it began on.
        track: Trackers; by default those that it began with.
        progress: Where to say how far it is.
        force: Go on though config, data, code or packages changed; its record will say so.

    Raises:
        RunError: the sweep is finished and whole, damaged, in use by another process, or its
            config, data, code or packages are not what it began with.
    """
    folder = processes.mirror(folder)
    if sound.is_over(folder):
        return folder
    swept = _read(folder)
    loaded = swept.loaded
    with files.writing(folder), files.lock(folder):
        before = store.how(folder)
        made = planned(swept, strategy=before["strategy"], width=before["width"])
        enter(where)
        how = _how(swept, made)
        environment.confirm(folder, loaded, made.datasets, force=force, say=progress.say, **how)
        kept.confirm_search(folder, how["search"], force=force, say=progress.say)
        kept.confirm_points(folder, swept, before)
        names = environment.read(folder).get("track", ()) if track is None else track
        _run(folder, swept, made, where, names, progress)
    return folder


def lane_config(folder: pathlib.Path, number: int) -> Loaded:
    """Return the config of one lane, as a run of its own would have it."""
    loaded, record = _read(folder).loaded, store.record(folder, number)
    points = store.points(folder)
    if number not in points:
        raise RunError(f"{folder} has no lane {number}: it has {len(points)}")
    # A population has moved fields since; the record says where to.
    fields = store.lane_fields(record)[1] if record.exists() else points[number]
    value = loaded.value
    for path in sorted(fields, key=lambda path: path.count(".")):
        (typed,) = convert_at(value, path, (fields[path],), loaded.name)
        value = config.replace(value, {path: typed})
    return loaded._replace(value=value)


def keeps_states(folder: pathlib.Path) -> bool:
    """Say whether a sweep keeps the last state of every lane, as no lane could be run alone."""
    return isinstance(_read(folder).search.stop, Population)


def rungs(folder: pathlib.Path, num_steps: int) -> tuple[int, ...]:
    """Return after which steps a lane of so many was looked at, its end not among them."""
    return stopping.rungs(_read(folder).search.stop, num_steps)


def _read(folder: pathlib.Path) -> Sweep:
    if not (folder / "sweep.yaml").is_file():
        raise RunError(f"{folder} has no sweep.yaml: it is not a sweep, or it is damaged")
    swept = config.load_sweep(folder / "sweep.yaml", many=True)
    return swept._replace(loaded=swept.loaded._replace(name=folder.parent.name))


def _new_folder(runs: pathlib.Path, swept: Sweep) -> pathlib.Path:
    """Return a folder of runs, or where another process writes that, one of this process's own."""
    label = f"sweep-{config.digest(swept)[:6]}"
    parent = runs if processes.is_first() else pathlib.Path(tempfile.mkdtemp(prefix="mastery-"))
    return files.new_folder(parent / swept.loaded.name, label)


def _how(swept: Sweep, made: Plan) -> dict[str, Any]:
    """Return what the record says of a sweep beside its config."""
    search = msgspec.json.decode(msgspec.json.encode(swept.search))
    if swept.search.sampler:  # another release may ask for other points
        search["optuna"] = importlib.metadata.version("optuna")
    seeds = sorted({lane.value.seed for group in made.groups for lane in group.lanes})
    how = {"strategy": made.strategy, "width": made.width, "seeds": seeds, "search": search}
    # A sampler's points are not known yet: what they are of must stay as it was.
    return how | {"space": swept.space.spelled()} if swept.search.sampler else how


def _run(
    folder: pathlib.Path,
    swept: Sweep,
    made: Plan,
    where: Where,
    track: Iterable[str],
    progress: Progress,
) -> None:
    """Run what is missing, then write the table."""
    for partial in (folder / "lanes").glob(".*"):  # of a process that was killed
        partial.unlink()
    begun, why = time.monotonic(), "stopped by a signal"
    names = track if processes.is_first() else ()
    with writer.open(names, folder=folder, progress=progress, is_sweep=True) as tracked:
        ledger = Ledger(
            folder,
            say=progress.say,
            changed=progress.update,
            tracked=tracked,
            keeps_states=(keeps := isinstance(swept.search.stop, Population)),
            fault=sound.Promise(
                folder,
                made.num_lanes,
                swept.loaded.value.num_steps,
                {} if keeps else store.written_points(folder),
            ).fault,
        )

        def status(state: str, reason: str = "") -> None:
            found = {"state": state, "lanes_done": len(ledger.over), "num_lanes": made.num_lanes}
            seconds = round(time.monotonic() - begun, 3)
            files.write_json(folder / "status.json", found | {"seconds": seconds, "reason": reason})
            if state not in ("running", "finished"):
                tracked.finish(state)

        with progress, interrupts() as interrupt, failures(status):
            status("running")
            interrupt.is_shared = processes.are_several()
            run_at = place(
                where,
                folder,
                made.loaded.experiment,
                strategy=made.strategy,
                width=made.width,
                say=progress.say,
            )
            title = f"{made.loaded.name} {folder.name}"
            progress.start(title, made.num_lanes, "lanes", done=len(ledger.over))
            try:
                _advance(folder, swept, made, run_at, ledger, interrupt, progress)
            except processes.Gone as gone:
                why = str(gone)
        environment.amend(folder, programs=run_at.digests())
        store.write_table(folder)
        is_over = len(ledger.over) == made.num_lanes
        status("finished" if is_over else "interrupted", "" if is_over else why)
        processes.part()


def _advance(
    folder: pathlib.Path,
    swept: Sweep,
    made: Plan,
    run_at: Place,
    ledger: Ledger,
    interrupt: Interrupt,
    progress: Progress,
) -> None:
    """Run the lanes that are planned, or those that a sampler asks for."""
    search, known = swept.search, {}

    def run_groups(groups: Sequence[plan.Group]) -> None:
        session.run(groups, search, place=run_at, ledger=ledger, interrupt=interrupt)

    def run_lanes(lanes: Sequence[plan.Lane]) -> None:
        run_groups([each.group for each in plan.lay(swept.loaded, lanes, search, known)])

    if not search.sampler:
        run_groups(made.groups)
        return
    sampled.run(
        folder,
        swept,
        search,
        run_lanes=run_lanes,
        ledger=ledger,
        interrupt=interrupt,
        say=progress.say,
    )
