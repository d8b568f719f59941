"""Calling the command line, here or as a process."""

import os
import pathlib
import subprocess
import sys

import click.testing

from mastery_jax import cli

FIRST, SECOND, SWEEP = (
    "20261123-081200-a1b2c3",
    "20261123-091200-bbbbbb",
    "20261124-091200-sweep-0123ab",
)
COMMANDS = [
    *("run", "sweep", "resume", "reproduce", "compare", "push", "export", "promote", "serve"),
    *("query", "db", "keys", "ls", "show", "configs"),
]


def call(*arguments):
    """Run the command line here; return its exit code, output and errors."""
    result = click.testing.CliRunner().invoke(cli.main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def process(*arguments, cwd=None):
    """Run it in a process that says afterwards whether jax was imported."""
    program = (
        "import atexit, sys\nfrom mastery_jax.cli import main\n"
        "atexit.register(lambda: sys.stderr.write(str('jax' in sys.modules)))\nmain()"
    )
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)
