"""What a comparison of sweeps lacks: lanes that are not over, or whose record is lost."""

from collections.abc import Iterable

from mastery_jax.workflow.records import Run
from mastery_jax.workflow.sweep import sound, store

__all__ = ["notes"]


def notes(runs: Iterable[Run]) -> list[str]:
    """Return one sentence for each sweep that lacks lanes, with what mends it. Cost: O(lanes).

    Raises:
        RunError: A file of a sweep cannot be read.
    """
    return [note for run in runs if run.kind == "sweep" and (note := _note(run))]


def _note(run: Run) -> str:
    made = sound.promise(run.folder)
    faults, resume = made.faults(), f"mastery resume {run.folder}"
    lacking = f"{len(faults)} of {made.num_lanes} lanes of {run.id}"
    are = "is" if len(faults) == 1 else "are"
    if run.state != "finished":
        going = "it is running" if run.state == "running" else f"to go on: {resume}"
        return f"{lacking} {are} not over; {going}" if faults else ""
    if faults:
        number, first = next(iter(faults.items()))
        again = f"to run {'it' if len(faults) == 1 else 'them'} again: {resume}"
        path = store.record(run.folder, number).relative_to(run.folder)
        return f"{lacking} {are} damaged or lost, the first: {path} {first}; {again}"
    if not store.has_table(run.folder, made.num_lanes):
        return f"lanes.csv of {run.id} is missing or damaged; to write it again: {resume}"
    return ""
