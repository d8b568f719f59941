"""The long run of tests/soak.py, cut short; and that it would fail on what must not be."""

import json

import pytest

from tests.serving import served
from tests.serving.visitors import Tally, asks
from tests.soak import Found, soak, table

ONCE = float(served.ROWS[0] @ served.W[:, 0])  # what the first version says


@pytest.mark.slow
def test_nothing_fails_and_nothing_grows():
    found = soak(30.0)
    assert found.faults == [], "\n".join(table(found))
    kinds = found.tally.statuses
    assert kinds["predict"]["200"] > 20
    assert kinds["reload"]["200"] > 3
    assert kinds["reset in the body"]["left"] > 10


@pytest.mark.parametrize(
    ("memory", "after", "wanted"),
    [
        ([100.0] * 9 + [104.0] * 9, 14, []),
        ([100.0] * 9 + [106.0] * 9, 14, ["memory grew by 6.0%"]),
        ([100.0] * 18, 15, ["15 descriptors are open"]),
    ],
)
def test_what_grows_is_seen(memory, after, wanted):
    faults = Found(Tally(), memory, (14, after), 1.0).faults
    assert len(faults) == len(wanted)
    assert all(fault.startswith(words) for fault, words in zip(faults, wanted, strict=True))


@pytest.mark.parametrize(
    ("status", "told", "is_fault"),
    [
        (200, {"predictions": [ONCE], "model_version": 2}, True),
        (503, {"status": 503, "detail": "", "request_id": "1"}, True),
        (200, {"predictions": [2 * ONCE], "model_version": 2}, False),
    ],
)
def test_a_wrong_answer_is_seen(status, told, is_fault):
    tally, ask = Tally(), next(ask for ask in asks() if ask.name == "predict")
    tally.add(ask, status, json.dumps(told).encode(), 0.001)
    assert bool(tally.faults) == is_fault
