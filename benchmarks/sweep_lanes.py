"""What a sweep costs beside what it must: a lane, a rung, a plan, a record that is read again.

Lanes: the CPU of a sweep of 256 lanes less that of a sweep of one, a lane, against the compiled
program of one run that is called again by ``program.drive`` and evaluated at the end; and the wall
time of the same difference on all cores against one core. Strategies: 16 lanes by ``loop``,
``vmap`` and ``map`` in turn in one process, the first call apart. Halving: a sweep that is halved
at four rungs against the whole one, each less a sweep of one lane to the first rung, which
compiles the same. Plan, resume and compare: cold processes, held against a number of seconds, since
no peer does the same. Each process but those of the strategies starts cold; nobody has a
compilation cache.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.harness import Cost, Row, children, enter, median, save
from benchmarks.lane_parts import apart, compilations, solo, stop, strategies
from mastery_jax.workflow import launch

FAMILY = "sweep_lanes"
COLD = {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}
PYTHON = [sys.executable, "-m", "mastery_jax.cli"]
MISTAKE = 2  # how ``mastery`` ends that refuses
WHOLE = ["num_steps=300", "evaluate_every=0"]
SMALLEST = ["num_steps=1", "evaluate_every=0", "model.widths=[8]"]
IMPORTS = "import jax, flax, optax"
PLANNED = ["optimizer.learning_rate=log(1e-4,1e-1,16)", "seed=range(4)", "--plan"]


class Sizes(NamedTuple):
    """How much is measured."""

    lanes: int = 256
    rounds: int = 5
    longer: int = 3  # rounds of sweeps that take a minute together
    widths: tuple[tuple[int, int], ...] = ((8, 300), (64, 300), (512, 50))  # and steps of a lane
    together: int = 16  # lanes of a strategy
    halved: tuple[int, int, int] = (64, 256, 1024)  # lanes, width, steps: more than 60 CPU-s
    starts: int = 7  # of --plan, the best of which counts
    finished: int = 1_000  # lanes of a sweep that is resumed
    compared: int = 100  # rates, and as many seeds, of a sweep that is compared


def sweep(folder: str, changes: Sequence[str], *, core: int | None = None) -> Cost:
    """Run one sweep, cold, on all cores or on one."""
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    command = [*pinned, *PYTHON, "sweep", "digits_mlp", *changes, "--runs", folder, "--quiet"]
    return children(command)


def cold(runs: Mapping[Any, Callable[[str], Cost]], rounds: int) -> dict[Any, Cost]:
    """Run all in turn, each in an empty folder; return the medians."""
    turns: dict[Any, list[Cost]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                turns[name].append(run(folder))
    return {name: median(found) for name, found in turns.items()}


def less(whole: Cost, base: Cost) -> Cost:
    return Cost(*(a - b for a, b in zip(whole, base, strict=True)))


def lanes(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Hold a lane of many against a run, and all cores against one."""
    core = min(os.sched_getaffinity(0))
    count = sizes.lanes
    runs = {
        (n, c): functools.partial(sweep, changes=[*WHOLE, f"seed=range({n})"], core=c)
        for n in (1, count)
        for c in (None, core)
    }
    cost = cold(runs, sizes.longer)
    alone = apart(solo, WHOLE)
    both, one = (less(cost[count, c], cost[1, c]) for c in (None, core))
    goal, peer, theirs = 0.91, "its program, called again", 1e3 * alone.cpu  # 1.1 times as much
    rows = [
        Row(f"a lane of {count}{where}", peer, 1e3 * x.cpu / (count - 1), theirs, "ms CPU", goal)
        for where, x in (("", both), (", on one core", one))
    ]
    what = f"{count - 1} lanes more, wall"
    rows.append(Row(what, "ours, on one core", both.wall, one.wall, "s", 1.67))
    whole, pinned = cost[count, None], cost[count, core]
    times = both.cpu / (count - 1) / alone.cpu
    note = (
        f"A lane is 300 steps of `digits_mlp`; it takes {times:.3f} times the CPU of its program, "
        f"called again. From start to exit {count} lanes take "
        f"{whole.cpu:.3g} CPU-s and {whole.wall:.3g} s, on one core {pinned.wall:.3g} s; one lane "
        f"takes {cost[1, None].cpu:.3g} CPU-s and {cost[1, None].wall:.3g} s."
    )
    return rows, [note]


