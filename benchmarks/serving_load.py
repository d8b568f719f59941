"""What servers make of a load: closed loops in turn, and an open loop.

The closed loop is wrk's where it is on the machine (Debian: ``apt-get install wrk``), else that of
``servers/load.py``; the open one is ``servers/open_load.py``. Either is a process of its own.
"""

import functools
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.serving_servers import Server

__all__ = ["Load", "Target", "closed", "generator", "in_turn", "open_loop"]

SCRIPTS = pathlib.Path(__file__).parent / "servers"


class Target(NamedTuple):
    """A server, and the requests that it is sent."""

    server: Server
    requests: pathlib.Path


class Load(NamedTuple):
    """What a server made of one turn."""

    cpu: float  # milliseconds a request, of its process tree
    rate: float  # requests a second
    p50: float  # milliseconds
    p99: float


@functools.cache
def generator() -> str:
    """Return the name of the closed loop."""
    return "wrk" if shutil.which("wrk") else "load.py"


def closed(target: Target, connections: int, seconds: float) -> Load:
    """Ask one server as fast as it answers.

    Raises:
        RuntimeError: an answer was not 200.
    """
    server, requests = target
    if generator() == "wrk":
        options = ["-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--timeout", "60s"]
        url = f"http://127.0.0.1:{server.port}"
        command = ["wrk", *options, "-s", str(SCRIPTS / "load.lua"), url, "--", str(requests)]
    else:
        script = [sys.executable, str(SCRIPTS / "load.py")]
        command = [*script, str(server.port), str(connections), str(seconds), str(requests)]
    before = server.cpu()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu = server.cpu() - before
    found = json.loads(done.stdout.splitlines()[-1])
    if found["bad"] or not found["good"]:
        raise RuntimeError(f"{server.name}: {found['good']} good answers, {found['bad']} others")
    server.settle()
    rate = found["good"] / found["seconds"]
    return Load(1e3 * cpu / found["good"], rate, found["p50"], found["p99"])


def in_turn(
    targets: Mapping[str, Target], connections: int, *, rounds: int, seconds: float
) -> dict[str, Load]:
    """Return the medians of each target; a first turn warms up. The order rotates by round."""
    turns: dict[str, list[Load]] = {name: [] for name in targets}
    names = list(targets)
    for name in names:
        closed(targets[name], connections, seconds)
    for turn in range(rounds):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            turns[name].append(closed(targets[name], connections, seconds))
    return {name: median(each) for name, each in turns.items()}


def median(turns: Sequence[Load]) -> Load:
    """Return the medians, each for itself."""
    return Load(*(statistics.median(getattr(t, f) for t in turns) for f in Load._fields))


def open_loop(target: Target, rate: float, seconds: float, deadline: float) -> dict:
    """Ask at a rate, whatever comes back; see ``servers/open_load.py``."""
    script = [sys.executable, str(SCRIPTS / "open_load.py")]
    numbers = (target.server.port, rate, seconds, deadline)
    done = subprocess.run(
        [*script, *map(str, numbers), str(target.requests)],
        capture_output=True,
        text=True,
        check=True,
    )
    target.server.settle()
    return json.loads(done.stdout)
