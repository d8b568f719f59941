"""What every benchmark shares: the clock, the turns, the peers' own environments, the record.

A benchmark is a module with ``FAMILY``, and ``main()`` that ends in :func:`save`. Its peers are
listed in ``peers/<family>.txt`` and installed, with this project, into ``.bench/<family>``;
:func:`enter` continues there.
"""

import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Cost", "Row", "children", "enter", "in_turn", "save"]

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
RESULTS = ROOT / "docs" / "benchmarks"
SHORTEST = 0.05  # seconds of one turn: shorter calls are repeated until a turn takes this long


class Cost(NamedTuple):
    """What one call takes, in seconds."""

    cpu: float  # of all threads, and of child processes where they do the work
    wall: float


class Row(NamedTuple):
    """One line of the table: what was done, by us and by a peer."""

    what: str
    peer: str
    ours: float
    theirs: float
    unit: str  # of both
    goal: float  # the ratio theirs / ours, or ours / theirs where more is better
    more_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        """Return how many times better ours is."""
        return self.ours / self.theirs if self.more_is_better else self.theirs / self.ours


def in_turn(
    contestants: Mapping[str, Callable[[], Any]], *, rounds: int = 7
) -> tuple[dict[str, Cost], dict[str, Cost]]:
    """Call every contestant in turn, ``rounds`` times.

    A contestant returns when its work is done (jax: ``block_until_ready``).

    Returns:
        The first call of each (trace, compile and run), and the median of the later ones.
    """
    first = {name: _once(call) for name, call in contestants.items()}
    repeats = {}
    for name, call in contestants.items():
        repeats[name] = max(1, round(SHORTEST / max(_once(call).wall, 1e-9)))
    turns: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            cost = _once(call, repeats[name])
            turns[name].append(cost)
    return first, {name: median(costs) for name, costs in turns.items()}


def _once(call: Callable[[], Any], repeats: int = 1) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(cpu / repeats, wall / repeats)


def median(costs: Iterable[Cost]) -> Cost:
    """Return the medians of CPU and wall time, each for itself."""
    costs = list(costs)
    return Cost(*(statistics.median(getattr(c, f) for c in costs) for f in Cost._fields))


def children(command: Sequence[str], **keywords: Any) -> Cost:
    """Run a process to its end; return what it and its children took.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **keywords)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall)


def environment(family: str) -> pathlib.Path:
    """Return the Python of a family's environment, made if it is not there."""
    folder, peers = ROOT / ".bench" / family, HERE / "peers" / f"{family}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    pins = ROOT / "constraints.txt"
    wanted = peers.read_text() + pins.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", pins, "-e", f"{ROOT}[bench]", "-r", peers], check=True)
    stamp.write_text(wanted)
    return python


def enter(family: str) -> None:
    """Go on as the same command in the environment of ``family``. Call before importing jax."""
    python = environment(family)
    if pathlib.Path(sys.prefix).resolve() != python.parents[1].resolve():
        module = ["-m", f"benchmarks.{family}"]
        os.execv(python, [str(python), *module, *sys.argv[1:]])


def save(family: str, title: str, rows: Sequence[Row], *, notes: Sequence[str] = ()) -> None:
    """Print the rows, and keep them for ``benchmarks.report``."""
    import importlib.metadata

    from mastery_jax.workflow import launch

    peers = {}
    for line in (HERE / "peers" / f"{family}.txt").read_text().split():
        name = line.partition("==")[0]
        peers[name] = importlib.metadata.version(name)
    record = {
        "title": title,
        "machine": {
            "processor": _processor(),
            "cores": launch.cores(),
            "python": platform.python_version(),
            "jax": importlib.metadata.version("jax"),
            "peers": peers,
        },
        "rows": [row._asdict() | {"ratio": row.ratio} for row in rows],
        "notes": list(notes),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{family}.json").write_text(json.dumps(record, indent=1) + "\n")
    for row in rows:
        print(f"{row.what}: ours {row.ours:.4g} {row.unit}, {row.peer} {row.theirs:.4g}", end="")
        print(f": {row.ratio:.1f}x (goal {row.goal:g}x)")


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
