"""What may the parameters be? Effects measured in several groups, pooled partly, by NUTS.

Every group j has a true effect θ_j = μ + τ z_j with z_j ~ N(0, 1), of which y_j ~ N(θ_j, σ_j) was
measured with a known standard error σ_j; μ ~ N(0, mean_scale), τ ~ HalfCauchy(spread_scale).

Source: Rubin (1981), *J. Educ. Stat.* 6, 377; the priors are those of posteriordb's
``eight_schools_noncentered``.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
from jax.scipy.special import ndtr
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from msgspec import Meta
from numpyro import distributions as dist

from mastery_jax.inference.mcmc import diagnostics, nuts, unconstrained
from mastery_jax.workflow.data import Columns
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "Draws", "State", "build", "check"]

QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
NUM_HALVINGS = 25  # of an interval of some hundred units: to 1e-5 units
Positive = Annotated[float, Meta(gt=0)]


class Config(RunConfig, frozen=True, kw_only=True):
    """One posterior: ``num_steps`` counts the transitions of a chain, warm-up included."""

    data: Columns
    num_chains: Annotated[int, Meta(ge=1)] = 4
    num_warmup: Annotated[int, Meta(ge=0, description="steps that tune and are thrown away")] = 1000
    target_accept: Annotated[float, Meta(gt=0, lt=1, description="higher: smaller steps")] = 0.9
    max_tree_depth: Annotated[int, Meta(ge=1, description="2^this gradients a step at most")] = 10
    lockstep: Annotated[bool, Meta(description="all chains at once; for accelerators")] = False
    mean_scale: Annotated[Positive, Meta(description="prior of μ, unit of the effects")] = 5.0
    spread_scale: Annotated[Positive, Meta(description="prior of τ, unit of the effects")] = 5.0


class Draws(NamedTuple):
    """What is kept of every transition after the warm-up; NaN until it is made."""

    mu: Float[Array, "chain draw"]
    tau: Float[Array, "chain draw"]
    theta: Float[Array, "chain draw group"]
    energy: Float[Array, "chain draw"]  # nats


class State(NamedTuple):
    """The chains, and all that they have seen."""

    chains: nuts.State  # every leaf with a leading axis of chains
    draws: Draws
    num_divergent: Int[Array, ""]  # after the warm-up, over all chains
    std_error: Float[Array, " group"]


def check(config: Config) -> None:
    """Refuse columns and numbers of steps that do not make a posterior."""
    if config.data.columns != ("effect", "std_error"):
        raise ConfigError(
            f"data.columns is {list(config.data.columns)}, not [effect, std_error]: "
            "a measured effect and its standard error for each group"
        )
    if config.num_steps < config.num_warmup + 4:
        raise ConfigError(
            f"num_steps is {config.num_steps}, not at least 4 more than num_warmup, "
            f"which is {config.num_warmup}: no draws would be left"
        )
    if config.evaluate_every:
        raise ConfigError(
            f"evaluate_every is {config.evaluate_every}, not 0: "
            "a posterior is summed up when all its draws are there"
        )


def groups(effect: Array, std_error: Array, mean_scale: Array, spread_scale: Array) -> None:
    """Make NumPyro's sample calls; not centered, so that small τ does not pinch the density."""
    mu = numpyro.sample("mu", dist.Normal(0, mean_scale))
    tau = numpyro.sample("tau", dist.HalfCauchy(spread_scale))
    with numpyro.plate("group", effect.shape[0]):
        z = numpyro.sample("z", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * z)
        numpyro.sample("y", dist.Normal(theta, std_error), obs=effect)


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""

    def model(data: Any) -> Partial:
        scales = (config.mean_scale, config.spread_scale)
        return Partial(groups, data["effect"], data["std_error"], *scales)

    def init(key: Array, data: Any) -> State:
        positions = unconstrained.start(key, model=model(data), num_chains=config.num_chains)
        density = unconstrained.from_numpyro(model(data)).log_density
        error = data["std_error"]
        rows = (config.num_chains, config.num_steps - config.num_warmup)
        empty = jnp.full(rows, jnp.nan, error.dtype)
        return State(
            chains=jax.vmap(partial(nuts.init, log_density=density))(positions),
            draws=Draws(empty, empty, jnp.full((*rows, error.size), jnp.nan, error.dtype), empty),
            num_divergent=jnp.array(0),
            std_error=error,
        )

    def step(key: Array, state: State, data: Any) -> tuple[State, dict[str, Array]]:
        density, constrain = unconstrained.from_numpyro(model(data))
        move = partial(
            nuts.step,
            log_density=density,
            num_warmup=config.num_warmup,
            target_accept=config.target_accept,
            max_tree_depth=config.max_tree_depth,
        )
        keys = jax.random.split(key, config.num_chains)
        chains, info = nuts.over_chains(move, keys, state.chains, lockstep=config.lockstep)
        values = jax.vmap(constrain)(chains.position)
        draw = Draws(values["mu"], values["tau"], values["theta"], info.energy)
        return keep(state, chains, draw, info, num_warmup=config.num_warmup), {
            "log_density": chains.log_density.mean(),
            "accept_prob": info.accept_prob.mean(),
            "step_size": info.step_size.min(),
            "num_leapfrog": info.num_leapfrog.max(),
            "num_divergent": info.is_divergent.sum(),
        }

    return Experiment(
        init=init,
        step=step,
        evaluate=evaluate,
        methods={"predict": predict, "sample": sample},
        example=lambda data: {
            "std_error": data["std_error"][:8],
            "seed": jnp.arange(data["std_error"][:8].size, dtype=jnp.uint32),
        },
    )


