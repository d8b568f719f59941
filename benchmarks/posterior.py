"""Effective draws a CPU-second of NUTS: ours against NumPyro's own ``MCMC.run``.

Two posteriors, the eight schools and a logistic regression of 1000 rows on 10 columns. Every call
gets new data of the same shape and goes from random starts to named draws in their supports. The
peer runs its chains ``vectorized``, ``sequential``, and vectorized inside a ``jax.jit`` of the
user's own. All make the same transitions with the same options, and one estimator judges all: the
least bulk effective sample size of any latent value. NumPyro is a dependency of ours, so that no
environment is made.
"""

import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.harness import Row, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "posterior"
ROUNDS = 5
NUM_CHAINS, NUM_WARMUP, NUM_SAMPLES = 4, 500, 1000
TARGET_ACCEPT = 0.8
PEERS = {  # name -> chain_method, and whether it runs inside a jit
    "MCMC.run, vectorized": ("vectorized", False),
    "MCMC.run, sequential": ("sequential", False),
    "MCMC.run in a jit, vectorized": ("vectorized", True),
}


class Problem(NamedTuple):
    """A posterior, and data sets of one shape."""

    name: str
    model: Callable[..., None]  # NumPyro model of the data
    data: Callable[[int], tuple[Any, ...]]  # round -> arrays
    latents: tuple[str, ...]


def problems() -> list[Problem]:
    import numpy as np
    import numpyro
    from numpyro import distributions as dist

    from experiments import posterior

    def schools(round: int) -> tuple[Any, ...]:
        effect = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32)
        error = np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)
        noise = np.random.default_rng(round).normal(size=8).astype(np.float32)
        return effect + noise, error, np.float32(5), np.float32(5)

    def logistic(X: Any, y: Any) -> None:
        weights = numpyro.sample("weights", dist.Normal(0, 5).expand([X.shape[1]]).to_event(1))
        numpyro.sample("y", dist.Bernoulli(logits=X @ weights), obs=y)

    def rows(round: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(round)
        X, weights = rng.normal(size=(1000, 10)), rng.normal(size=10)
        y = rng.random(1000) < 1 / (1 + np.exp(-X @ weights))
        return X.astype(np.float32), y.astype(np.float32)

    return [
        Problem("eight schools", posterior.groups, schools, ("mu", "tau", "z")),
        Problem("logistic 1000 x 10", logistic, rows, ("weights",)),
    ]


def ours(problem: Problem) -> Callable[[int], Any]:
    """Return round -> draws, as one program."""
    import jax
    from jax.tree_util import Partial

    from mastery_jax.inference.mcmc import nuts, unconstrained

    @jax.jit
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

    return lambda round: call(jax.random.key(round), problem.data(round))


def numpyros(problem: Problem, chain_method: str, *, in_jit: bool) -> Callable[[int], Any]:
    """Return round -> draws, from ``MCMC.run`` as it is, or inside a jit of the user's own."""
    import jax
    from numpyro.infer import MCMC, NUTS

    sampler = MCMC(
        NUTS(problem.model, target_accept_prob=TARGET_ACCEPT),
        num_warmup=NUM_WARMUP,
        num_samples=NUM_SAMPLES,
        num_chains=NUM_CHAINS,
        chain_method=chain_method,
        progress_bar=False,
        jit_model_args=not in_jit,
    )

    def call(key: Any, data: Any) -> Any:
        sampler.run(key, *data)
        return sampler.get_samples(group_by_chain=True)

    chosen = jax.jit(call) if in_jit else call
    return lambda round: chosen(jax.random.key(round), problem.data(round))


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
        import jax.numpy as jnp

        from mastery_jax.inference.mcmc import diagnostics

        ess, rhat = [], []
        for draws in self.draws[1:]:
            flat = [draws[name].reshape(NUM_CHAINS, NUM_SAMPLES, -1) for name in latents]
            every = jnp.concatenate(flat, axis=-1)
            ess.append(float(diagnostics.ess(every).min()))
            rhat.append(float(diagnostics.rhat(every).max()))
        return statistics.median(ess), statistics.median(rhat)


def compare(problem: Problem, compiled: list[str]) -> tuple[list[Row], list[str]]:
    """Time one problem."""
    calls = {"ours": ours(problem)}
    for peer, (method, in_jit) in PEERS.items():
        calls[peer] = numpyros(problem, method, in_jit=in_jit)
    contestants = {name: Contestant(call, compiled) for name, call in calls.items()}
    first, again = in_turn(contestants, rounds=ROUNDS)
    rows, notes, rates = [], [], {}
    for name, contestant in contestants.items():
        ess, rhat = contestant.judge(problem.latents)
        later = contestant.num_compiled[1:]
        rates[name] = ess / again[name].cpu
        notes.append(
            f"{problem.name}, {name}: a later call takes {again[name].cpu:.3g} CPU-s, compiles "
            f"{min(later)} to {max(later)} programs, and has least ESS {ess:.0f}, R-hat {rhat:.4f}."
        )
    if any(contestants["ours"].num_compiled[1:]):
        raise RuntimeError(f"{problem.name}: new data compiled {contestants['ours'].num_compiled}")
    for peer, (_, in_jit) in PEERS.items():
        what = f"{problem.name}, least bulk ESS of a later call"
        rate, goal = (rates["ours"], rates[peer]), 1 if in_jit else 5
        rows.append(Row(what, peer, *rate, "a CPU-s", goal, more_is_better=True))
        what = f"{problem.name}, first call, compilation included"
        rows.append(Row(what, peer, first["ours"].cpu, first[peer].cpu, "CPU-s", 1))
    return rows, notes


def main() -> None:
    """Measure in turn, and save."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    import jax

    compiled: list[str] = []

    def listen(event: str, *_: Any, **__: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    rows: list[Row] = []
    notes = [
        f"{NUM_CHAINS} chains of {NUM_WARMUP} + {NUM_SAMPLES} transitions, single precision, new "
        "data in every call; no persistent compilation cache.",
        f"All under {launch.SMALL_LOOP}={launch.SMALL_LOOP_BYTES}, which our commands set and "
        "NumPyro does not.",
    ]
    for problem in problems():
        found, said = compare(problem, compiled)
        rows += found
        notes += said
    save(FAMILY, "Posteriors", rows, notes=notes)


if __name__ == "__main__":
    main()
