"""What a run or a sweep left on disk, sent to trackers after the fact.

It goes the way of a run that is tracked while it runs, but waits for the trackers. They find what
they have already: nothing is there twice, and TensorBoard shows the newest file.
"""

from collections.abc import Iterable

from mastery_jax.workflow import records
from mastery_jax.workflow.compare import gaps, members
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.records import Run
from mastery_jax.workflow.track import writer
from mastery_jax.workflow.track.tracker import check

__all__ = ["replay"]

CHUNK = 1000  # rows in one call


def replay(run: Run, names: Iterable[str], *, progress: Progress) -> int:
    """Send a run, or every lane of a sweep that is over; return how many.

    Args:
        run: From ``records.find``.
        names: Of trackers.
        progress: Where to say how far it is.

    Raises:
        ConfigError: There is no such tracker.
        RunError: The run is being made, or a file is damaged, or a tracker is absent or failed.
    """
    names, is_sweep = check(names), run.kind == "sweep"
    if run.state == "running":
        raise RunError(f"{run.folder} is running: push it when it is over")
    found = members.members(run)
    for note in gaps.notes([run]):
        progress.say(f"note: {note}")
    quiet, what = _Silent(), "lanes" if is_sweep else "runs"
    with (
        progress,
        writer.open(
            names, folder=run.folder, progress=quiet, is_sweep=is_sweep, is_patient=True
        ) as tracked,
    ):
        if tracked.wait_open():  # otherwise there is nothing to show the progress of
            progress.start(f"push {run.name}/{run.id}", len(found), what)
            _send(run, found, tracked, progress)
    if tracked.problems:
        raise RunError("; ".join(tracked.problems.values()))
    return len(found)


def _send(run: Run, found: list[Member], tracked: writer.Tracked, progress: Progress) -> None:
    """Hand over everything."""
    is_sweep = run.kind == "sweep"
    for done, member in enumerate(found, 1):
        number = int(member.label.rpartition("#")[2]) if is_sweep else None
        fields = {k: v for k, v in member.fields.items() if k not in ("config", "run")}
        lane = tracked.lane(number, fields)
        rows = records.metrics(member.lines)
        for start in range(0, len(rows), CHUNK):
            lane.log(rows[start : start + CHUNK])
        for file in sorted(run.folder.glob("plots/*.png")) if not is_sweep else ():
            lane.artifact(file)
        lane.finish(_state(member.state), member.metrics)
        progress.update(done)
    tracked.finish(_state(run.state))


def _state(state: str) -> str:
    """Return how a run ended, of which only a process that is no more could have said it."""
    return "interrupted" if state == "killed" else state


class _Silent:
    """Says nothing: what went wrong is raised."""

    def say(self, line: str) -> None:
        """Leave it."""
