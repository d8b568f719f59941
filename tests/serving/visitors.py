"""Clients of a long run: who asks what, and what must come back."""

import asyncio
import collections
import json
import pathlib
import random
import shutil
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.serving import served
from tests.serving.wire_level import answer, connect, request

RELOAD = 3.0  # seconds between two reloads
V2 = "/v2/models/line/infer"
ROW = served.ROWS[0].tolist()


class Ask(NamedTuple):
    """One kind of request, and what must come back."""

    name: str
    content: bytes
    wanted: int  # the status; 0: the client leaves in the middle
    is_right: Callable[[bytes], bool] = bool


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def is_line(rows: Any) -> Callable[[bytes], bool]:
    """Return what tells whether predictions are those of the version that made them."""
    once = np.asarray(rows) @ served.W[:, 0]

    def is_right(body: bytes) -> bool:
        said = json.loads(body)
        found = said["outputs"][0]["data"] if "outputs" in said else said["predictions"]
        return bool(np.allclose(found, int(said["model_version"]) * once, rtol=1e-4, atol=1e-5))

    return is_right


def is_line_in_binary(body: bytes) -> bool:
    """Tell the same of a binary answer, whose last bytes are the predictions."""
    found, once = np.frombuffer(body[-4 * len(served.ROWS) :], "<f4"), served.ROWS @ served.W[:, 0]
    return any(np.allclose(found, version * once, rtol=1e-4, atol=1e-5) for version in (1, 2))


def is_problem(body: bytes) -> bool:
    return {"status", "detail", "request_id"} <= json.loads(body).keys()


def asks() -> list[Ask]:
    """Return every kind of request."""
    rows = served.ROWS.tolist()
    one, many = {"features": ROW, "model_id": "line"}, {"features": rows, "model_id": "line"}
    tensor = {"name": "features", "shape": [9, 3], "datatype": "FP32", "data": rows}
    raw = {"Inference-Header-Content-Length": 0}
    deep = b"[" * 10_000
    return [
        Ask("predict", request("/predict", one), 200, is_line([ROW])),
        Ask("batch", request("/predict/batch", many), 200, is_line(rows)),
        Ask("v2 JSON", request(V2, {"inputs": [tensor]}), 200, is_line(rows)),
        Ask("v2 binary", request(V2, served.ROWS.tobytes(), **raw), 200, is_line_in_binary),
        Ask("metrics", get("/metrics"), 200, lambda body: b"ml_recompiles_total 0.0" in body),
        Ask("models", get("/models"), 200),
        Ask("no JSON", request("/predict", b"{"), 400, is_problem),
        Ask("too deep", request("/predict", deep), 400, is_problem),
        Ask("too short", request("/predict", {**one, "features": [1.0]}), 400, is_problem),
        Ask("no such model", request("/predict", {**one, "model_id": "no"}), 404, is_problem),
        Ask("no such route", get("/nothing"), 404, is_problem),
        Ask("wrong method", get("/predict"), 405, is_problem),
        Ask("reset in the body", request("/predict/batch", many)[:-40], 0),
        Ask("reset in the answer", request("/predict/batch", many), 0),
    ]


class Tally:
    """What came back."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = collections.defaultdict(list)
        self.statuses: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.faults: list[str] = []

    def add(self, ask: Ask, status: int, body: bytes, seconds: float) -> None:
        """Count an answer, and judge it."""
        self.seconds[ask.name].append(seconds)
        self.statuses[ask.name][str(status or "left")] += 1
        if status != ask.wanted or (status and not ask.is_right(body)):
            self.faults.append(f"{ask.name}: {status} came, wanted {ask.wanted}: {body[:200]!r}")


async def once(address: str, content: bytes) -> tuple[int, bytes]:
    """Ask on a connection of its own."""
    reader, writer = await connect(address)
    writer.write(content)
    status, _, body = await answer(reader)
    writer.close()
    await writer.wait_closed()
    return status, body


async def leave(address: str, ask: Ask, dice: random.Random) -> None:
    """Send, wait a little, and reset the connection."""
    _, writer = await connect(address)
    writer.write(ask.content)
    await asyncio.sleep(dice.uniform(0, 0.004))
    linger = struct.pack("ii", 1, 0)  # a reset in place of a farewell
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def visit(address: str, until: float, tally: Tally, dice: random.Random) -> None:
    """Be one client until it is over."""
    kinds, stream = asks(), None
    while time.monotonic() < until:
        ask = kinds[dice.randrange(len(kinds))]
        start = time.perf_counter()
        if not ask.wanted:
            await leave(address, ask, dice)
            tally.add(ask, 0, b"", time.perf_counter() - start)
            continue
        stream = stream or await connect(address)
        try:
            stream[1].write(ask.content)
            status, headers, body = await answer(stream[0])
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            tally.faults.append(f"{ask.name}: {error!r}")
            stream = None
            continue
        tally.add(ask, status, body, time.perf_counter() - start)
        if headers.get("connection") == "close":
            stream[1].close()
            stream = None
    if stream is not None:
        stream[1].close()


async def reload(address: str, until: float, folder: pathlib.Path, tally: Tally) -> None:
    """Let the second version come and go."""
    spare, shown = folder.parent / "spare", folder / "line" / "2"
    ask = Ask("reload", request("/models/reload", b""), 200)
    while time.monotonic() < until:
        shutil.move(*(spare, shown) if spare.exists() else (shown, spare))
        start = time.perf_counter()
        status, body = await once(address, ask.content)
        tally.add(ask, status, body, time.perf_counter() - start)
        if json.loads(body)["failed"]:
            tally.faults.append(f"reload: {body!r}")
        await asyncio.sleep(RELOAD)
