"""A folder has one writer, who is named to the others."""

import errno
import getpass
import os
import socket
import subprocess
import sys

import pytest

from mastery_jax.workflow import files
from mastery_jax.workflow.errors import RunError

HELD = (
    "import sys, pathlib; from mastery_jax.workflow import files\n"
    "with files.lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def other(tmp_path):
    """Hold the folder by another process."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HELD, str(tmp_path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def refusal(folder):
    with pytest.raises(RunError) as error, files.lock(folder):
        pass
    return str(error.value)


def test_who_holds_a_folder_is_said(other, tmp_path):
    said = refusal(tmp_path)
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    assert said.startswith(f"{tmp_path} is in use by process {other.pid} of {who} since 2")


@pytest.mark.parametrize("content", ["", "4242", "{", "[1]", '{"process": "x"}', "\0\udcff"])
def test_a_damaged_lock_holds_all_the_same(other, tmp_path, content):
    (tmp_path / "lock").write_text(content, errors="surrogateescape")
    assert refusal(tmp_path) == f"{tmp_path} is in use by another process"


def test_a_lock_that_was_left_behind_holds_nothing(tmp_path):
    (tmp_path / "lock").write_text("what an older process wrote, which is longer than a name" * 9)
    with files.lock(tmp_path):
        assert "longer" not in (tmp_path / "lock").read_text()
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    with files.lock(tmp_path):
        pass


def test_a_user_without_a_name_has_a_number(monkeypatch):
    def nameless():
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert files.who() == f"{os.getuid()}@{socket.gethostname()}"


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system")]
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch, number, said):
    def refuse(handle):
        raise OSError(number, os.strerror(number))

    files.write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match=f"cannot be written: {said}"), files.writing(tmp_path):
        files.write_text(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
