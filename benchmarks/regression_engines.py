"""Effective draws a CPU-second of Bayesian regression: ours against NumPyro's own ``MCMC.run``.

A normal regression of 200 rows on 8 columns of which any two are correlated by 0.9. The peer states
the same model in the weights themselves, as its users do, with the same prior, chains and lengths;
once as it is, and once inside a ``jax.jit`` of the user's own; and once more in that jit with our
program, so that what the coordinates do is told apart from what the code does. In the jit its
chains run together, and one by one as ours do. Every call gets new
rows of one shape. One estimator judges all: the least bulk effective sample size of any weight or
the noise. NumPyro is a dependency of ours, so that no environment is made.
"""

import os
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "regression_engines"
ROUNDS = 5
NUM_ROWS, NUM_COLUMNS, CORRELATION = 200, 8, 0.9
SIZES = {"num_chains": 4, "num_warmup": 500}
NUM_DRAWS = 1000
PEERS = {  # name -> whether it is in a jit, whether it is given our program, how its chains run
    "MCMC.run": (False, False, "vectorized"),
    "MCMC.run in a jit": (True, False, "vectorized"),
    "MCMC.run in a jit, chain by chain": (True, False, "sequential"),
    "MCMC.run in a jit, our program": (True, True, "vectorized"),
    "MCMC.run in a jit, our program, chain by chain": (True, True, "sequential"),
}


def rows(round: int) -> tuple[Any, Any, Any]:
    """Return X, y and the prior of a round."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.inference.regression import prior, simulated

    weights = jnp.linspace(-1.0, 1.0, NUM_COLUMNS)
    options = {"num_rows": NUM_ROWS, "correlation": CORRELATION}
    data = simulated.sample(jax.random.key(round), weights, **options)
    return data.X, data.y, prior.weakly_informative(data.X, data.y)


def ours(name: str) -> Callable[[int], Any]:
    """Return round -> draws, by an engine of ours."""
    import jax

    from mastery_jax.inference.regression import markov

    engine = getattr(markov, name)

    def call(round: int) -> Any:
        X, y, prior = rows(round)
        draws, _ = engine(jax.random.key(round), X, y, prior=prior, num_draws=NUM_DRAWS, **SIZES)
        return draws.weights, draws.noise

    return call


def numpyros(*, in_jit: bool, is_rotated: bool, chain_method: str) -> Callable[[int], Any]:
    """Return round -> draws, by NumPyro's NUTS."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    from mastery_jax.inference.regression import model

    def as_written(X: Any, y: Any, prior: Any) -> None:
        variance = numpyro.sample("variance", dist.InverseGamma(prior.shape, prior.rate))
        cov = variance * (prior.root @ prior.root.T)
        weights = numpyro.sample("weights", dist.MultivariateNormal(prior.mean, cov))
        numpyro.sample("y", dist.Normal(X @ weights, jnp.sqrt(variance)), obs=y)

    def rotated(X: Any, y: Any, prior: Any) -> None:
        model.program(model.pose(X, y, prior=prior), family="normal")()

    sampler = MCMC(
        NUTS(rotated if is_rotated else as_written),
        num_samples=NUM_DRAWS,
        progress_bar=False,
        jit_model_args=not in_jit,
        chain_method=chain_method,
        **SIZES,
    )

    def draw(key: Any, X: Any, y: Any, prior: Any) -> Any:
        sampler.run(key, X, y, prior)
        found = sampler.get_samples(group_by_chain=True)
        if is_rotated:
            target = model.pose(X, y, prior=prior)
            return model.draws(target, found["u"], jnp.log(found["variance"]) / 2)
        return found["weights"], jnp.sqrt(found["variance"])

    chosen = jax.jit(draw) if in_jit else draw
    return lambda round: chosen(jax.random.key(round), *rows(round))


class Contestant:
    """Calls a sampler with the rows of the next round, and keeps what it drew."""

    def __init__(self, call: Callable[[int], Any]) -> None:
        self.call = call
        self.draws: list[Any] = []

    def __call__(self) -> None:
        """Draw once."""
        import jax

        self.draws.append(jax.block_until_ready(self.call(len(self.draws))))

    def least_size(self) -> float:
        """Return the least bulk ESS, the median over the later calls."""
        import jax.numpy as jnp

        from mastery_jax.inference.mcmc import diagnostics

        every = [jnp.concatenate([w, s[..., None]], axis=-1) for w, s in self.draws[1:]]
        return statistics.median(float(diagnostics.ess(each).min()) for each in every)


def main() -> None:
    """Measure in turn, and save."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    calls = {name: ours(name) for name in ("hmc", "nuts")}
    for peer, (in_jit, is_rotated, chain_method) in PEERS.items():
        calls[peer] = numpyros(in_jit=in_jit, is_rotated=is_rotated, chain_method=chain_method)
    contestants = {name: Contestant(call) for name, call in calls.items()}
    first, again = in_turn(contestants, rounds=ROUNDS)
    rates = {name: each.least_size() / again[name].cpu for name, each in contestants.items()}
    table = []
    for name in ("hmc", "nuts"):
        for peer, (in_jit, *_) in PEERS.items():
            pair = (rates[name], rates[peer])
            goal = 1 if in_jit else 5
            what = f"{name}, least bulk ESS of a later call"
            table.append(Row(what, peer, *pair, "a CPU-s", goal, more_is_better=True))
        pair = (first[name].cpu, first["MCMC.run in a jit"].cpu)
        what = f"{name}, first call, compilation included"
        table.append(Row(what, "MCMC.run in a jit", *pair, "CPU-s", 1))
    notes = [
        f"{NUM_ROWS} rows, {NUM_COLUMNS} columns, correlation {CORRELATION}; {SIZES['num_chains']} "
        f"chains of {SIZES['num_warmup']} + {NUM_DRAWS} transitions, single precision, new rows in "
        "every call; no persistent compilation cache.",
        "Ours walk in rotated coordinates, which the engine makes of the rows; the peer in the "
        "weights.",
    ]
    notes += [
        f"{name}: a later call takes {again[name].cpu:.3g} CPU-s and has least ESS "
        f"{each.least_size():.0f}."
        for name, each in contestants.items()
    ]
    save(FAMILY, "Bayesian regression", table, notes=notes)


if __name__ == "__main__":
    main()
