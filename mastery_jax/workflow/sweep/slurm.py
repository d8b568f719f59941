"""Lanes as jobs of SLURM, through submitit: one job for each part of a group.

The jobs write the records of their lanes into the sweep's folder themselves, which must be shared.
A job that SLURM takes back is submitted again and goes on with what the folder shows.
"""

import contextlib
import importlib.util
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mastery_jax.workflow import records
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import remote, states, store
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.strategies import Due

__all__ = ["Slurm", "confirm"]

SECONDS = 1.0  # between two looks at the folder
STOP = "stop"  # a file that asks the jobs to pause


def confirm(cluster: str | None) -> None:
    """Refuse a queue that is not there: submitit would run the jobs on this machine.

    Raises:
        RunError: submitit is not installed, or there is no SLURM, or no such queue.
    """
    if importlib.util.find_spec("submitit") is None:
        raise RunError("--engine slurm needs submitit: pip install 'mastery-jax[slurm]'")
    if cluster not in (None, "slurm", "local"):
        raise RunError(f"--address: {cluster} is no queue; write slurm or local")
    if cluster != "local" and shutil.which("sbatch") is None:
        raise RunError(
            "--engine slurm needs SLURM, but there is no sbatch on PATH; --address local runs the "
            "jobs as processes of this machine"
        )


class _Job:
    """What a job does; submitit calls ``checkpoint`` when SLURM is about to end it."""

    def __call__(self, part: remote.Part, folder: pathlib.Path) -> list[str]:
        """Run a part, write into the sweep's folder, and return the digests of its programs."""
        return remote.work(
            part,
            lambda news: _write(news, folder),
            known=_known(part, folder),
            is_stopping=(folder / STOP).exists,
        )

    def checkpoint(self, part: remote.Part, folder: pathlib.Path) -> Any:
        """Return the job that goes on."""
        import submitit

        return submitit.helpers.DelayedSubmission(_Job(), part, folder)


def _write(news: remote.News, folder: pathlib.Path) -> None:
    if news.step is None or news.state is None:
        store.write_lane(folder, news.number, news.fields, news.rows)
    else:
        store.write_state(folder, news.number, news.state)


def _known(part: remote.Part, folder: pathlib.Path) -> dict[int, remote.News]:
    """Return what the folder shows of the lanes of a part."""
    found = {}
    for number in part.numbers:
        path = store.state(folder, number)
        with contextlib.suppress(OSError, ValueError):  # none, or damaged: it begins anew
            with path.open("rb") as file:
                said = states.head(file)
            content = path.read_bytes()
            found[number] = remote.News(number, said.step, said.rows, content, said.fields)
        with contextlib.suppress(RunError):
            if records.metrics(store.record(folder, number)):
                found[number] = remote.News(number, None, [], None, {})
    return found


class Slurm:
    """A queue of SLURM, or processes of this machine in its place."""

    def __init__(
        self,
        experiment: str,
        folder: pathlib.Path,
        *,
        strategy: str,
        width: int,
        jobs: int,
        cluster: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Submit nothing yet.

        Args:
            experiment: The module.
            folder: The sweep's, where every job sees it.
            strategy: ``loop``, ``vmap`` or ``map``, within each job.
            width: The most lanes of a batch.
            jobs: Into how many jobs the lanes are dealt.
            cluster: ``local`` for processes of this machine; by default SLURM.
            parameters: Of a job, as submitit names them: ``timeout_min``, ``slurm_partition``,
                ``cpus_per_task``, ``gpus_per_node``.
            say: Where to say that a job is submitted again.

        Raises:
            RunError: submitit is not installed, or does not know a parameter.
        """
        confirm(cluster)
        import submitit

        self._folder, self._say, self._jobs = folder.absolute(), say, jobs
        self._digests: set[str] = set()
        chosen = {"cpus_per_task": 1, "timeout_min": 24 * 60, **(parameters or {})}
        self._how = remote.How(experiment, strategy, width, int(chosen["cpus_per_task"]))
        self._executor = submitit.AutoExecutor(
            folder=self._folder / "jobs", cluster=cluster or "slurm"
        )
        try:
            self._executor.update_parameters(**chosen)
        except (NameError, TypeError, ValueError) as error:
            raise RunError(f"--resource: {str(error).splitlines()[0]}") from None

    def digests(self) -> list[str]:
        """Return the digests of what jobs have compiled that came to their end."""
        return sorted(self._digests)

    def advance(self, due: Due, until: int, listener: Ledger, interrupt: Interrupt) -> None:
        """Run every lane to the step ``until`` or its end, and tell the listener."""
        (self._folder / STOP).unlink(missing_ok=True)
        while due and not interrupt.asked:
            before = _steps(due)
            self._once(due, until, listener, interrupt)
            due = [(group, _left(entries, until, listener)) for group, entries in due]
            due = [each for each in due if each[1]]
            if due and not interrupt.asked:
                if _steps(due) == before:
                    raise RunError(
                        f"jobs ended without their lanes; their logs are in {self._folder / 'jobs'}"
                    )
                self._say("jobs ended before their lanes; what is left is submitted again")

    def _once(self, due: Due, until: int, listener: Ledger, interrupt: Interrupt) -> None:
        """Submit every lane once, and wait for the jobs."""
        lanes = [entry.lane for _, entries in due for entry in entries]
        pieces, keeps = remote.deal(due, self._jobs), listener.keeps_states
        parts = [remote.pack(piece, self._how, until, keeps) for piece in pieces]
        with self._executor.batch():
            jobs = [self._executor.submit(_Job(), part, self._folder) for part in parts]
        try:
            while any(not job.done() for job in jobs):
                time.sleep(SECONDS)
                listener.look(lanes)
                if interrupt.asked:
                    self._stop(jobs)
        except BaseException:
            for job in jobs:  # nobody would hear of them
                with contextlib.suppress(Exception):  # what is raised already says more
                    job.cancel(check=False)
            raise
        listener.look(lanes)
        for job in jobs:
            self._finish(job)

    def _stop(self, jobs: Sequence[Any]) -> None:
        """Ask jobs that run to pause, and take back those that wait."""
        (self._folder / STOP).touch()
        for job in jobs:
            if job.state == "PENDING":
                job.cancel(check=False)  # it may have begun since

    def _finish(self, job: Any) -> None:
        """Return when a job has ended well, or was lost; an error of the experiment is raised."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            self._digests.update(job.result())
        except FailedJobError as error:
            said = str(error).strip().splitlines()[-1]
            log = job.paths.stderr
            raise RunError(f"job {job.job_id} failed: {said}; its log: {log}") from None
        except UncompletedJobError:
            self._say(f"job {job.job_id} was lost; its log: {job.paths.stderr}")


def _left(entries: Sequence[Entry], until: int, listener: Ledger) -> list[Entry]:
    """Return the lanes that are not there yet, as far as they are."""
    found = listener.entries([entry.lane for entry in entries])
    return [entry for entry in found if not entry.step or entry.step < until]


def _steps(due: Due) -> dict[int, int]:
    return {entry.lane.number: entry.step for _, entries in due for entry in entries}
