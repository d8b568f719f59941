"""Twice as many requests as can be answered: what still comes back, and how fast the rest is told.

The peak is that of the closed loop. An open loop then asks at twice its rate, with a deadline in
each request. A request is admitted when it is not refused with 503; what counts as good is a 200
within the deadline by the client's own clock, from the moment at which the request was due.

Two models: a recurrent one, whose computing is most of a request, so that a refusal is cheap beside
an answer; and the network 64-256-10, where nearly all is HTTP, and a refusal costs about as much as
an answer does.
"""

import pathlib
import resource
import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks import serving_models
from benchmarks.harness import Row
from benchmarks.serving_load import Target, closed, open_loop
from benchmarks.serving_servers import HEADERS, OURS, Server, command, started

__all__ = ["DEADLINES", "measure"]

AT_ONCE = (64, 128, 256)  # connections among which the peak is looked for
ROUNDS = 3
SECONDS = 6  # of one open loop
PEAK_SECONDS = 3
TIMES = 2.0  # the peak
DEADLINES = {"recurrent": 1000.0, "network": 100.0}  # milliseconds: some batches, and requests
REFUSED = 10.0  # milliseconds within which a refusal should be there
GOOD = 0.9  # of the peak
DESCRIPTORS = 16_384  # of every process: a connection is one
NAMES = {
    "recurrent": "a recurrent network of 64 units, 20,000 steps",
    "network": "the network 64-256-10",
}


def measure(folder: pathlib.Path) -> tuple[list[Row], list[str]]:
    """Return the lines of the table, and what is to be said of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    rows, notes = [], []
    for kind in DEADLINES:
        place = folder / f"overload-{kind}"
        if kind == "recurrent":
            X = serving_models.prepare_recurrent(place)
        else:
            X = serving_models.prepare(kind, place)
        with started(OURS, command(place / "models")) as server:
            peak, found = overload(server, X, place, DEADLINES[kind])
        rows += lines(kind, peak, found)
        notes.append(told(kind, peak, found[-1]))
    return rows, notes


def overload(
    server: Server, X: np.ndarray, folder: pathlib.Path, deadline: float
) -> tuple[float, list[dict]]:
    """Return the peak, and what became of requests at a multiple of it."""
    plain = serving_models.write(folder / "plain.requests", "plain", X, HEADERS)
    patient = {**HEADERS, "X-Request-Timeout-Ms": f"{deadline:.0f}"}
    hasty = serving_models.write(folder / "hasty.requests", "plain", X, patient)
    closed(Target(server, plain), AT_ONCE[0], 1)
    peak = max(closed(Target(server, plain), n, PEAK_SECONDS).rate for n in AT_ONCE)
    target = Target(server, hasty)
    return peak, [open_loop(target, TIMES * peak, SECONDS, deadline) for _ in range(ROUNDS)]


def lines(kind: str, peak: float, found: Sequence[Mapping]) -> Iterator[Row]:
    """Give the lines of the table for one model."""
    at = f"{TIMES:g} times the peak, {NAMES[kind]}"
    good = statistics.median(each["within"] / each["seconds"] for each in found)
    yield Row(f"{at}: good answers", "the peak", good, peak, "1/s", GOOD, more_is_better=True)
    for what, peer, refused, limit in (
        ("those admitted", "deadline", False, DEADLINES[kind]),
        ("refusals", "limit", True, REFUSED),
    ):
        took = [t for each in found if (t := slowest(each, refused=refused)) is not None]
        if took:
            name = f"{at}: 99th percentile of {what}"
            yield Row(name, peer, statistics.median(took), limit, "ms", 1)


def slowest(found: Mapping, *, refused: bool) -> float | None:
    """Return the worst 99th percentile among the statuses; ``None`` where there is none."""
    answers = found["answers"].items()
    those = [each["p99"] for status, each in answers if (status == "503") == refused]
    return max(those, default=None)


def told(kind: str, peak: float, found: Mapping) -> str:
    """Say what became of the requests of one round."""
    came = ", ".join(
        f"{each['count'] / found['asked']:.1%} {status} (p50 {each['p50']:.3g} ms, "
        f"p99 {each['p99']:.3g} ms)"
        for status, each in sorted(found["answers"].items())
    )
    others = ", ".join(f"{found[name]} {name}" for name in ("unsent", "lost", "owed"))
    return (
        f"Of {found['asked']} requests at {TIMES:g} times {peak:.0f}/s to {NAMES[kind]}, each with "
        f"{DEADLINES[kind]:g} ms: {came}; {others}. The generator itself was "
        f"{found['behind']:.2g} ms late (99th percentile)."
    )
