"""Programs of one sweep share the data that they have on a device."""

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import plan
from mastery_jax.workflow.sweep.ledger import Entry
from mastery_jax.workflow.sweep.remote import Reporter
from mastery_jax.workflow.sweep.strategies import Here

COLUMNS = "data.columns=[effect,std_error],[std_error,effect]"


def advanced(toy, strategy, *fields):
    """Return the place at which a sweep was run, and the last row of each lane."""
    made, said = plan.plan(config.load_sweep(toy, fields), strategy=strategy), []
    place = Here("tests.toy", strategy=strategy, width=4, say=pytest.fail, threads=1)
    due = [(g, [Entry(lane, 0, [], None) for lane in g.lanes]) for g in made.groups]
    place.advance(due, 20, Reporter(said.append, keeps_states=False), Interrupt())
    return place, {news.number: news.rows[-1] for news in said}


@pytest.mark.parametrize("strategy", ["loop", "vmap", "map"])
def test_equal_data_is_on_a_device_once(toy, strategy):
    place, found = advanced(toy, strategy, "copies=2,3")
    assert len(place._engines) == 2
    assert len(place._arrays) == 1
    for number, copies in enumerate((2, 3)):
        _, alone = advanced(toy, strategy, f"copies={copies}", "seed=0,1")
        assert alone[0] == found[number]


@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_other_data_is_kept_apart(toy, strategy):
    place, found = advanced(toy, strategy, COLUMNS)
    assert len(place._arrays) == 2
    assert {key[0].columns for key in place._arrays} == {
        ("effect", "std_error"),
        ("std_error", "effect"),
    }
    assert len(found) == 2
