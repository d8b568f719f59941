"""All trackers in a process of their own: results alone are printed, and nobody is called."""

import os
import pathlib
import sqlite3
import subprocess
import sys

import pytest

from mastery_jax.workflow import records
from tests.track.test_tensorboard import scalars
from tests.track.test_wandb import read

PROGRAM = """
import socket, sys
def called(*args, **options):
    raise SystemExit(f"a server is asked for: {args}")
socket.getaddrinfo = called
connect = socket.socket.connect
socket.socket.connect = lambda self, to: connect(self, to) if isinstance(to, str) else called(to)
from mastery_jax.cli import main
main()
"""


@pytest.mark.slow
def test_only_results_are_printed_and_no_server_is_asked(tmp_path):
    (tmp_path / "toy.yaml").write_text("experiment: tests.toy\nnum_steps: 40\n")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "MLFLOW", "TRACKIO"))}
    env |= {"PYTHONPATH": str(pathlib.Path(__file__).parents[2]), "TRACKIO_DIR": str(tmp_path)}
    names = "tensorboard,mlflow,trackio,wandb"
    words = ["run", "toy.yaml", "--quiet", "--track", names]
    command = [sys.executable, "-c", PROGRAM, *words]
    given = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **given)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "toy").iterdir()
    assert done.stdout == f"{folder.relative_to(tmp_path)}\n"
    assert done.stderr == ""
    steps = [row["step"] for row in records.metrics(folder)]
    assert [step for step, tag, _ in scalars(folder / "events") if tag == "loss"] == steps
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    assert sum(record.HasField("history") for record in read(path)) == len(steps)
    for name, table, where in (("mlflow", "metrics", "key = 'loss'"), ("toy", "metrics", "1")):
        connection = sqlite3.connect(tmp_path / f"{name}.db")
        count = connection.execute(f"select count(*) from {table} where {where}").fetchone()
        connection.close()
        assert count == (len(steps),), name
