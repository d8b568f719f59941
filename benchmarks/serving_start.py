"""How long a start takes that finds everything compiled, beside importing jax and litestar.

From the start of the process to 200 of ``/v2/health/ready``. A cache of its own, which a first
start fills, which is cold; the import is measured in turn with the starts.
"""

import contextlib
import http.client
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks import serving_models
from benchmarks.harness import Row
from benchmarks.serving_servers import command, free_port

__all__ = ["measure"]

ROUNDS = 5
BEYOND = 1.5  # seconds that a warm start may take beyond the import
PATIENCE = 120.0  # seconds
IMPORT = [sys.executable, "-c", "import jax, litestar"]


def measure(folder: pathlib.Path) -> tuple[list[Row], list[str]]:
    """Return the line of the table, and the times behind it."""
    place = folder / "start"
    serving_models.prepare("network", place)
    environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # ours is that of the user's cache folder
    cold = ready(place / "models", environment)
    imports, starts = [], []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        subprocess.run(IMPORT, env=environment, check=True)
        imports.append(time.perf_counter() - before)
        starts.append(ready(place / "models", environment))
    start, importing = statistics.median(starts), statistics.median(imports)
    row = Row(
        "a warm restart until ready, beyond importing jax and litestar",
        "limit",
        start - importing,
        BEYOND,
        "s",
        1,
    )
    note = (
        f"A warm restart takes {start:.2f} s from the start of the process to ready "
        f"({min(starts):.2f} to {max(starts):.2f}), importing jax and litestar alone "
        f"{importing:.2f} s; the first start, which tries the model in a process of its own and "
        f"compiles, {cold:.1f} s."
    )
    return [row], [note]


def ready(models: pathlib.Path, environment: Mapping[str, str]) -> float:
    """Start a server, and end it; return the seconds until it was ready.

    Raises:
        RuntimeError: it never was.
    """
    port = free_port()
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command(models), str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() < start + PATIENCE and process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                asked = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                asked.request("GET", "/v2/health/ready")
                status = asked.getresponse().status
                took = time.perf_counter() - start
                asked.close()
                if status == 200:
                    return took
            time.sleep(0.005)
        raise RuntimeError(f"no server was ready; its status is {process.poll()}")
    finally:
        process.terminate()
        process.wait()
