import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.inference.mcmc import (
    adaptive_metropolis,
    barker,
    elliptical_slice,
    ensemble,
    gibbs,
    hmc,
    kernel,
    mala,
    metropolis,
    sample_adaptive,
    target,
)
from tests.cases.inference import (
    position,
    shapes,
    slope,
    value,
)
from tests.contract import Case


def gammas(shapes, x):
    """Log of gamma variables along the last axis: no scalar where an axis is too many."""
    return jnp.tensordot(x, shapes, (-1, 0)) - jnp.exp(x).sum(axis=-1)


TARGET = Partial(gammas, shapes)
FACTOR = np.array([[0.9, 0.2], [-0.3, 0.7]])
MOMENTUM = np.array([0.8, -0.5])
JUMP = "accepting is a jump"

walk_state = metropolis.State(position=position, log_density=value)
slope_state = target.State(position=position, gradient=slope, log_density=value)
phase = hmc.Phase(state=slope_state, momentum=MOMENTUM)


def leapfrogged(phase, *, log_density, step_size, num_steps, factor):
    """Follow Hamilton's equations with a mass, as books write them."""
    mass = np.linalg.inv(factor @ factor.T)
    x, r = phase.state.position, np.linalg.solve(factor.T, phase.momentum)
    for _ in range(num_steps):
        r = r + step_size / 2 * (shapes - np.exp(x))
        x = x + step_size * np.linalg.solve(mass, r)
        r = r + step_size / 2 * (shapes - np.exp(x))
    at = target.State(x, shapes - np.exp(x), (shapes * x - np.exp(x)).sum())
    return hmc.Phase(at, factor.T @ r)


adaptive_state = adaptive_metropolis.State(
    position=position,
    log_density=value,
    num_steps=np.int32(9),
    log_scale=np.array(0.1),
    factor=np.tril(FACTOR),
    mean=position - 0.1,
    cov=FACTOR @ FACTOR.T,
)


WALK = kernel.Kernel(
    Partial(lambda x, *, log_density: metropolis.init(x, log_density=log_density)),
    Partial(
        lambda key, state, *, log_density, num_warmup=0, factor=1.0: metropolis.step(
            key, state, log_density=log_density, step_size=0.5, factor=factor
        )
    ),
)
WALKERS = np.stack([position, -position, position + 1, position - [0, 2]])

particle_values = (shapes * WALKERS - np.exp(WALKERS)).sum(axis=1)


def pair(p):
    a, b = p["a"], p["b"]
    return a * b - jnp.exp(b) + 2 * a * a - jnp.exp(a)


blocks = {"a": np.array(0.7), "b": np.array(0.4)}
block_value = 0.7 * 0.4 - np.exp(0.4) + 1.4 * 0.7 - np.exp(0.7)
block_states = {name: metropolis.State(x, np.asarray(block_value)) for name, x in blocks.items()}
block_state = gibbs.State(position=blocks, log_density=block_value, blocks=block_states)
KERNELS = {"a": WALK, "b": WALK}


def kernel_cases(module, state, options, static=None):
    name = module.__name__.rpartition(".")[2]
    return (
        Case(
            f"{name}.init",
            module.init,
            (position,),
            {"log_density": TARGET},
            oracle=lambda position, **_: state,
        ),
        Case(
            f"{name}.step",
            module.step,
            (jax.random.key(0), state),
            {"log_density": TARGET, **options},
            static or {},
            modes=(),
            because=JUMP,
        ),
    )


CASES = (
    *kernel_cases(metropolis, walk_state, {"step_size": 0.5, "factor": FACTOR}),
    *kernel_cases(mala, slope_state, {"step_size": 0.5, "factor": FACTOR}),
    *kernel_cases(barker, slope_state, {"step_size": 0.5, "factor": FACTOR}),
    *kernel_cases(
        hmc, slope_state, {"step_size": 0.2, "factor": FACTOR, "jitter": 0.1}, {"num_steps": 3}
    ),
    *kernel_cases(
        elliptical_slice,
        elliptical_slice.State(position=position, log_density=value),
        {"prior_mean": position * 0.5, "factor": FACTOR},
    ),
    Case(
        "hmc.leapfrog",
        hmc.leapfrog,
        (phase,),
        {"log_density": TARGET, "step_size": 0.2, "factor": FACTOR},
        {"num_steps": 4},
        oracle=leapfrogged,
    ),
    Case(
        "adaptive_metropolis.init",
        adaptive_metropolis.init,
        (position,),
        {"log_density": TARGET, "factor": FACTOR},
        oracle=lambda position, **_: adaptive_metropolis.State(
            position, value, np.int32(0), np.log(2.4 / 2**0.5), FACTOR, position, FACTOR @ FACTOR.T
        ),
    ),
    Case(
        "adaptive_metropolis.step",
        adaptive_metropolis.step,
        (jax.random.key(0), adaptive_state),
        {"log_density": TARGET},
        {"num_warmup": 20},
        modes=(),
        because=JUMP,
    ),
    Case(
        "gibbs.init",
        gibbs.init,
        (blocks,),
        {"log_density": Partial(pair), "kernels": KERNELS},
        oracle=lambda position, **_: block_state,
    ),
    Case(
        "gibbs.step",
        gibbs.step,
        (jax.random.key(0), block_state),
        {"log_density": Partial(pair), "kernels": KERNELS},
        modes=(),
        unchecked=("1/blocks",),
        because=f"{JUMP}; where a block stood is read from the whole position",
    ),
    Case(
        "ensemble.init",
        ensemble.init,
        (WALKERS,),
        {"log_density": TARGET},
        oracle=lambda position, **_: ensemble.State(position, particle_values),
    ),
    Case(
        "ensemble.step",
        ensemble.step,
        (jax.random.key(0), ensemble.State(WALKERS, particle_values)),
        {"log_density": TARGET, "stretch": 2.0},
        modes=(),
        because=JUMP,
    ),
    Case(
        "sample_adaptive.init",
        sample_adaptive.init,
        (WALKERS,),
        {"log_density": TARGET},
        oracle=lambda position, **_: ensemble.State(position, particle_values),
    ),
    Case(
        "sample_adaptive.step",
        sample_adaptive.step,
        (jax.random.key(0), ensemble.State(WALKERS, particle_values)),
        {"log_density": TARGET},
        modes=(),
        because=JUMP,
    ),
)