def keep(
    state: State, chains: nuts.State, draw: Draws, info: nuts.Info, *, num_warmup: int
) -> State:
    """Write what every chain has just drawn into its place."""
    place = chains.num_steps[0] - 1 - num_warmup
    # What the warm-up writes into the first place, the first draw overwrites.
    column = jnp.maximum(place, 0)
    return State(
        chains=chains,
        draws=jax.tree.map(lambda rows, x: rows.at[:, column].set(x), state.draws, draw),
        num_divergent=state.num_divergent + jnp.where(place >= 0, info.is_divergent.sum(), 0),
        std_error=state.std_error,
    )


def evaluate(state: State, data: Any) -> dict[str, Array]:
    """Sum the posterior up, and say how far the draws can be trusted."""
    draws = state.draws
    every = jnp.concatenate([draws.mu[..., None], draws.tau[..., None], draws.theta], axis=-1)
    errors = diagnostics.mcse(every)
    return {
        "mu_mean": draws.mu.mean(),
        "mu_sd": draws.mu.std(),
        "mu_mcse": errors[0],
        "tau_mean": draws.tau.mean(),
        "tau_sd": draws.tau.std(),
        "tau_mcse": errors[1],
        "rhat_max": diagnostics.rhat(every).max(),
        "ess_bulk_min": diagnostics.ess(every).min(),
        "ess_tail_min": diagnostics.ess(every, kind="tail").min(),
        "bfmi_min": diagnostics.bfmi(draws.energy).min(),
        "num_divergent": state.num_divergent,
        "min_step_size": state.chains.tuning.step_size.min(),
    }


def predict(state: State, x: Any) -> dict[str, Array]:
    """Say what effect would be measured in a new group, with a given standard error."""
    mu, tau = state.draws.mu.ravel(), state.draws.tau.ravel()
    mean = mu.mean()

    def one(std_error: Array) -> dict[str, Array]:
        sds = jnp.hypot(tau, std_error)
        low, high = (mu - 9 * sds).min(), (mu + 9 * sds).max()

        def quantile(prob: Array) -> Array:
            def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
                low, high = bracket
                middle = (low + high) / 2
                is_below = ndtr((middle - mu) / sds).mean() < prob
                return jnp.where(is_below, middle, low), jnp.where(is_below, high, middle)

            low_end, high_end = jax.lax.fori_loop(0, NUM_HALVINGS, halve, (low, high))
            return (low_end + high_end) / 2

        sd = jnp.sqrt(mu.var() + jnp.square(sds).mean())
        found = jax.vmap(quantile)(jnp.array([*QUANTILES.values()], mu.dtype))
        return {"mean": mean, "sd": sd, **dict(zip(QUANTILES, found, strict=True))}

    return jax.vmap(one)(x["std_error"])


def sample(state: State, x: Any) -> dict[str, Array]:
    """Draw the groups' true effects from the posterior, and what would be measured again."""
    num_chains, num_draws, num_groups = state.draws.theta.shape

    def one(seed: Array) -> dict[str, Array]:
        draw_key, noise_key = jax.random.split(jax.random.key(seed))
        which = jax.random.randint(draw_key, (), 0, num_chains * num_draws)
        theta = state.draws.theta.reshape(-1, num_groups)[which]
        noise = jax.random.normal(noise_key, (num_groups,), theta.dtype)
        return {"theta": theta, "effect": theta + state.std_error * noise}

    return jax.vmap(one)(x["seed"])
