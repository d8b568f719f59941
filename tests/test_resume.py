"""What a run began with is what it goes on with, unless it is forced; trouble is one sentence."""

import errno
import os
import pathlib

import pytest

from mastery_jax.workflow import (
    checkpoint,
    config,
    environment,
    files,
    records,
    run,
    sources,
    stops,
)
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 5\nsave_every: 5\n")
    return path


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    return run.run(config.load(toy), runs=tmp_path_factory.mktemp("runs"), progress=QUIET)


@pytest.fixture
def stopped(toy, tmp_path, monkeypatch):
    """Stop a run in the middle."""
    with monkeypatch.context() as patch:
        patch.setattr(stops.Interrupt, "__init__", lambda self: setattr(self, "asked", True))
        return run.run(config.load(toy), runs=tmp_path, progress=QUIET)


def test_the_program_and_the_code_are_recorded(whole, stopped):
    found = environment.read(whole)
    assert found["programs"] == environment.read(stopped)["programs"]
    assert len(found["programs"][0]) == 64
    assert {"tests.toy", "mastery_jax"} <= found["code"].keys()
    assert (found["strategy"], found["width"], found["seeds"]) == ("loop", 1, [0])


def test_another_program_has_another_digest(toy, whole, tmp_path):
    for changes, is_same in (["rate=0.2", "seed=3"], True), (["copies=3"], False):
        prepared = run.ready(config.load(toy, changes))
        assert (prepared.program.digest in environment.read(whole)["programs"]) is is_same


def edit(folder, was, now):
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace(was, now))


def test_a_changed_field_is_named_and_can_be_forced(stopped):
    edit(stopped, "rate: 0.1", "rate: 0.2")
    with pytest.raises(RunError, match=r"\(rate was 0\.1 and is 0\.2\); .* with --force"):
        run.resume(stopped, progress=QUIET)
    assert records.read(stopped).state == "interrupted"
    run.resume(stopped, progress=QUIET, force=True)
    assert records.read(stopped).state == "finished"
    (entry,) = environment.read(stopped)["forced"]
    assert entry["differences"] == ["rate was 0.1 and is 0.2"]


def test_changed_code_is_named_and_refused(stopped, monkeypatch):
    digests = sources.digests

    def changed(experiment):
        return digests(experiment) | {"tests.toy": "0" * 64}

    monkeypatch.setattr(sources, "digests", changed)
    with pytest.raises(RunError, match=r"its code .*module tests\.toy was .* and is 000000000000"):
        run.resume(stopped, progress=QUIET)


@pytest.mark.parametrize("text", ["", "{", '{"config": []}'])
def test_a_damaged_record_is_named_and_can_be_removed(stopped, whole, text):
    (stopped / "environment.json").write_text(text)
    with pytest.raises(RunError, match=r"environment\.json is damaged, .*; remove it to go on"):
        run.resume(stopped, progress=QUIET)
    (stopped / "environment.json").unlink()
    run.resume(stopped, progress=QUIET)
    assert records.metrics(stopped) == records.metrics(whole)
    assert environment.read(stopped)["programs"]


def refusing(number):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_folder_that_cannot_be_written(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(pathlib.Path, "mkdir", refusing(errno.EROFS))
    with pytest.raises(RunError, match=r"a run cannot be kept under .*: Read-only file"):
        run.run(config.load(toy), runs=tmp_path, progress=QUIET)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_run_in_a_folder_of_somebody_else(stopped, monkeypatch, number):
    before = (stopped / "status.json").read_bytes()
    opened, refuse = pathlib.Path.open, refusing(number)

    def choose(path, *arguments, **options):
        return (refuse if path.name == "lock" else opened)(path, *arguments, **options)

    monkeypatch.setattr(pathlib.Path, "open", choose)
    with pytest.raises(RunError, match=f"cannot be written: {os.strerror(number)}"):
        run.resume(stopped, progress=QUIET)
    assert (stopped / "status.json").read_bytes() == before


@pytest.mark.parametrize("writes", range(6))
def test_a_disk_that_fills_up_is_one_sentence_and_no_loss(
    toy, whole, tmp_path, monkeypatch, writes
):
    """Whichever file is the first that does not fit, the run can go on when there is room."""
    left, fsync = iter(range(writes)), os.fsync

    def full_after(handle):
        if next(left, None) is None:
            refusing(errno.ENOSPC)()
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after)
        with pytest.raises(RunError, match="No space left on device"):
            run.run(config.load(toy), runs=tmp_path, progress=QUIET)
    (folder,) = (tmp_path / "toy").iterdir()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    if not writes:  # not even its config
        with pytest.raises(RunError, match=r"has no config\.yaml: it is not a run"):
            run.resume(folder, progress=QUIET)
        return
    run.resume(folder, progress=QUIET)
    assert records.metrics(folder) == records.metrics(whole)
    assert checkpoint.steps(folder) == [20]


def test_metrics_that_do_not_fit_are_taken_again(toy, whole, tmp_path, monkeypatch):
    def half(path, rows, append=files.append_lines):
        append(path, rows)
        if path.name == "metrics.jsonl" and path.stat().st_size > 300:
            with path.open("ab") as file:
                file.truncate(path.stat().st_size - 7)
            refusing(errno.ENOSPC)()

    with monkeypatch.context() as patch:
        patch.setattr(files, "append_lines", half)
        with pytest.raises(RunError, match="No space left on device"):
            run.run(config.load(toy), runs=tmp_path, progress=QUIET)
    (folder,) = (tmp_path / "toy").iterdir()
    assert records.read(folder).state == "failed"
    run.resume(folder, progress=QUIET)
    assert records.metrics(folder) == records.metrics(whole)
