"""What every benchmark shares: the clock, the turns, the peers' own environments, the record.

A benchmark is a module with ``FAMILY``, and ``main()`` that ends in :func:`save`. Its peers are
listed in ``peers/<family>.txt`` and installed, with this project, into ``.bench/<family>``;
:func:`enter` continues there, :func:`enter_alone` with one thread for every library that has some.
Where speed is worth nothing without the right answer, :func:`contest` asks a judge of the answers
before anything is timed.
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

__all__ = [
    "Call",
    "Contest",
    "Cost",
    "Row",
    "children",
    "contest",
    "enter",
    "enter_alone",
    "environment",
    "fastest",
    "in_turn",
    "save",
    "versions",
]

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
RESULTS = ROOT / "docs" / "benchmarks"
SHORTEST = 0.05  # seconds of one turn: shorter calls are repeated until a turn takes this long
LONG = 20.0  # seconds of a call that is made in three rounds, not in five
THREADS = ("MKL", "NUMBA", "OMP", "OPENBLAS")

Call = Callable[[], Any]


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

    def __str__(self) -> str:
        """Return the line as it is printed."""
        both = f"ours {self.ours:.4g} {self.unit}, {self.peer} {self.theirs:.4g}"
        return f"{self.what}: {both}: {self.ratio:.1f}x (goal {self.goal:g}x)"


class Contest(NamedTuple):
    """What contestants answered and took."""

    note: str  # what the judge said
    first: dict[str, Cost]  # calls: trace, compile and run
    again: dict[str, Cost]  # medians of the later ones

    def row(self, what: str, peer: str, goal: float, *, ours: str = "ours") -> Row:
        """Return the line of a peer, compilation apart."""
        return self._row(what, peer, goal, self.again[ours].cpu, self.note)

    def first_row(self, what: str, peer: str, goal: float, *, ours: str = "ours") -> Row:
        """Return the same of our first call, beside a later one of the peer."""
        compiling = self.first[ours].cpu - self.again[ours].cpu
        note = f"{what}: tracing and compiling take {compiling:.2g} CPU-s of the first call."
        what = f"{what}, the first call, compilation included"
        return self._row(what, peer, goal, self.first[ours].cpu, note)

    def _row(self, what: str, peer: str, goal: float, mine: float, note: str) -> Row:
        theirs = self.again[peer].cpu
        scale, unit = (1e3, "ms CPU") if min(mine, theirs) < 0.1 else (1, "CPU-s")
        return Row(what, peer, scale * mine, scale * theirs, unit, goal, note=note)


def contest(
    contestants: Mapping[str, Call],
    judge: Callable[[dict[str, Any]], tuple[bool, str]],
    *,
    rounds: int = 5,
) -> Contest:
    """Call everybody once, ask the judge, and then call all in turn.

    Args:
        contestants: What to call, by name.
        judge: From answers by name: whether they are as good as they must be, and how good.
        rounds: Three at most where a call takes longer than ``LONG``.

    Raises:
        RuntimeError: the judge says no.
    """
    answers, first = _meet(contestants)
    is_held, said = judge(answers)
    if not is_held:
        raise RuntimeError(f"contest: answers are not good enough: {said}")
    del answers
    if max(cost.wall for cost in first.values()) > LONG:
        rounds = min(rounds, 3)
    return Contest(said, first, _turns(contestants, rounds))


def fastest(settings: Mapping[str, Call]) -> tuple[str, str]:
    """Try a peer in every setting; return the fastest one's name, and a sentence on all."""
    costs = {}
    for name, call in settings.items():
        cost = _once(call)
        costs[name] = _turns({name: call}, 3)[name] if cost.wall < 1 else cost
    said = ", ".join(f"{name} {cost.cpu:.3g}" for name, cost in costs.items())
    return min(costs, key=lambda name: costs[name].cpu), f"{said} CPU-s"


