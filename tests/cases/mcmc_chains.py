import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.inference.mcmc import chains, diagnostics, health, tempering, warmup
from tests.cases.inference import (
    draws,
    halves,
    noise,
    of_each,
    plain_ess,
    position,
    rank_scores,
    slow_rhat,
    tail_ess,
)
from tests.cases.mcmc import TARGET, WALK, WALKERS, particle_values
from tests.contract import Case


def begun(position, *, step_size):
    ones, zeros = np.ones(2), np.zeros(2)
    return warmup.State(
        step_size=np.asarray(step_size),
        inverse_mass=ones,
        mass_root=ones,
        inverse_mass_root=ones,
        averaging=warmup.Averaging(
            np.array(0.0), np.array(0.0), np.array(0.0), np.int32(0), np.log(10 * step_size)
        ),
        moments=warmup.Moments(zeros, zeros, np.int32(0)),
        window=np.int32(0),
    )


def steered(state, position, accept_prob, num_steps, *, num_warmup, target_accept):
    """The first transition of a long warm-up, where nothing but the step size is tuned."""
    shortfall = (target_accept - accept_prob) / 11
    log_step = state.averaging.center - shortfall / 0.05
    return state._replace(
        step_size=np.exp(log_step),
        averaging=warmup.Averaging(
            log_step, log_step, shortfall, np.int32(1), state.averaging.center
        ),
    )


def log_prior(x):
    return -0.5 * jnp.sum(x * x, axis=-1)


particles = tempering.State(
    particles=WALKERS,
    log_likelihood=particle_values,
    temperature=np.array(0.25),
    log_evidence=np.array(-1.0),
    eve=np.array([0, 0, 1, 3], np.int32),
    num_temperatures=np.int32(2),
)


def history(fn):
    """A dict: what is drawn is no next state."""
    return lambda *args, **options: {"history": fn(*args, **options)}


def judged(x, *, log_density, step_size, **_):
    """All chains move, and are finite; some are frozen, and some coordinates poor."""
    each = [x[..., i] for i in range(x.shape[-1])]
    rhat = np.array([slow_rhat(x) for x in each])
    bulk = np.array([plain_ess(rank_scores(halves(x))) for x in each])
    tail = np.array([tail_ess(x) for x in each])
    none = np.zeros(len(x), np.int32)
    return health.Verdict(
        status=np.int32(5),
        num_lost=none,
        num_constant=none,
        longest_still=none + 1,
        is_frozen=step_size < 1e-6,
        num_divergent=none,
        rhat=rhat,
        ess_bulk=bulk,
        ess_tail=tail,
        is_poor=~((rhat <= 1.05) & (bulk > 50) & (tail > 50)),
    )


def correlations(x):
    """Sum products lag by lag."""
    away = x - x.mean()
    sums = np.array([np.sum(away[: len(x) - lag] * away[lag:]) for lag in range(len(x))])
    return sums / sums[0]


def times(x, window=5.0):
    rho = np.mean([correlations(chain) for chain in x], axis=0)
    for last in range(len(rho)):
        tau = 1 + 2 * rho[1 : last + 1].sum()
        if last >= window * max(tau, 1):
            return tau
    return tau


CASES = (
    Case(
        "warmup.init",
        warmup.init,
        (position,),
        {"step_size": 0.3},
        oracle=begun,
        any_rank=True,
        because="a position is any tree of floats",
    ),
    Case(
        "warmup.update",
        warmup.update,
        (begun(position, step_size=0.3), position, np.array(0.6), np.int32(0)),
        {"target_accept": 0.8},
        {"num_warmup": 500},
        oracle=steered,
        unchecked=("1",),
        because="a position is any tree of floats",
    ),
    Case(
        "chains.sample",
        history(chains.sample),
        (jax.random.key(0), WALKERS),
        {"log_density": TARGET, "kernel": WALK},
        {"num_warmup": 2, "num_samples": 2, "thin": 2},
        modes=(),
        unchecked=("1",),
        because="accepting is a jump; a position is any tree, which the kernel refuses",
    ),
    Case(
        "health.judge",
        health.judge,
        (draws,),
        {
            "log_density": noise[..., 0],
            "step_size": np.array([1.0, 1e-9, 0.1]),
            "max_rhat": 1.05,
            "min_ess": 50.0,
        },
        oracle=judged,
        modes=(),
        because="ranks and verdicts are steps: their slope is zero or a jump",
    ),
    Case(
        "tempering.init",
        tempering.init,
        (WALKERS,),
        {"log_likelihood": TARGET},
        oracle=lambda x, **_: tempering.State(
            x, particles.log_likelihood, np.array(0.0), np.array(0.0), np.arange(4), np.int32(0)
        ),
    ),
    Case(
        "tempering.step",
        tempering.step,
        (jax.random.key(0), particles),
        {"log_prior": Partial(log_prior), "log_likelihood": TARGET, "kernel": WALK, "min_ess": 0.8},
        {"num_moves": 2},
        modes=(),
        because="drawing particles is a jump",
    ),
    Case(
        "tempering.sample",
        history(tempering.sample),
        (jax.random.key(0), WALKERS),
        {"log_prior": Partial(log_prior), "log_likelihood": TARGET, "kernel": WALK, "min_ess": 0.8},
        {"num_moves": 2, "max_temperatures": 3},
        modes=(),
        because="drawing particles is a jump",
    ),
    Case(
        "diagnostics.autocorrelation",
        diagnostics.autocorrelation,
        (draws,),
        oracle=lambda draws: np.stack(
            [[correlations(chain) for chain in draws[..., i]] for i in range(3)], axis=-1
        ),
    ),
    Case(
        "diagnostics.integrated_time",
        diagnostics.integrated_time,
        (draws,),
        {"window": 5.0},
        oracle=lambda draws, window: of_each(lambda x: times(x, window))(draws),
        modes=(),
        because="the window ends at a whole lag: its slope is a jump",
    ),
)
