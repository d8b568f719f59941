"""Markov chains as engines of regression: Hamiltonian Monte Carlo in the open, and NUTS.

    hmc     the own log density of ``model``, leapfrog trajectories of a set number of steps
    nuts    the same posterior as a NumPyro program, the No-U-Turn sampler

Both begin uniformly in [−2, 2] of each free coordinate, learn a step size and a mass for each
coordinate, and are judged chain by chain. In ``rotated`` coordinates collinear columns cost
nothing; in ``columns`` they are what the chain sees.

Source: Neal (2011), *MCMC Using Hamiltonian Dynamics*, section 5.3; Hoffman & Gelman (2014),
*JMLR* 15, 1593; Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.mcmc import chains, health, kernel, unconstrained
from mastery_jax.inference.mcmc import hmc as hamiltonian
from mastery_jax.inference.mcmc import nuts as no_u_turn
from mastery_jax.inference.regression import model
from mastery_jax.inference.regression.model import Coordinates, Draws
from mastery_jax.inference.regression.prior import Family, Prior

__all__ = ["hmc", "nuts"]

SIZES = ("family", "coordinates", "num_draws", "num_chains", "num_warmup")


@partial(jax.jit, static_argnames=(*SIZES, "num_steps"))
@checked
def hmc(
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    coordinates: Coordinates = "rotated",
    num_draws: int = 1000,
    num_chains: int = 4,
    num_warmup: int = 500,
    num_steps: int = 4,
    target_accept: Scalar = 0.8,
    jitter: Scalar = 0.5,
) -> tuple[Draws, model.Info]:
    """Draw by ``mcmc.hmc``, tuned. O((num_warmup + num_draws) num_chains num_steps n p).

    Args:
        key: Consumed.
        X: One row per observation; an intercept is a column of ones.
        y: What was seen; 0 and 1 if bernoulli.
        prior: Traced.
        family: Static.
        coordinates: What the chain walks in. Static.
        num_draws: Of each chain that are kept, at least 4. Static.
        num_chains: Static.
        num_warmup: Transitions that tune, at least 0. Static.
        num_steps: Of a trajectory, at least 1. Static.
        target_accept: Mean acceptance that the warm-up aims at, in (0, 1). Traced.
        jitter: Part in [0, 1) by which the length of a trajectory varies. Traced.

    Returns:
        The draws, and Info with the verdict of ``mcmc.health`` on the chains; BAD_INPUT where prior
        or y is not of the family.

    Raises:
        ValueError: a number below its least, an unknown option, or shapes disagree.

    Example:
        >>> from mastery_jax.inference.regression.prior import weakly_informative
        >>> X, y = jnp.ones((9, 1)), jnp.arange(9.0)
        >>> draws, info = hmc(jax.random.key(0), X, y, prior=weakly_informative(X, y))
        >>> bool(abs(draws.weights.mean() - 4) < 0.1), int(info.status)
        (True, 1)
    """
    model.refuse_counts("markov.hmc", num_chains=num_chains, num_steps=num_steps)
    model.refuse_counts("markov.hmc", least=4, num_draws=num_draws)
    target = model.pose(X, y, prior=prior, family=family, coordinates=coordinates)
    start_key, run_key = jax.random.split(key)
    walk = kernel.tune(
        kernel.bind(hamiltonian, step_size=1.0, num_steps=num_steps, jitter=jitter),
        target_accept=target_accept,
    )
    run = chains.sample(
        run_key,
        _starts(start_key, model.origin(target, family=family), num_chains),
        log_density=model.log_density(target, family=family),
        kernel=walk,
        num_warmup=num_warmup,
        num_samples=num_draws,
    )
    verdict = health.judge(
        run.draws,
        log_density=run.log_density,
        num_divergent=run.num_divergent,
        step_size=run.state.tuning.step_size,
    )
    info = model.Info(model.ended(target, verdict.status), verdict=verdict)
    return model.draws(target, run.draws["u"], run.draws.get("t")), info


@partial(jax.jit, static_argnames=(*SIZES, "max_tree_depth"))
@checked
def nuts(
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    coordinates: Coordinates = "rotated",
    num_draws: int = 1000,
    num_chains: int = 4,
    num_warmup: int = 500,
    target_accept: Scalar = 0.8,
    max_tree_depth: int = 10,
) -> tuple[Draws, model.Info]:
    """Draw by ``mcmc.nuts`` from the NumPyro program. O(2^depth n p) a transition.

    Args:
        key: Consumed.
        X: As ``hmc``.
        y: As ``hmc``.
        prior: Traced.
        family: Static.
        coordinates: As ``hmc``. Static.
        num_draws: As ``hmc``. Static.
        num_chains: Static.
        num_warmup: As ``hmc``. Static.
        target_accept: As ``hmc``. Traced.
        max_tree_depth: A trajectory makes at most 2^max_tree_depth − 1 steps. Static.

    Returns:
        As ``hmc``.

    Raises:
        ValueError: a number below its least, an unknown option, or shapes disagree.
    """
    model.refuse_counts("markov.nuts", num_chains=num_chains)
    model.refuse_counts("markov.nuts", least=4, num_draws=num_draws)
    target = model.pose(X, y, prior=prior, family=family, coordinates=coordinates)
    start_key, run_key = jax.random.split(key)
    program = model.program(target, family=family)
    positions, found = no_u_turn.sample(
        run_key,
        unconstrained.start(start_key, model=program, num_chains=num_chains),
        log_density=unconstrained.from_numpyro(program).log_density,
        num_warmup=num_warmup,
        num_samples=num_draws,
        target_accept=target_accept,
        max_tree_depth=max_tree_depth,
    )
    verdict = health.judge(
        positions,
        log_density=found.energy,
        num_divergent=found.is_divergent.sum(axis=1, dtype=jnp.int32),
        step_size=found.step_size[:, -1],
    )
    info = model.Info(model.ended(target, verdict.status), verdict=verdict)
    half = positions.get("variance")  # its logarithm, 2 t
    return model.draws(target, positions["u"], None if half is None else half / 2), info


def _starts(key: Array, like: dict[str, Array], num_chains: int) -> dict[str, Array]:
    keys = dict(zip(sorted(like), jax.random.split(key, len(like)), strict=True))
    return {
        name: jax.random.uniform(keys[name], (num_chains, *x.shape), x.dtype, -2.0, 2.0)
        for name, x in like.items()
    }
