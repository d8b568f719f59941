"""The parts of the sweep's own benchmark that compute in a process of their own.

jax must not be imported before ``launch.prepare``, which differs from part to part.
"""

import concurrent.futures
import multiprocessing
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any
from unittest import mock

from benchmarks.harness import Cost, in_turn
from mastery_jax.workflow import launch

__all__ = ["apart", "compilations", "solo", "stop", "strategies"]


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args).result()


def solo(changes: list[str]) -> Cost:
    """Return what the compiled program of one run takes when it is called again."""
    launch.prepare()
    import jax

    from mastery_jax.workflow import config, data, program

    loaded = config.load("digits_mlp", changes)
    dataset = data.load(loaded.value.data)
    spec = program.specify(dataset)
    fns = program.functions(loaded.experiment, loaded.value, spec)
    given = jax.device_put((program.lane(loaded.value), dataset.arrays))
    compiled = program.prepare(fns, *given)

    def run() -> None:
        for _ in program.drive(compiled, *given, num_steps=loaded.value.num_steps):
            pass

    return in_turn({"solo": run}, rounds=15)[1]["solo"]


class Nobody:
    """Who is told how far lanes are, and keeps nothing."""

    def pause(self, lane: Any, step: int, rows: Any, state: bytes) -> None: ...

    def end(self, lane: Any, rows: Any) -> None: ...


def strategies(width: int, num_steps: int, num_lanes: int, rounds: int) -> tuple[dict, dict]:
    """Return what the first call of each strategy takes, and a later one."""
    launch.prepare(host_devices=launch.cores())
    from mastery_jax.workflow import config
    from mastery_jax.workflow.stops import Interrupt
    from mastery_jax.workflow.sweep import plan
    from mastery_jax.workflow.sweep import strategies as engines
    from mastery_jax.workflow.sweep.ledger import Entry

    changes = [f"model.widths=[{width},{width}]", f"num_steps={num_steps}", "evaluate_every=0"]
    swept = config.load_sweep("digits_mlp", [*changes, f"seed=range({num_lanes})"])
    groups = plan.plan(swept).groups
    together = engines.choose_width(groups, num_lanes)
    due = [(group, [Entry(lane, 0, [], None) for lane in group.lanes]) for group in groups]

    def engine(strategy: str) -> Callable[[], None]:
        here = engines.Here(
            swept.loaded.experiment, strategy=strategy, width=together, say=lambda text: None
        )
        return lambda: here.advance(due, num_steps, Nobody(), Interrupt())

    return in_turn({name: engine(name) for name in ("loop", "vmap", "map")}, rounds=rounds)


def stop(every: int) -> list[str]:
    """Return the search of a sweep whose lanes are halved."""
    rule = ["search.stop=halving", "search.stop.eta=2", f"search.stop.min_steps={every}"]
    return [*rule, "search.metrics=[test_accuracy:max]"]


def compilations() -> int:
    """Return how often a sweep by ``loop`` that is halved four times compiles its program."""
    launch.prepare()
    from mastery_jax.workflow import config, program
    from mastery_jax.workflow.progress import Progress
    from mastery_jax.workflow.sweep import driver

    changes = ["num_steps=16", "evaluate_every=1", "model.widths=[8]", "seed=range(16)", *stop(1)]
    swept = config.load_sweep("digits_mlp", changes)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(program, "prepare", wraps=program.prepare) as prepare,
    ):
        driver.sweep(swept, runs=pathlib.Path(folder), strategy="loop", progress=Progress(True))
    return prepare.call_count
