"""Several processes stop together: a signal to one is a question to all."""

import signal

import pytest

from mastery_jax.workflow.stops import Interrupt, interrupts
from mastery_jax.workflow.sweep import hosts, processes


@pytest.fixture
def others(monkeypatch):
    """Return what the other process of two says, to be set."""
    said = [False, False]

    def agree(*asked):
        return tuple(mine or theirs for mine, theirs in zip(asked, said, strict=True))

    monkeypatch.setattr(processes, "are_several", lambda: True)
    monkeypatch.setattr(processes, "agree", agree)
    return said


def test_a_signal_stops_a_process_alone_at_once():
    with interrupts() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.asked


def test_a_signal_to_one_of_several_waits_for_the_others(others):
    with interrupts() as interrupt:
        interrupt.is_shared = True
        signal.raise_signal(signal.SIGTERM)
        assert not interrupt.asked  # the others would wait for this one
        assert hosts._Signal(interrupt).asked  # its own lanes pause, though
        processes.settle(interrupt)
        assert interrupt.asked


def test_a_signal_to_another_stops_this_one(others):
    interrupt = Interrupt()
    processes.settle(interrupt)
    assert not interrupt.asked
    others[0] = True
    processes.settle(interrupt)
    assert interrupt.asked
    assert not hosts._Signal(interrupt).asked


def test_what_is_due_to_one_is_due_to_all(others):
    others[1] = True
    interrupt = Interrupt()
    assert processes.settle(interrupt)
    assert not interrupt.asked


def test_a_second_signal_acts_at_once():
    with interrupts() as interrupt:
        interrupt.is_shared = True
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
