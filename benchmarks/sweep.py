"""16, 64 and 256 trainings (rates x 4 seeds) of a 2x64 perceptron on digits, 300 steps each.

One ``mastery sweep`` process against the same points in a loop that is written by hand, as jobs of
Hydra in one process, as jobs of Hydra's joblib launcher in two, as trials of an Optuna study and of
Ray Tune, and as a process each. ``tree.measure`` counts every process that a command starts, Ray's
daemons among them. Every process starts cold, without a compilation cache.

Where the rate is part of the program, as in most scripts, each point costs as much as the one
before: these peers are measured at two sizes, and the line through both gives the cost of a sweep.
"""

import os
import pathlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks import tree
from benchmarks.harness import Cost, Row, enter, median, save

FAMILY = "sweep"
SIZES = (16, 64, 256)
SEEDS = 4
FEW, MANY = 4, 12  # points at which those are measured whose every point costs the same
ROUNDS = 3  # the slowest peers take a minute together
LIMIT = 300.0  # seconds of one process
PEERS = pathlib.Path(__file__).parent / "peers"
COLD = os.environ | {
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "JAX_PLATFORMS": "cpu",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # by default others go first, and wall time says nothing
}
BAKED = {  # how each is called, and how many times less CPU we want to take, by size
    "joblib": ("Hydra, joblib launcher, rate in the program", {16: 4, 64: 10, 256: 10}),
    "ray": ("Ray Tune, actors kept, rate in the program", {16: 6, 64: 15, 256: 15}),
    "optuna": ("Optuna's loop, rate in the program", {16: 4, 64: 10, 256: 10}),
}
TRACED = {
    "hydra": ("Hydra, rate an argument", dict.fromkeys(SIZES, 1)),
    "loop": ("a loop by hand, rate an argument", dict.fromkeys(SIZES, 1)),
}

Run = Callable[[str, int], Cost]  # (empty folder, number of points) -> what it took


def rates(num_points: int) -> list[float]:
    """Return the rates of a sweep, evenly spaced in their logarithms."""
    count = max(num_points // SEEDS, 1)
    return [float(f"{1e-4 * 300 ** (i / max(count - 1, 1)):.4g}") for i in range(count)]


def seeds(num_points: int) -> int:
    return min(num_points, SEEDS)


def run(folder: str, words: list[Any]) -> Cost:
    """Run Python, cold."""
    command = [sys.executable, *map(str, words)]
    return tree.measure(command, env=COLD, cwd=folder, seconds=LIMIT)


def joined(num_points: int) -> str:
    return ",".join(map(str, rates(num_points)))


def ours(folder: str, num_points: int) -> Cost:
    """Run one sweep as a user would; the network is the peers'."""
    fields = ["model.dropout=null", "model.activation=relu", "evaluate_every=0"]
    swept = [f"optimizer.learning_rate={joined(num_points)}", f"seed=range({seeds(num_points)})"]
    command = ["-m", "mastery_jax.cli", "sweep", "digits_mlp", *fields, *swept]
    return run(folder, [*command, "--runs", folder, "--quiet"])


def hydra(folder: str, num_points: int) -> Cost:
    """Run Hydra's multirun with its basic launcher."""
    return run(folder, _multirun(folder, num_points, "traced"))


def joblib(folder: str, num_points: int) -> Cost:
    """Run Hydra's multirun with its joblib launcher, two processes wide."""
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    return run(folder, [*_multirun(folder, num_points, "baked"), *launcher])


def _multirun(folder: str, num_points: int, mode: str) -> list[Any]:
    grid = [f"rate={joined(num_points)}", f"seed={','.join(map(str, range(seeds(num_points))))}"]
    return [PEERS / "digits_hydra.py", "-m", *grid, f"mode={mode}", f"hydra.sweep.dir={folder}"]


def script(name: str) -> Run:
    """Return what runs a peer's script with the rates, the number of seeds and a folder."""

    def started(folder: str, num_points: int) -> Cost:
        return run(folder, [PEERS / name, joined(num_points), seeds(num_points), folder])

    return started


RUNS: dict[str, Run] = {
    "ours": ours,
    "hydra": hydra,
    "loop": script("digits.py"),
    "joblib": joblib,
    "ray": script("digits_ray.py"),
    "optuna": script("digits_optuna.py"),
    "process": script("digits.py"),
}


def turns(sizes: dict[str, tuple[int, ...]], rounds: int) -> dict[tuple[str, int], Cost]:
    """Run everybody in turn, ``rounds`` times; return the medians by name and size."""
    found: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(rounds):
        for name, counts in sizes.items():
            for count in counts:
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                    cost = RUNS[name](folder, count)
                found.setdefault((name, count), []).append(cost)
                print(f"{name} {count}: {cost.cpu:.3g} CPU-s, {cost.wall:.3g} s", flush=True)
    return {key: median(costs) for key, costs in found.items()}


def scaled(cost: dict[tuple[str, int], Cost], name: str, few: int, many: int, wanted: int) -> Cost:
    """Return what ``wanted`` points cost, on the line through two sizes."""
    share = (wanted - few) / (many - few)
    pairs = zip(cost[name, few], cost[name, many], strict=True)
    return Cost(*(a + (b - a) * share for a, b in pairs))


def table(cost: dict[tuple[str, int], Cost], few: int, many: int, sizes: tuple) -> list[Row]:
    """Return a line for every size and peer, and the clock."""
    rows = []
    for size in sizes:
        costs = {name: cost[name, size] for name in TRACED}
        costs |= {name: scaled(cost, name, few, many, size) for name in BAKED}
        peers = {**BAKED, **TRACED}
        if size == 64:
            costs["process"] = Cost(*(size * each for each in cost["process", 1]))
            peers |= {"process": ("a process each", {64: 30})}
        mine = cost["ours", size]
        for name, (peer, goals) in peers.items():
            theirs, goal = costs[name], goals.get(size, 1)
            rows.append(Row(f"{size} trainings, CPU", peer, mine.cpu, theirs.cpu, "s", goal))
            rows.append(Row(f"{size} trainings, wall", peer, mine.wall, theirs.wall, "s", 1))
    return rows


def main() -> None:
    """Measure in turn, and save."""
    enter(FAMILY)
    checked = tree.check()
    sizes = dict.fromkeys(("ours", *TRACED), SIZES)
    sizes |= dict.fromkeys(BAKED, (FEW, MANY)) | {"process": (1,)}
    cost = turns(sizes, ROUNDS)
    least = min(cost["loop", size].cpu / cost["ours", size].cpu for size in SIZES)
    notes = [
        "The gain over jobs with the rate in the program is one compilation instead of one each; "
        "over processes, one import too. Whoever makes the rate an argument compiles once as well: "
        f"a script of a few lines takes at least {least:.2f} times our CPU, and keeps no record.",
        f"Jobs with the rate in the program are measured at {FEW} and at {MANY} points, processes "
        "as one, and scaled.",
        "Hydra's joblib launcher and Ray Tune have two processes that compute; Ray's daemons are "
        f"counted, at the niceness of all. {checked}",
        "No persistent compilation cache for anybody.",
    ]
    save(FAMILY, "Sweeps", table(cost, FEW, MANY, SIZES), notes=notes)


if __name__ == "__main__":
    main()
