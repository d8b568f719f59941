"""How long batches take now, by what they took of late."""

import pytest

from serving.engine.pace import MOST, Pace


def pace():
    return Pace(lambda rows: 0.1 * rows, 8)


def test_at_first_it_is_what_was_measured():
    assert pace().batch(4) == pytest.approx(0.4)
    assert pace().batch(20) == pytest.approx(0.8)
    assert pace().all(20) == pytest.approx(2.0)
    assert pace().all(0) == 0


def test_it_follows_a_machine_that_is_slower_or_faster():
    for times in (0.5, 3.0):
        found = pace()
        for _ in range(100):
            found.note(4, 0.4 * times)
        assert found.batch(8) == pytest.approx(0.8 * times, rel=1e-3)


def test_one_pause_is_soon_forgotten():
    found = pace()
    found.note(1, 1000.0)
    assert found.factor < MOST
    for _ in range(50):
        found.note(1, 0.1)
    assert found.factor == pytest.approx(1.0, abs=0.01)