def in_turn(contestants: Mapping[str, Call], *, rounds: int = 7) -> tuple[dict, dict]:
    """Call every contestant in turn, ``rounds`` times.

    A contestant returns when its work is done (jax: ``block_until_ready``).

    Returns:
        The first call of each (trace, compile and run), and the median of the later ones.
    """
    return _meet(contestants)[1], _turns(contestants, rounds)


def _meet(contestants: Mapping[str, Call]) -> tuple[dict[str, Any], dict[str, Cost]]:
    answers, first = {}, {}
    for name, call in contestants.items():
        cpu, wall = time.process_time(), time.perf_counter()
        answers[name] = call()
        first[name] = Cost(time.process_time() - cpu, time.perf_counter() - wall)
    return answers, first


def _turns(contestants: Mapping[str, Call], rounds: int) -> dict[str, Cost]:
    repeats = dict.fromkeys(contestants, 1)
    turns: dict[str, list[Cost]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, call in contestants.items():
            cost = _once(call, repeats[name])
            if number == 0 and cost.wall < SHORTEST / 2:
                repeats[name] = round(SHORTEST / max(cost.wall, 1e-9))
                cost = _once(call, repeats[name])
            turns[name].append(cost)
    return {name: median(costs) for name, costs in turns.items()}


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


def children(command: Sequence[Any], *, status: int = 0, **keywords: Any) -> Cost:
    """Run a process to its end; return what it and its children took.

    Args:
        command: What to run.
        status: What it must end with.
        keywords: Of ``subprocess.run``.

    Raises:
        subprocess.CalledProcessError: it ends with another status.
    """
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, **keywords)
    if done.returncode != status:
        raise subprocess.CalledProcessError(done.returncode, [str(word) for word in command])
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall)


def environment(family: str, *, is_alone: bool = False) -> pathlib.Path:
    """Return the Python of a family's environment, made if it is not there.

    Args:
        family: What ``peers/<family>.txt`` lists is installed.
        is_alone: Leave out this project and its versions, which a peer may not agree with.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    folder, peers = ROOT / ".bench" / family, HERE / "peers" / f"{family}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    pins = ROOT / "constraints.txt"
    wanted = peers.read_text() + ("" if is_alone else pins.read_text())
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    ours = [] if is_alone else ["-c", pins, "-e", f"{ROOT}[bench]"]
    subprocess.run([*pip, *ours, "-r", peers], check=True)
    stamp.write_text(wanted)
    return python


def versions(family: str, *, is_alone: bool = False) -> dict[str, str]:
    """Return the versions of a family's peers: those here, or in an environment of their own."""
    import importlib.metadata

    folders = (ROOT / ".bench" / family).glob("lib/python*/site-packages")
    path = [str(folder) for folder in folders] if is_alone else sys.path
    found = {}
    for line in (HERE / "peers" / f"{family}.txt").read_text().split():
        name = line.partition("==")[0].partition("[")[0]
        found[name] = next(iter(importlib.metadata.distributions(name=name, path=path))).version
    return found


def enter(family: str) -> None:
    """Go on as the same command in the environment of ``family``. Call before importing jax."""
    python = environment(family)
    if pathlib.Path(sys.prefix).resolve() != python.parents[1].resolve():
        module = ["-m", f"benchmarks.{family}"]
        os.execv(python, [str(python), *module, *sys.argv[1:]])


def enter_alone(family: str) -> None:
    """Go on in the environment of ``family``: one thread a library, and nothing compiled before."""
    enter(family)
    from mastery_jax.workflow import launch

    os.environ |= dict.fromkeys((f"{name}_NUM_THREADS" for name in THREADS), "1")
    os.environ |= {"NPROC": "1", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    launch.prepare()


def save(
    family: str,
    title: str,
    rows: Sequence[Row],
    *,
    notes: Sequence[str] = (),
    alone: Sequence[str] = (),
) -> None:
    """Print the rows, and keep them; ``alone`` are peers that have environments of their own."""
    import importlib.metadata

    from mastery_jax.workflow import launch

    peers = versions(family)
    for other in alone:
        peers |= versions(other, is_alone=True)
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
        print(row)


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
