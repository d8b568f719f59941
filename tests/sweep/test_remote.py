"""What is known of lanes that run elsewhere, where those that run them are lost."""

import contextlib
import dataclasses

import numpy as np
import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import cluster, remote, slurm, states
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.plan import Lane
from tests.toy import Config

HOW = remote.How("tests.toy", "loop", 1, 1)
FAILED = [{"step": 2, "loss": 1.0}, {"step": 2, "reason": "loss became nan at step 2"}]


def news(step, rows=(), number=3):
    return remote.News(number, step, list(rows), None if step is None else b"state", {"seed": 3})


def entry(step=0, rows=(), number=3):
    value = config.replace(Config(num_steps=10), {"seed": number})
    state = states.dump({"w": np.zeros(2)}, step=step, rows=rows, fields={}) if step else None
    return Entry(Lane(number, {"seed": number}, value), step, list(rows), state)


def taken(collector):
    return [(each.number, each.step) for each in collector.take()]


def test_of_a_lane_that_is_over_nothing_more_is_heard():
    collector = cluster.Collector()
    for step in (5, None, 10, None):
        collector.put(news(step))
    assert taken(collector) == [(3, 5), (3, None)]
    assert collector.known((3, 4))[3].step is None
    assert taken(collector) == []


def test_a_machine_that_was_taken_for_lost_throws_nothing_back():
    """It comes to a step that what replaced it has left behind."""
    collector = cluster.Collector()
    for step in (20, 12, 20):
        collector.put(news(step))
    assert taken(collector) == [(3, 20)]
    assert collector.known((3,))[3].step == 20


def test_what_was_known_of_a_rung_is_forgotten_at_the_next():
    """A population has moved its lanes since: a task that is lost begins with what it was given."""
    collector = cluster.Collector()
    collector.put(news(5))
    collector.put(news(None, number=4))
    collector.forget()
    assert collector.known((3, 4)) == {}
    collector.put(news(10))
    assert collector.known((3,))[3].step == 10
    assert taken(collector) == [(3, 5), (4, None), (3, 10)]


@pytest.mark.parametrize(
    ("known", "reported"),
    [
        pytest.param(news(None), [], id="it is over"),
        pytest.param(news(5, [{"step": 5}]), [], id="it waits at the rung"),
        pytest.param(news(2, FAILED), FAILED, id="it has failed and was not ended"),
        pytest.param(news(10, [{"step": 10}]), [{"step": 10}], id="it is at its end"),
    ],
)
def test_what_was_run_by_a_task_that_is_lost_is_not_run_again(known, reported):
    said = []
    part = remote.pack([entry()], HOW, 5, keeps_states=True)
    remote.work(part, said.append, known={3: known})  # would fail: the state is none of the toy's
    assert [row for each in said for row in each.rows] == reported
    assert [each.step for each in said] == [None] * bool(reported)


@dataclasses.dataclass
class Job:
    """A job that never ends."""

    state: str = "RUNNING"
    is_cancelled: bool = False

    def done(self):
        return False

    def cancel(self, check=True):
        self.is_cancelled = True
        if check or self.state == "LOST":
            raise OSError("scancel is not here")


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Return a queue whose jobs never end, and the jobs."""
    made = slurm.Slurm("", tmp_path, strategy="loop", width=1, jobs=2, cluster="local", say=print)
    jobs = [Job("LOST"), Job("PENDING")]

    left = iter(jobs)

    class Executor:
        batch = contextlib.nullcontext

        def submit(self, *_):
            return next(left)

    monkeypatch.setattr(made, "_executor", Executor())
    monkeypatch.setattr(slurm, "SECONDS", 0)
    return made, jobs


def test_jobs_are_taken_back_when_the_driver_fails(queue, tmp_path, monkeypatch):
    """All of them, and what is raised is what went wrong, though a job cannot be cancelled."""
    made, jobs = queue
    ledger = Ledger(tmp_path, say=print)

    def fail(lanes):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(ledger, "look", fail)
    due = [(None, [entry(), entry(number=4)])]
    with pytest.raises(RuntimeError, match="the disk is full"):
        made.advance(due, 5, ledger, Interrupt())
    assert [job.is_cancelled for job in jobs] == [True, True]


def test_a_job_that_waits_no_more_is_no_error(queue, tmp_path):
    """It began, or ended, between the look at it and the call."""
    made, jobs = queue
    made._stop(jobs)
    assert (tmp_path / slurm.STOP).exists()
    assert [job.is_cancelled for job in jobs] == [False, True]
