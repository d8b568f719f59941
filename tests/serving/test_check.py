"""What is said before anything is bound."""

import os
import signal
import socket
import sqlite3

import click.testing
import pytest

from mastery_jax import cli
from mastery_jax.workflow.errors import ConfigError
from serving.access import keys
from serving.access.terms import Access
from serving.engine import trial
from serving.process import check
from serving.process.door import listen
from serving.settings import Settings
from serving.store import maintenance


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    """Remember no trial of others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def told(folder, **given):
    """Return the status and the sentences."""
    said = []
    return check.check(Settings(models=folder, **given), said.append), said


def test_all_is_well(shelf):
    shelf.add("flower", 1)
    shelf.add("line", 1)
    shelf.add("line", 2)
    status, said = told(shelf.folder)
    assert status == 0
    assert said == [
        f"ok: settings: {shelf.folder} would be served",
        "ok: flower/1: it loads, and answers its golden rows",
        "ok: line/2: it loads, and answers its golden rows",
    ]


def test_the_command_binds_nothing(shelf):
    shelf.add("line", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        command = ["serve", "--models", str(shelf.folder), "--port", port, "--check"]
        done = click.testing.CliRunner().invoke(cli.main, command, standalone_mode=False)
    assert done.return_value == 0
    assert "ok: line/1" in done.stdout


def test_a_damaged_model_and_a_whole_one(shelf):
    path = shelf.add("flower", 1) / "params.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    shelf.add("line", 1)
    status, said = told(shelf.folder)
    assert status == 2
    assert any(line.startswith("wrong: flower/1: ") and "params" in line for line in said)
    assert "ok: line/1: it loads, and answers its golden rows" in said


@pytest.mark.parametrize("damage", ["cut", "changed", "deleted"])
def test_what_loaded_before_is_looked_at_again(shelf, damage):
    folder = shelf.add("line", 1)
    assert told(shelf.folder)[0] == 0
    status, said = told(shelf.folder)
    assert status == 0
    assert said[-1] == "ok: line/1: its files are those that loaded here before, by their sums"
    path = folder / ("predict.stablehlo" if damage == "deleted" else "params.safetensors")
    content = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else content[:-1] + b"~")
    status, said = told(shelf.folder)
    assert status == 2
    assert said[-1].startswith("wrong: line/1: ")
    assert path.name in said[-1]


def test_a_model_that_ends_its_process(shelf, monkeypatch):
    shelf.add("line", 1)
    dies = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    program = shelf.folder.parent / "python"
    program.write_text(f'#!/bin/sh\nexec "{trial.sys.executable}" -c "{dies}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", os.fspath(program))
    status, said = told(shelf.folder)
    assert status == 2
    assert "ended the process that tried it (signal 9)" in said[-1]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ('{"versions": [1, 7]}', "line/7: it is asked for, and not there"),
        ('{"versions": 0}', "serving.json"),
        ('{"version": 1}', "did you mean versions?"),
        ('{"shadow": "next"}', "line: shadow: 'next' is no label or version that is loaded"),
        ('{"default": "3"}', "line: default: '3' is no label or version that is loaded"),
        ('{"traffic": {"canary": 0.1}}', "line: traffic: 'canary' is no label or version"),
    ],
)
def test_a_policy_that_cannot_be(shelf, policy, words):
    shelf.add("line", 1)
    (shelf.folder / "line" / "serving.json").write_text(policy)
    status, said = told(shelf.folder)
    assert status == 2
    assert any(line.startswith("wrong: ") and words in line for line in said)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": 0}, "workers: 0 is not between 1 and"),
        ({"port": 70000}, "port: 70000"),
        ({"drain_seconds": -1.0}, "drain_seconds: -1"),
        ({"head_seconds": 0.0}, "head_seconds: 0"),
    ],
)
def test_settings_that_cannot_be(shelf, given, words):
    status, said = told(shelf.folder, **given)
    assert (status, len(said)) == (2, 1)
    assert words in said[0]


def test_no_models(shelf, tmp_path):
    assert told(shelf.folder)[1][-1].endswith("has no model; `mastery export` makes one")
    status, said = told(tmp_path / "nowhere")
    assert status == 2
    assert "nowhere is not a folder" in said[0]


@pytest.mark.parametrize(
    ("part", "what"), [("line", "the versions of line"), ("line/1", "version 1 of line")]
)
def test_the_folder_of_one_model(shelf, part, what):
    shelf.add("line", 1)
    status, said = told(shelf.folder / part)
    assert status == 2
    wanted = f"has no model, but is {what}: --models {shelf.folder} was probably meant"
    assert said[-1].endswith(wanted)


@pytest.mark.parametrize("number", [13, 98])
def test_a_port_that_cannot_be_had(number, monkeypatch):
    class Door(socket.socket):
        def bind(self, address):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Door)
    words = f"port: 127.0.0.1:80 cannot be had: {os.strerror(number)}"
    with pytest.raises(ConfigError, match=words), listen("127.0.0.1", 80):
        raise AssertionError("it is not ours")


def sqlite(path):
    return f"sqlite:///{path}"


def test_a_store_is_looked_at_and_not_made(shelf, tmp_path):
    url = sqlite(tmp_path / "p.sqlite3")
    assert f"ok: store: {url} would be made" in told(shelf.folder, store=url)[1]
    assert not (tmp_path / "p.sqlite3").exists()
    maintenance.upgrade(url)
    before = (tmp_path / "p.sqlite3").read_bytes()
    assert f"ok: store: {url} is up to date" in told(shelf.folder, store=url)[1]
    assert (tmp_path / "p.sqlite3").read_bytes() == before


def test_a_store_of_a_newer_program(shelf, tmp_path):
    url = sqlite(tmp_path / "p.sqlite3")
    maintenance.upgrade(url)
    with sqlite3.connect(tmp_path / "p.sqlite3") as connection:
        connection.execute("UPDATE predictions_version SET version_num = '9999'")
    said = told(shelf.folder, store=url)[1]
    assert any(line.startswith("wrong: store: ") and "newer" in line for line in said)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"store": "mysql://localhost/x"}, "store: mysql is not offered"),
        ({"store": "sqlite:////nowhere/at/all.sqlite3"}, "/nowhere/at is no folder"),
        ({"store": "postgresql://127.0.0.1:1/x"}, "store: postgresql+psycopg://127.0.0.1:1/x: "),
        ({"cache": "memcached://localhost"}, "cache: what came is no URL of Redis"),
        ({"otel": "localhost"}, "otel: 'localhost' is no address"),
    ],
)
def test_what_the_settings_lead_to(shelf, given, words):
    said = told(shelf.folder, **given)[1]
    assert any(line.startswith("wrong: ") and words in line for line in said)


def test_a_file_that_is_no_database(shelf, tmp_path):
    (tmp_path / "p.sqlite3").write_text("no database" * 100)
    said = told(shelf.folder, store=sqlite(tmp_path / "p.sqlite3"))[1]
    assert any(line.startswith("wrong: store: ") and "not a database" in line for line in said)


def test_the_keys_are_read(shelf, tmp_path):
    path = tmp_path / "keys.json"
    access = Access(keys=path)
    assert (
        f"ok: keys: {path} would be made, with a first key" in told(shelf.folder, access=access)[1]
    )
    assert not path.exists()
    keys.add(path, "one", ["read"])
    assert f"ok: keys: {path} has 1" in told(shelf.folder, access=access)[1]
    path.write_text("{")
    said = told(shelf.folder, access=access)[1]
    assert any(line.startswith("wrong: keys: ") for line in said)


def test_redis_may_be_down(shelf):
    said = told(shelf.folder, cache="redis://127.0.0.1:1/0")[1]
    assert "ok: cache: Redis does not answer now" in said


def test_a_server_that_is_not_installed(shelf, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, said = told(shelf.folder, server="granian")
    assert (status, len(said)) == (2, 1)
    assert "pip install 'mastery-jax[granian]'" in said[0]
