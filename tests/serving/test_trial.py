"""What was never loaded here is loaded by a child first."""

import signal

import pytest

from mastery_jax.workflow import artifact
from mastery_jax.workflow.errors import ArtifactError
from serving.engine import trial


@pytest.fixture
def folder(shelf, monkeypatch):
    """Give a published version, and a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shelf.folder.parent / "cache"))
    return shelf.add("line", 1)


def test_what_loads_is_tried_once(folder, monkeypatch):
    digest = artifact.digest(folder)
    trial.hold(folder, digest)
    monkeypatch.setattr(trial, "_verdict", lambda folder: "tried again")
    trial.hold(folder, digest)
    with pytest.raises(ArtifactError, match="tried again"):
        trial.hold(folder, "another")


def test_what_is_refused_says_why(folder):
    program = folder / "predict.stablehlo"
    program.write_bytes(program.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"predict\.stablehlo"):
        trial.hold(folder, artifact.digest(folder))


@pytest.mark.parametrize(
    ("end", "words"),
    [(f"os.kill(os.getpid(), {signal.SIGABRT})", "signal 6"), ("os._exit(3)", "status 3")],
)
def test_what_kills_its_process(folder, monkeypatch, tmp_path, end, words):
    child = tmp_path / "child"
    child.write_text(f"#!/usr/bin/env python3\nimport os\n{end}\n")
    child.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", str(child))
    with pytest.raises(ArtifactError, match=words):
        trial.hold(folder, artifact.digest(folder))
