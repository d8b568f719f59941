"""64 trainings (16 rates x 4 seeds) of a 2x64 perceptron on digits, 300 steps each.

One ``mastery sweep`` process against the same 64 as jobs of one Hydra process, the rate baked into
the program or an argument of it, and as 64 processes. Every process starts cold, without a
compilation cache. A job of the two dear ways costs the same each time, so that they are measured
on a share of the 64: startup once, plus 64 times the cost of one more job.
"""

import os
import pathlib
import sys
import tempfile

from benchmarks.harness import Cost, Row, children, enter, median, save

FAMILY = "sweep"
RATES = [1e-4, 2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3, 5e-3, 7e-3, 1e-2, 1.5e-2]
RATES += [2e-2, 3e-2]
SEEDS = 4
LANES = len(RATES) * SEEDS
ROUNDS = 5
PEERS = pathlib.Path(__file__).parent / "peers"
COLD = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}


def ours(folder: str) -> Cost:
    """Run one sweep as a user would; the network is the peers'."""
    fields = ["model.dropout=null", "model.activation=relu", "evaluate_every=0"]
    rates = f"optimizer.learning_rate={','.join(map(str, RATES))}"
    command = [sys.executable, "-m", "mastery_jax.cli", "sweep", "digits_mlp", *fields, rates]
    return children([*command, f"seed=range({SEEDS})", "--runs", folder, "--quiet"], env=COLD)


def hydra(folder: str, mode: str, rates: list[float], seeds: int) -> Cost:
    """Run Hydra's multirun with its basic launcher."""
    grid = [f"rate={','.join(map(str, rates))}", f"seed={','.join(map(str, range(seeds)))}"]
    words = ["-m", *grid, f"mode={mode}", f"hydra.sweep.dir={folder}"]
    return children([sys.executable, PEERS / "digits_hydra.py", *words], env=COLD, cwd=folder)


def baked(folder: str) -> Cost:
    """Return what 64 jobs would cost, from one job and from five."""
    one = hydra(folder, "baked", RATES[:1], 1)
    five = hydra(folder, "baked", RATES[:5], 1)
    return Cost(*(a + (b - a) / 4 * (LANES - 1) for a, b in zip(one, five, strict=True)))


def processes(folder: str) -> Cost:
    """Return what 64 processes one after another would cost, from one."""
    words = [sys.executable, PEERS / "digits.py", "0.001", "0"]
    return Cost(*(LANES * cost for cost in children(words, env=COLD)))


def main() -> None:
    """Measure in turn, and save."""
    enter(FAMILY)
    contestants = {
        "ours": ours,
        "traced": lambda folder: hydra(folder, "traced", RATES, SEEDS),
        "baked": baked,
        "processes": processes,
    }
    turns: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            with tempfile.TemporaryDirectory() as folder:
                turns[name].append(run(folder))
    cost = {name: median(found) for name, found in turns.items()}
    what = f"{LANES} trainings, {{}}"
    peers = [
        ("baked", "Hydra, rate in the program", 10, 1),
        ("traced", "Hydra, rate an argument", 1, 1),
        ("processes", "a process each", 30, 1),
    ]
    rows = []
    for name, peer, cpu_goal, wall_goal in peers:
        mine, theirs = cost["ours"], cost[name]
        rows.append(Row(what.format("CPU"), peer, mine.cpu, theirs.cpu, "s", cpu_goal))
        rows.append(Row(what.format("wall"), peer, mine.wall, theirs.wall, "s", wall_goal))
    notes = [
        "The gain over jobs with the rate in the program is one compilation instead of 64; over "
        "processes, one import too. A Hydra job with a traced rate compiles once as well.",
        "Baked jobs are measured as one and as five, processes as one, and scaled to 64.",
        "No persistent compilation cache for anybody.",
    ]
    save(FAMILY, "Sweeps", rows, notes=notes)


if __name__ == "__main__":
    main()
