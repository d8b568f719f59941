"""Batches that do not fit into memory are halved, and nothing is lost or run twice."""

import pytest

from mastery_jax.workflow import config, records
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import batch, driver, store


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\n")
    return config.load_sweep(path, ["rate=0.05,0.1", "seed=range(8)"])


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(Progress, "say", lambda self, line: lines.append(line))
    return lines


def sweep(made, runs):
    return driver.sweep(made, runs=runs, strategy="vmap", progress=Progress(quiet=True))


def test_what_compilation_shows_to_be_too_much_is_halved(made, said, tmp_path, monkeypatch):
    whole = sweep(made, tmp_path / "whole")
    monkeypatch.setattr(batch, "memory", lambda: 3_700)
    widths = []

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        widths.append(lanes["rate"].shape[0])
        return original(compiled, lanes, *args, **options)

    monkeypatch.setattr(batch.program, "drive", drive)
    folder = sweep(made, tmp_path / "halved")
    assert said == ["out of memory: from here on 8 lanes at a time"]
    assert widths == [8, 8]
    for mine, theirs in zip(store.lanes(folder), store.lanes(whole), strict=True):
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-5)


@pytest.mark.parametrize("at_step", [0, 10])
def test_what_runs_out_while_running_is_halved(made, said, tmp_path, monkeypatch, at_step):
    monkeypatch.setattr(batch.program, "LONGEST_CHUNK", 10)
    ended, has_failed = [], []

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        for event in original(compiled, lanes, *args, **options):
            if event.step > at_step and not has_failed:
                has_failed.append(event.step)
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")
            yield event

    def write(folder, number, fields, rows, original=store.write_lane):
        ended.append(number)
        return original(folder, number, fields, rows)

    monkeypatch.setattr(batch.program, "drive", drive)
    monkeypatch.setattr(store, "write_lane", write)
    folder = sweep(made, tmp_path)
    assert sorted(ended) == list(range(16))
    assert said == ["out of memory: from here on 8 lanes at a time"]
    for number in range(16):
        steps = [row["step"] for row in records.metrics(store.record(folder, number))]
        assert steps == list(range(1, 21))


def test_one_lane_a_device_that_does_not_fit_is_an_error(made, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "memory", lambda: 10)
    with pytest.raises(MemoryError, match="RESOURCE_EXHAUSTED: 4 lanes need"):
        sweep(made, tmp_path)


def test_memory_is_what_others_leave():
    assert 0 < batch.memory() * 4 < 2**45