def shared(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Hold ``loop`` against ``vmap`` and ``map``, at several widths."""
    rows, said = [], []
    for width, num_steps in sizes.widths:
        first, again = apart(strategies, width, num_steps, sizes.together, sizes.rounds)
        step = {name: 1e6 * cost.cpu / sizes.together / num_steps for name, cost in again.items()}
        what = f"step of a lane, width {width}, by loop"
        unit = "µs CPU"
        rows += [Row(what, f"ours, {k}", step["loop"], step[k], unit, 1) for k in ("vmap", "map")]
        compiling = {name: first[name].cpu - again[name].cpu for name in first}
        compiling["loop"] /= launch.cores()  # one program each device here, one in a sweep by loop
        took = ", ".join(f"{name} {cpu:.2g}" for name, cpu in compiling.items())
        walls = ", ".join(f"{name} {cost.wall:.3g}" for name, cost in again.items())
        said.append(f"at width {width} {took} ({walls} s wall for {num_steps} steps of all)")
    head = f"{sizes.together} lanes in one process, the CPU split into a device a core. Compiling,"
    return rows, [f"{head} in CPU-s: {'; '.join(said)}."]


def halving(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Hold a sweep that is halved at four rungs against the whole one."""
    count, width, num_steps = sizes.halved
    every = num_steps // 16
    changes = [f"model.widths=[{width},{width}]", f"evaluate_every={every}"]
    full = [*changes, f"num_steps={num_steps}", f"seed=range({count})"]
    runs = {
        "halved": functools.partial(sweep, changes=[*full, *stop(every)]),
        "whole": functools.partial(sweep, changes=full),
        "one": functools.partial(sweep, changes=[*changes, f"num_steps={every}", "seed=range(1)"]),
    }
    cost = cold(runs, sizes.longer)
    halved, whole = (less(cost[name], cost["one"]).cpu for name in ("halved", "whole"))
    what = f"{count} lanes halved after {every}, {2 * every}, {4 * every} and {8 * every} steps"
    times = apart(compilations)
    if times != 1:
        raise RuntimeError(f"halving: compiled {times} times")
    said = "No rung compiles: a sweep by loop that is halved four times compiles its program once."
    peer = f"ours, all lanes to {num_steps} steps"
    return [Row(what, peer, halved, whole, "CPU-s", 2.22)], [said]


def planned(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Hold ``--plan`` against importing what it needs."""
    plans, imports = [], []
    for _ in range(sizes.starts):
        plans.append(children([*PYTHON, "sweep", "digits_mlp", *PLANNED]).cpu)
        imports.append(children([sys.executable, "-c", IMPORTS]).cpu)
    row = Row("`--plan`, beyond imports", "at most", min(plans) - min(imports), 1.5, "CPU-s", 1)
    said = f"The best of {sizes.starts}: `--plan` {min(plans):.3g}, `{IMPORTS}` {min(imports):.3g}"
    return [row], [f"{said} CPU-s; with them the plan imports scikit-learn."]


def resumed(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Resume a sweep that is finished, and one that is over but is not marked so."""
    with tempfile.TemporaryDirectory() as folder:
        sweep(folder, [*SMALLEST, f"seed=range({sizes.finished})"])
        (made,) = pathlib.Path(folder).glob("*/*")
        resume = [*PYTHON, "resume", str(made), "--quiet"]
        with open(os.devnull, "w") as nowhere:
            done = [children(resume, status=MISTAKE, stderr=nowhere) for _ in range(sizes.rounds)]
        over = []
        for _ in range(sizes.rounds):
            unmark(made)
            over.append(children(resume))
            if not (made / "lanes.csv").exists():
                raise RuntimeError("resumed: there is no table")
    refused, tabled = median(done), median(over)
    what = f"resume {sizes.finished:,} lanes that are finished"
    rows = [
        Row(f"{what}, wall", "at most", refused.wall, 2, "s", 1),
        Row(f"{what}, CPU", "at most", refused.cpu, 2, "CPU-s", 1),
    ]
    said = f"Where all {sizes.finished:,} lanes are over but the sweep was cut before its table,"
    return rows, [f"{said} resuming takes {tabled.cpu:.3g} CPU-s and {tabled.wall:.3g} s."]


def unmark(folder: pathlib.Path) -> None:
    """Leave a sweep as a process does that is killed before it writes the table."""
    path = folder / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running"}))
    (folder / "lanes.csv").unlink()


def compared(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Compare the lanes of a large sweep, which must not import jax."""
    from tests import folders

    def measure(learning_rate: float, seed: int) -> dict[str, float]:
        return {"test_accuracy": 1 / (1 + learning_rate + seed), "test_log_loss": learning_rate}

    swept = {
        "optimizer.learning_rate": [1e-4 * 1.05**i for i in range(sizes.compared)],
        "seed": list(range(sizes.compared)),
    }
    with tempfile.TemporaryDirectory() as folder:
        made = folders.write_sweep(pathlib.Path(folder), "sweep-1", swept, measure)
        compare = ["-m", "mastery_jax.cli", "compare", str(made)]
        found = median(children([sys.executable, *compare]) for _ in range(sizes.rounds))
        listed = [sys.executable, "-X", "importtime", *compare]
        said = subprocess.run(listed, capture_output=True, text=True, check=True).stderr
    if "jax" in (line.rpartition("|")[2].strip() for line in said.splitlines()):
        raise RuntimeError("compared: jax was imported")
    what = f"compare {sizes.compared**2:,} lanes"
    rows = [
        Row(f"{what}, wall", "at most", found.wall, 2, "s", 1),
        Row(f"{what}, CPU", "at most", found.cpu, 2, "CPU-s", 1),
    ]
    return rows, ["Comparing imports no jax."]


def measured(sizes: Sizes) -> tuple[list[Row], list[str]]:
    """Return all lines and notes."""
    os.environ |= COLD
    rows, notes = [], []
    for part in (lanes, shared, halving, planned, resumed, compared):
        more, said = part(sizes)
        rows, notes = [*rows, *more], [*notes, *said]
    notes.append("Where the peer is `at most`, its column holds the most that is allowed.")
    return rows, notes


def main() -> None:
    """Measure all, and save."""
    enter(FAMILY)
    rows, notes = measured(Sizes())
    save(FAMILY, "Sweeps: our own lanes", rows, notes=notes)


if __name__ == "__main__":
    main()
