"""CPU a request, requests a second and latency: ours beside FastAPI, MLServer, LitServe, BentoML.

Two models of scikit-learn, a network 64-256-10 and a forest of 100 trees, one row of 64 numbers a
request, 64 different ones. ``mastery serve`` answers with its defaults, the peers as their own
documents recommend. All must give the same answers first. The servers of a model are up at once
and loaded in turn, in another order every round. On a busy machine compare the CPU of a request,
over the process tree; requests a second say little there.

Then: what twice as many requests as can be answered come to, and how long a start takes.

    python -m benchmarks.serving [network|forest|overload|start ...]
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks import harness, serving_models, serving_overload, serving_start
from benchmarks.harness import Row
from benchmarks.serving_load import Load, Target, generator, in_turn
from benchmarks.serving_servers import (
    HEADERS,
    OURS,
    PEERS,
    SCRIPTS,
    Server,
    command,
    peer_command,
    started,
)
from mastery_jax.workflow import launch

FAMILY = "serving"
CONNECTIONS = (1, 64)
ROUNDS = 3
SECONDS = 3  # of one turn; wrk counts in whole ones
CLOSE = 1e-5  # between probabilities: single precision beside double
BINARY = "ours, v2 in binary"
DIRECT = "ours without a queue"
ONE_PASS = "FastAPI, scikit-learn, one pass"  # a guide's calls the model twice
PROGRAM = "FastAPI, our program"  # what the server costs, whatever it computes
LEAN = {ONE_PASS, PROGRAM}
TITLES = {"network": "network 64-256-10", "forest": "forest of 100 trees"}
GOALS = {  # by model and peer: how many times less CPU we want to take, at 64 connections
    "network": {
        "FastAPI, scikit-learn": 5,
        ONE_PASS: 3,
        PROGRAM: 2,
        "MLServer, batching": 6,
        "LitServe, batching": 7,
        "BentoML, batching": 10,
    },
    "forest": {
        "FastAPI, scikit-learn": 40,
        ONE_PASS: 20,
        PROGRAM: 2,
        "MLServer, batching": 4,
        "LitServe, batching": 4,
        "BentoML, batching": 4,
    },
}
BESIDE = 2  # times more requests a second, and a median latency as many times lower; LEAN: 1
NO_SLOWER = 0.95  # of what the queue costs at one connection; a turn's own scatter is as large


class Field(NamedTuple):
    """The servers of one model that are up, by name, and what is to be said of them."""

    targets: dict[str, Target]
    notes: list[str]


@contextlib.contextmanager
def field(kind: str, folder: pathlib.Path) -> Iterator[Field]:
    """Start ours and every peer that starts; hold their answers against each other."""
    X = serving_models.prepare(kind, folder)
    models = folder / "models"
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(started(OURS, command(models)))
        script = [sys.executable, str(SCRIPTS / "unbatched.py"), str(models)]
        direct = stack.enter_context(started(DIRECT, script))

        def target(server: Server, protocol: str, headers: Mapping[str, str]) -> Target:
            path = folder / f"{server.port}-{protocol}.requests"
            return Target(server, serving_models.write(path, protocol, X, headers))

        targets, protocols, notes = {}, {}, []
        for name, server, protocol in (
            (OURS, ours, "plain"),
            (BINARY, ours, "binary"),
            (DIRECT, direct, "plain"),
        ):
            targets[name], protocols[name] = target(server, protocol, HEADERS), protocol
        for name, peer in PEERS.items():
            try:
                its = peer_command(peer, folder)
                server = stack.enter_context(started(name, its, peer.is_up))
            except (subprocess.CalledProcessError, RuntimeError) as error:
                notes.append(f"Left out, {TITLES[kind]}: {error}")
                continue
            targets[name], protocols[name] = target(server, peer.protocol, {}), peer.protocol
        worst = agree(targets, protocols, X)
        notes.append(
            f"{TITLES[kind].capitalize()}: same weights, same predictions; probabilities differ "
            f"by at most {worst:.0e}."
        )
        yield Field(targets, notes)


def agree(targets: Mapping[str, Target], protocols: Mapping[str, str], X: object) -> float:
    """Hold all answers against ours; return the largest difference of a probability.

    Raises:
        RuntimeError: a prediction differs, or a probability by more than ``CLOSE``.
    """
    worst = 0.0
    for row in X:
        wanted = answer(targets[OURS].server, protocols[OURS], row)
        for name, target in targets.items():
            found = answer(target.server, protocols[name], row)
            apart = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
            if apart > CLOSE or found.index(max(found)) != wanted.index(max(wanted)):
                raise RuntimeError(f"{name} answers {found}, {OURS} {wanted}")
            worst = max(worst, apart)
    return worst


def answer(server: Server, protocol: str, row: object) -> list[float]:
    """Return the probabilities that a server gives a row."""
    write, own, read = serving_models.PROTOCOLS[protocol]
    path, body = write(row)
    headers = own | (HEADERS if server.name in (OURS, DIRECT) else {})
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return read(reply.read())


def rows(kind: str, connections: int, found: Mapping[str, Load]) -> Iterator[Row]:
    """Give the lines of the table for one model and number of connections."""
    at = f"{TITLES[kind]}, {connections} connection{'s' if connections > 1 else ''}"
    ours = found[OURS]
    for peer in filter(PEERS.__contains__, found):
        its, beside = found[peer], 1 if peer in LEAN else BESIDE
        goal = GOALS[kind][peer] if connections > 1 else beside
        yield Row(f"{at}: CPU of a request", peer, ours.cpu, its.cpu, "ms", goal)
        if connections > 1 or not PEERS[peer].waits:
            yield Row(f"{at}: median latency", peer, ours.p50, its.p50, "ms", beside)
        if connections > 1:
            yield Row(f"{at}: requests", peer, ours.rate, its.rate, "1/s", beside, True)
            yield Row(f"{at}: 99th percentile", peer, ours.p99, its.p99, "ms", 1)
    raw = found[BINARY]
    yield Row(f"{at}: CPU of a request, v2 in binary", "our JSON", raw.cpu, ours.cpu, "ms", 1)
    yield Row(f"{at}: requests, v2 in binary", "our JSON", raw.rate, ours.rate, "1/s", 1, True)
    if connections == 1:
        direct = found[DIRECT]
        yield Row(f"{at}: CPU of a request", DIRECT, ours.cpu, direct.cpu, "ms", NO_SLOWER)
        yield Row(f"{at}: median latency", DIRECT, ours.p50, direct.p50, "ms", NO_SLOWER)


def measure(kind: str, folder: pathlib.Path) -> tuple[list[Row], list[str]]:
    """Load the servers of one model in turn; return the lines of the table, and the notes."""
    with field(kind, folder / kind) as up:
        found = []
        for n in CONNECTIONS:
            found += rows(kind, n, in_turn(up.targets, n, rounds=ROUNDS, seconds=SECONDS))
    return found, up.notes


PARTS = {
    "network": lambda folder: measure("network", folder),
    "forest": lambda folder: measure("forest", folder),
    "overload": serving_overload.measure,
    "start": serving_start.measure,
}


def main() -> None:
    """Measure what is named, or all; keep the medians when all was measured."""
    harness.enter(FAMILY)
    launch.prepare()
    wanted = sys.argv[1:] or list(PARTS)
    found, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for part in wanted:
            start = time.monotonic()
            rows_of_part, said = PARTS[part](pathlib.Path(folder))
            found += rows_of_part
            notes += said
            print(f"{part} took {time.monotonic() - start:.0f} s")
    notes += [
        f"Closed loops by {generator()}, which `apt-get install wrk` puts on a Debian machine; "
        "without it, by `servers/load.py`.",
        "FastAPI calls the model twice, as is usual: predict, then predict_proba; in one pass it "
        "takes the class from predict_proba, with scikit-learn's assume_finite. MLServer computes "
        "in its own process (parallel_workers 0), which is cheaper here than its default. With one "
        "connection MLServer and LitServe wait 5 ms for others, so that their latency is left out.",
        f"{PROGRAM}: the program that mastery serve compiles, called for each request alone, so "
        "that the ratio is that of the servers. No server writes a line for a request.",
        f"{DIRECT}: every request computed when it comes, all else the same. With one connection "
        f"the goal is {NO_SLOWER}, because turns of one server scatter as much.",
    ]
    if set(wanted) >= set(PARTS):
        alone = sorted({peer.family for peer in PEERS.values() if peer.is_alone})
        title = "Serving: one row a request, through a network and through a forest"
        harness.save(FAMILY, title, found, notes=notes, alone=alone)
        return
    for row in found:
        print(row)
    for note in notes:
        print(f"* {note}")


if __name__ == "__main__":
    main()
