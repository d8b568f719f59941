"""Progress: redrawn on a terminal, sparse in a pipe, silent when quiet."""

import io

import pytest

from mastery_jax.workflow.progress import Progress, duration, number


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def terminal_type(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def work(progress, clock, *, steps=100, seconds=0.125):
    with progress:
        progress.start("digits", steps, "steps")
        for step in range(1, steps + 1):
            clock.now += seconds
            progress.update(step, {"loss": 1.0 / step})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (3661, "1:01:01"), (183_845, "2 d 03:04")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97222, "0.9722"), (12345.6, "12,346"), (1e-5, "1e-05"), (3, "3"), (float("nan"), "nan")],
)
def test_number(value, text):
    assert number(value) == text


def test_pipe_is_sparse_and_has_the_last_line(clock):
    stream = io.StringIO()
    work(Progress(stream=stream, clock=clock), clock)
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert len(lines) == 7, "12.5 s of work: a line every 2 s, and the last"
    assert lines[0].split("  ") == [
        "digits", " 16%", "16/100 steps", "8 steps/s", "0:10 left", "loss 0.0625",
    ]  # fmt: skip
    assert lines[-1].split("  ")[1:] == [
        "100%", "100/100 steps", "8 steps/s", "in 0:12", "loss 0.01",
    ]  # fmt: skip


def test_quiet_writes_nothing(clock):
    stream = Terminal()
    progress = Progress(quiet=True, stream=stream, clock=clock)
    progress.say("hello")
    work(progress, clock)
    assert stream.getvalue() == ""


def test_terminal_redraws_one_line(clock, monkeypatch):
    stream = Terminal()
    work(Progress(stream=stream, clock=clock), clock)
    drawn = stream.getvalue().split("\r")
    assert len(drawn) > 50
    assert stream.getvalue().count("\n") == 1
    assert "████████████░░░░░░░░░░░░" in drawn[51]
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    work(Progress(stream=stream, clock=clock), clock)
    assert (
        max(len(d.replace("\x1b[K", "").rstrip("\n")) for d in stream.getvalue().split("\r")) < 40
    )


def test_dumb_terminal_gets_plain_lines(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    work(Progress(stream=stream, clock=clock), clock)
    assert "\r" not in stream.getvalue()


def test_say_stands_above_the_line(clock):
    stream = Terminal()
    progress = Progress(stream=stream, clock=clock)
    progress.start("digits", 10, "steps")
    progress.say("checkpoint saved")
    assert "\r\x1b[Kcheckpoint saved\n\rdigits" in stream.getvalue()


def test_resumed_steps_do_not_count_in_the_rate(clock):
    stream = io.StringIO()
    progress = Progress(stream=stream, clock=clock)
    progress.start("digits", 1000, "steps", done=900)
    clock.now += 10
    progress.update(950)
    assert "5 steps/s  0:10 left" in stream.getvalue()


def test_rate_forgets_the_compile_time(clock):
    stream = io.StringIO()
    progress = Progress(stream=stream, clock=clock)
    progress.start("digits", 10_000, "steps")
    clock.now += 600
    for step in range(1000, 9000, 20):
        clock.now += 2
        progress.update(step)
    assert "  10 steps/s" in stream.getvalue().splitlines()[-1]
    progress.finish()
    assert "  6.414 steps/s  in 23:20" in stream.getvalue().splitlines()[-1]


def test_a_whole_line_of_metrics_is_taken(clock):
    stream = io.StringIO()
    with Progress(stream=stream, clock=clock) as progress:
        progress.start("digits", 10, "lanes")
        progress.update(1, {"step": 100, "loss": 0.5})
        progress.update(2, {"step": 7, "reason": "loss became nan at step 7"})
    assert stream.getvalue().endswith("  loss 0.5  reason loss became nan at step 7\n")


def test_nothing_to_count_and_no_metrics(clock):
    stream = io.StringIO()
    with Progress(stream=stream, clock=clock) as progress:
        progress.start("ridge", 0, "steps")
        clock.now += 3
    assert stream.getvalue() == "ridge  in 0:03\n"


def test_last_line_is_written_when_the_work_fails(clock):
    stream = io.StringIO()
    progress = Progress(stream=stream, clock=clock)

    def fail():
        progress.start("digits", 10, "steps")
        clock.now += 1
        progress.update(4)
        raise KeyError

    with pytest.raises(KeyError), progress:
        fail()
    assert stream.getvalue().endswith("40%  4/10 steps  4 steps/s  in 0:01\n")


def test_update_is_cheap(clock):
    reads = []
    progress = Progress(stream=io.StringIO(), clock=lambda: reads.append(0) or 0.0)
    progress.start("digits", 10, "steps")
    progress.update(1)
    assert len(reads) == 2
