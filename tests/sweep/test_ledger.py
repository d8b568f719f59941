"""What the ledger says of lanes, to rules and to trackers."""

import contextlib

import numpy as np
import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.sweep import population, session, states, store
from mastery_jax.workflow.sweep.ledger import Ledger
from mastery_jax.workflow.sweep.plan import Group, Lane
from mastery_jax.workflow.sweep.search import Population, Search
from tests.toy import Config


class Tracked:
    """What a tracker is told."""

    def __init__(self):
        self.rows, self.ends = [], {}

    def lane(self, number, value, *, first=0):
        told = self

        class Handle:
            def log(self, rows):
                told.rows += [(number, row["step"]) for row in rows]

            def finish(self, state, metrics):
                told.ends[number] = state

        return Handle()


def lane(number, rate=0.1):
    fields = {"rate": rate, "seed": number}
    return Lane(number, fields, config.replace(Config(num_steps=10), fields))


def content(step, rows, fields):
    return states.dump({"w": np.array([float(step)])}, step=step, rows=rows, fields=fields)


def test_trackers_are_told_every_line_once(tmp_path):
    told = Tracked()
    ledger, one, rows = Ledger(tmp_path, say=print, tracked=told), lane(0), [{"step": 1}]
    ledger.pause(one, 1, rows, content(1, rows, one.fields))
    rows += [{"step": 2}]
    ledger.pause(one, 2, rows, content(2, rows, one.fields))
    rows += [{"step": 3, "loss": 0.5}]
    ledger.end(one, rows)
    assert told.rows == [(0, 1), (0, 2), (0, 3)]
    assert told.ends == {0: "done"}


def test_trackers_are_told_of_lanes_that_others_end(tmp_path):
    told = Tracked()
    ledger = Ledger(tmp_path, say=print, tracked=told)
    store.write_lane(tmp_path, 1, {"seed": 1}, [{"step": 1}, {"step": 1, "reason": "nan"}])
    ledger.look([lane(0), lane(1)])
    assert ledger.over == {1}
    assert told.ends == {1: "failed"}
    assert len(told.rows) == 2


def losses(number, until):
    return [{"step": step, "test_loss": float(number)} for step in (5, 10) if step <= until]


class Here:
    """Runs lanes whose loss is their number, and dies after some ends."""

    def __init__(self, ends):
        self.left = ends

    def advance(self, due, until, listener, interrupt):
        for _, entries in due:
            for entry in entries:
                number, fields = entry.lane.number, entry.lane.fields
                rows = losses(number, until)
                listener.pause(entry.lane, until, rows, content(until, rows, fields))
                if until == 10:
                    if not self.left:
                        raise KeyboardInterrupt
                    self.left -= 1
                    listener.end(entry.lane, rows)


@pytest.mark.parametrize("ends", range(8))
def test_a_population_moves_once_wherever_a_kill_falls(tmp_path, ends):
    search = Search(metrics=("test_loss:min",), stop=Population(every=5, fraction=0.5), seed=1)
    lanes = tuple(lane(number, 0.1 * (number + 1)) for number in range(8))
    group = Group(Config(num_steps=10), {}, lanes, None, None, 8)

    def run(folder, *kills):
        folder.mkdir(exist_ok=True)
        for left in kills:
            ledger = Ledger(folder, say=print)
            place, interrupt = Here(left), session.Interrupt()
            try:
                session.run([group], search, place=place, ledger=ledger, interrupt=interrupt)
            except KeyboardInterrupt:
                continue
        return store.lane_rows(folder)

    assert run(tmp_path / "killed", ends, 99) == run(tmp_path / "whole", 99)


class Failing(Here):
    """Runs lanes of which two fail, and dies before the last one of these is ended."""

    def advance(self, due, until, listener, interrupt):
        for _, entries in due:
            for entry in entries:
                number, fields = entry.lane.number, entry.lane.fields
                rows = losses(number, until)
                if number > 1 and until == 5:
                    assert not entry.rows  # it is not run again
                    rows = [{"step": 3, "loss": 1.0}, {"step": 3, "reason": "loss became nan"}]
                listener.pause(entry.lane, until, rows, content(until, rows, fields))
                if until == 10 or number > 1:
                    if not self.left:
                        raise KeyboardInterrupt
                    self.left -= 1
                    listener.end(entry.lane, rows)


@pytest.mark.parametrize("ends", range(4))
def test_a_lane_of_a_population_that_has_failed_is_ended_after_a_kill(tmp_path, ends):
    search = Search(metrics=("test_loss:min",), stop=Population(every=5, fraction=0.5), seed=1)
    group = Group(Config(num_steps=10), {}, tuple(map(lane, range(4))), None, None, 8)
    ledger = Ledger(tmp_path, say=print)
    for left in (ends, 99):
        ledger = Ledger(tmp_path, say=print)
        with contextlib.suppress(KeyboardInterrupt):
            session.run(
                [group], search, place=Failing(left), ledger=ledger, interrupt=session.Interrupt()
            )
    assert ledger.over == {0, 1, 2, 3}
    found = [(row["state"], row["step"]) for row in store.lane_rows(tmp_path)]
    assert found == [("done", 10)] * 2 + [("failed", 3)] * 2
    assert [row["step"] for row in ledger.rows(3)] == [3, 3]


def test_pairs_need_two_lanes():
    assert population.pairs({3: 1.0}, 0.5, (0,)) == {}
