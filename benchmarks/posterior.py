"""Effective draws a CPU-second of NUTS: ours against NumPyro's ``MCMC.run``, blackjax and nutpie.

Two posteriors, the eight schools and a logistic regression of 1000 rows on 10 columns. Every call
gets new data of the same shape and goes from random starts to named draws in their supports. All
make the same transitions with the same options, and one estimator judges all: the least bulk
effective sample size of any latent value. nutpie knows double precision only: it is compared with
ours in single and in double. Then 100 data sets in one program, against a run for each.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import Cost, Row, enter, in_turn, save
from benchmarks.peers.posteriors import Problem, problems
from benchmarks.peers.samplers import (
    NUM_CHAINS,
    NUM_SAMPLES,
    NUM_WARMUP,
    TARGET_ACCEPT,
    blackjaxes,
    numpyros,
    nutpies,
)
from mastery_jax.workflow import launch

FAMILY = "posterior"
ROUNDS = 5
NUM_SETS = 100
LONGEST_COMPILE = 2.0  # CPU-s
OURS, OURS_IN_DOUBLE = "ours", "ours, double precision"
GOALS = (  # who of us, the peer, times its ESS of a CPU-second, and the same with compilation
    (OURS, "MCMC.run, vectorized", 8, 1),
    (OURS, "MCMC.run, sequential", 8, 1),
    (OURS, "MCMC.run in a jit, vectorized", 1, 1),
    (OURS, "MCMC.run in a jit, sequential", 1, 1),
    (OURS, "blackjax, vectorized", 1, 1),
    (OURS, "blackjax, sequential", 1, 1),
    (OURS, "nutpie", 4, 5),
    (OURS_IN_DOUBLE, "nutpie", 1, 1),
)


def program(problem: Problem) -> Callable[[Any, Any], Any]:
    """Return (key, data) -> draws, to be compiled."""
    import jax
    from jax.tree_util import Partial

    from mastery_jax.inference.mcmc import nuts, unconstrained

    def call(key: Any, data: Any) -> Any:
        start_key, run_key = jax.random.split(key)
        model = Partial(problem.model, *data)
        density, constrain = unconstrained.from_numpyro(model)
        positions = unconstrained.start(start_key, model=model, num_chains=NUM_CHAINS)
        draws, _ = nuts.sample(
            run_key,
            positions,
            log_density=density,
            num_warmup=NUM_WARMUP,
            num_samples=NUM_SAMPLES,
            target_accept=TARGET_ACCEPT,
        )
        return jax.vmap(jax.vmap(constrain))(draws)

    return call


def ours(problem: Problem, *, in_double: bool) -> Callable[[int], Any]:
    """Return round -> draws, as one program."""
    import jax
    import numpy as np

    call = jax.jit(program(problem))

    def in_precision(round: int) -> Any:
        with jax.enable_x64(in_double):
            dtype = np.float64 if in_double else np.float32
            data = jax.tree.map(lambda x: np.asarray(x, dtype), problem.data(round))
            return call(jax.random.key(round), data)

    return in_precision


def contestants(problem: Problem) -> dict[str, Callable[[int], Any]]:
    """Return everybody who draws, by name."""
    calls = {
        OURS: ours(problem, in_double=False),
        OURS_IN_DOUBLE: ours(problem, in_double=True),
        "nutpie": nutpies(problem.in_pymc, problem.named),
    }
    for method in ("vectorized", "sequential"):
        is_mapped = method == "vectorized"
        calls[f"blackjax, {method}"] = blackjaxes(problem.model, problem.data, is_mapped=is_mapped)
        for name, in_jit in {"MCMC.run": False, "MCMC.run in a jit": True}.items():
            options: dict[str, Any] = {"chain_method": method, "in_jit": in_jit}
            calls[f"{name}, {method}"] = numpyros(problem.model, problem.data, **options)
    return calls


class Contestant:
    """Calls a sampler with the data of the next round, and keeps what the judges want."""

    def __init__(self, call: Callable[[int], Any], compiled: list[str]) -> None:
        self.call, self.compiled = call, compiled
        self.draws: list[dict[str, Any]] = []
        self.num_compiled: list[int] = []

    def __call__(self) -> None:
        """Draw once."""
        import jax

        before = len(self.compiled)
        self.draws.append(jax.block_until_ready(self.call(len(self.draws))))
        self.num_compiled.append(len(self.compiled) - before)

    def judge(self, latents: tuple[str, ...]) -> tuple[float, float]:
        """Return the least bulk ESS and the greatest R-hat, medians over the later calls."""
        import jax
        import jax.numpy as jnp

        from mastery_jax.inference.mcmc import diagnostics

        ess, rhat = [], []
        with jax.enable_x64(True):  # some have drawn in double precision
            for draws in self.draws[1:]:
                flat = [draws[name].reshape(NUM_CHAINS, NUM_SAMPLES, -1) for name in latents]
                every = jnp.concatenate(flat, axis=-1)
                ess.append(float(diagnostics.ess(every).min()))
                rhat.append(float(diagnostics.rhat(every).max()))
        return statistics.median(ess), statistics.median(rhat)


def compare(problem: Problem, compiled: list[str]) -> tuple[list[Row], list[str], Cost]:
    """Time one problem; return the cost of ``MCMC.run`` at its best, too."""
    runs = {name: Contestant(call, compiled) for name, call in contestants(problem).items()}
    first, again = in_turn(runs, rounds=ROUNDS)
    notes, sizes = [], {}
    for name, run in runs.items():
        sizes[name], rhat = run.judge(problem.latents)
        later = run.num_compiled[1:]
        programs = "" if name == "nutpie" else f"compiles {min(later)} to {max(later)} programs, "
        notes.append(
            f"{problem.name}, {name}: the first call takes {first[name].cpu:.3g} CPU-s, a later "
            f"one {again[name].cpu:.3g}; that {programs}has least ESS {sizes[name]:.0f} and R-hat "
            f"{rhat:.4f}."
        )
    if any(runs[OURS].num_compiled[1:]):
        raise RuntimeError(f"{problem.name}: new data compiled {runs[OURS].num_compiled}")
    rows = []
    for us, peer, goal, goal_with_compilation in GOALS:
        rate, total = (
            [sizes[name] / costs[name].cpu for name in (us, peer)] for costs in (again, first)
        )
        precision = "" if us == OURS else ", double precision"
        what = f"{problem.name}{precision}, least bulk ESS of a later call"
        rows.append(Row(what, peer, *rate, "a CPU-s", goal, more_is_better=True))
        what = f"{problem.name}{precision}, the same of the first call, compilation included"
        goal = goal_with_compilation
        rows.append(Row(what, peer, *total, "a CPU-s", goal, more_is_better=True))
    compilation = first[OURS].cpu - again[OURS].cpu
    what = f"{problem.name}, tracing and compiling"
    rows.append(Row(what, "the bar", compilation, LONGEST_COMPILE, "CPU-s", 1))
    fastest = min(again["MCMC.run, vectorized"], again["MCMC.run, sequential"])
    return rows, notes, fastest


def many(problem: Problem, of_one: Cost) -> tuple[list[Row], list[str]]:
    """Time ``NUM_SETS`` data sets in one program, and a call for each."""
    import jax
    import jax.numpy as jnp

    one = program(problem)
    sets = jax.tree.map(lambda *x: jnp.stack(x), *(problem.data(i) for i in range(NUM_SETS)))
    keys = jax.random.split(jax.random.key(0), NUM_SETS)
    mapped = jax.jit(lambda keys, sets: jax.lax.map(lambda pair: one(*pair), (keys, sets)))
    together, single = jax.jit(jax.vmap(one)), jax.jit(one)
    apart = [(keys[i], jax.tree.map(lambda x, i=i: x[i], sets)) for i in range(NUM_SETS)]

    def call_each() -> None:
        for pair in apart:
            jax.block_until_ready(single(*pair))

    calls: Mapping[str, Callable[[], Any]] = {
        "map": lambda: jax.block_until_ready(mapped(keys, sets)),
        "vmap": lambda: jax.block_until_ready(together(keys, sets)),
        "each": call_each,
    }
    _, again = in_turn(calls, rounds=3)
    what = f"{problem.name}, {NUM_SETS} data sets in one program"
    peers = {
        "MCMC.run, a run for each": (NUM_SETS * of_one.cpu, 10),
        "ours, a call for each": (again["each"].cpu, 1),
        "ours, vmapped": (again["vmap"].cpu, 1),
    }
    rows = [
        Row(what, p, again["map"].cpu, cost, "CPU-s", goal) for p, (cost, goal) in peers.items()
    ]
    note = f"{what}: by `jax.lax.map`; MCMC.run's is {NUM_SETS} times the cost of one run."
    return rows, [note]


def main() -> None:
    """Measure where nobody finds what was compiled before."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    enter(FAMILY)
    launch.prepare()
    with tempfile.TemporaryDirectory() as empty:
        os.environ["PYTENSOR_FLAGS"] = f"base_compiledir={empty}"
        os.environ["NUMBA_CACHE_DIR"] = empty
        measure()


def measure() -> None:
    """Measure in turn, and save."""
    import jax

    compiled: list[str] = []

    def listen(event: str, *_: Any, **__: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    rows: list[Row] = []
    notes = [
        f"{NUM_CHAINS} chains of {NUM_WARMUP} + {NUM_SAMPLES} transitions, new data in every call; "
        "single precision, and double for nutpie; no persistent compilation cache for anybody.",
        f"All of jax under {launch.SMALL_LOOP}={launch.SMALL_LOOP_BYTES}, which our commands set "
        "and NumPyro and blackjax do not.",
    ]
    of_one = {}
    for problem in problems():
        found, said, of_one[problem.name] = compare(problem, compiled)
        rows += found
        notes += said
    schools = problems()[0]
    found, said = many(schools, of_one[schools.name])
    save(FAMILY, "Posteriors", rows + found, notes=notes + said)


if __name__ == "__main__":
    main()
