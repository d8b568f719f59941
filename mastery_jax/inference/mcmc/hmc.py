"""Hamiltonian Monte Carlo in the open: a leapfrog trajectory of a set number of steps.

With u = L⁻¹ x and a momentum p ~ N(0, I) of u, the mass of x is M = (L Lᵀ)⁻¹, and

    H = −f(x) + ½ pᵀp
    p ← p + ½ ε Lᵀ∇f(x),   x ← x + ε L p,   p ← p + ½ ε Lᵀ∇f(x)         num_steps times

H comes out within O(ε²) of where it was; the end is taken with probability min(1, exp(−ΔH)). Run
back, with −p, the steps end where they began.

Source: Duane, Kennedy, Pendleton & Roweth (1987), *Phys. Lett. B* 195, 216; Neal (2011), *MCMC
Using Hamiltonian Dynamics*, sections 2.3, 3.2 and 4.2 (the random length).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target
from mastery_jax.inference.mcmc.target import Factor, State

__all__ = ["MAX_GROWTH", "Info", "Phase", "State", "init", "leapfrog", "step"]

MAX_GROWTH = 1000.0
"""Nats of H: beyond, the trajectory has left the true one."""


class Phase(NamedTuple):
    """A point of a trajectory."""

    state: State
    momentum: Float[Array, " d"]  # p, of L⁻¹ x


class Info(NamedTuple):
    """What happened in one transition."""

    accept_prob: Float[Array, ""]  # in [0, 1]
    is_accepted: Bool[Array, ""]
    energy: Float[Array, ""]  # H of the point that was kept, in nats
    growth: Float[Array, ""]  # ΔH of the trajectory, in nats
    is_divergent: Bool[Array, ""]  # H grew by more than 1000 nats, or is not finite


@jax.jit
@checked
def init(position: Any, *, log_density: Partial) -> State:
    """Return a chain that stands at ``position``. One gradient.

    Args:
        position: A pytree of floats of one dtype, where the density is positive.
        log_density: ``position -> log density`` in nats, up to a constant; −inf outside the
            support. As ``Partial(fn, data)`` its data is traced, its code is static.

    Raises:
        ValueError: the position is not of floats of one dtype, or the density no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> init(jnp.ones(2), log_density=Partial(lambda x: -x @ x / 2)).gradient
        Array([-1., -1.], dtype=float32)
    """
    return target.stand("hmc.init", log_density, position)


@partial(jax.jit, static_argnames=("num_steps",))
@checked
def leapfrog(
    phase: Phase,
    *,
    log_density: Partial,
    step_size: Scalar,
    num_steps: int,
    factor: Factor = 1.0,
) -> Phase:
    """Follow the flow of H for a time of ``num_steps · step_size``. O(num_steps) gradients.

    Args:
        phase: Where to start.
        log_density: As in ``init``.
        step_size: ε; below 0 it runs back. Traced.
        num_steps: At least 1. Static.
        factor: L, in units of the position. Traced.

    Raises:
        ValueError: num_steps is below 1, or the parts of the phase do not fit each other.

    Example:
        >>> import jax.numpy as jnp
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = Phase(init(jnp.ones(1), log_density=f), jnp.zeros(1))
        >>> end = leapfrog(start, log_density=f, step_size=jnp.pi / 100, num_steps=100)
        >>> end.state.position.round(3)
        Array([-1.], dtype=float32)
    """
    options = (log_density, step_size, num_steps, factor)
    return _followed("hmc.leapfrog", phase, *options)


@partial(jax.jit, static_argnames=("num_steps",))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    log_density: Partial,
    step_size: Scalar,
    num_steps: int,
    factor: Factor = 1.0,
    jitter: Scalar = 0.0,
) -> tuple[State, Info]:
    """Make one transition. O(num_steps) gradients.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        step_size: ε, > 0. Traced.
        num_steps: Of a trajectory, at least 1. Static.
        factor: L, whose L Lᵀ is the inverse of the mass; in units of the position. Traced.
        jitter: Part in [0, 1) by which the length of a trajectory varies at random, through ε:
            without it a target whose period is that length is never left. Traced.

    Returns:
        The new state, and what happened. A point where the density or its gradient is not finite
        is a divergence, and is never walked to.

    Raises:
        ValueError: num_steps is below 1, the factor does not fit, or the density is no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jnp.zeros(2), log_density=f)
        >>> _, info = step(jax.random.key(0), start, log_density=f, step_size=0.1, num_steps=10)
        >>> bool(info.is_accepted), bool(abs(info.growth) < 0.01)
        (True, True)
    """
    momentum_key, length_key, accept_key = jax.random.split(key, 3)
    x, _ = vector.flat("hmc.step", state.position)
    p = jax.random.normal(momentum_key, x.shape, x.dtype)
    longer = jax.random.uniform(length_key, (), x.dtype, minval=-1.0)
    length = step_size * (1 + jitter * longer)
    end = _followed("hmc.step", Phase(state, p), log_density, length, num_steps, factor)
    before, after = (q @ q / 2 - s.log_density for s, q in ((state, p), end))
    growth = after - before
    prob, is_accepted = target.decide(accept_key, -growth, end.state.log_density)
    return target.choose(is_accepted, end.state, state), Info(
        accept_prob=prob,
        is_accepted=is_accepted,
        energy=target.choose(is_accepted, after, before),
        growth=growth,
        is_divergent=~(growth <= MAX_GROWTH),
    )


def _followed(
    where: str, phase: Phase, log_density: Partial, step_size: Any, num_steps: int, factor: Factor
) -> Phase:
    if num_steps < 1:
        raise ValueError(f"{where}: num_steps is {num_steps}, not at least 1")
    x, back = vector.flat(where, phase.state.position)
    g = target.against(where, phase.state.gradient, phase.state.position)
    if phase.momentum.shape != x.shape:
        raise ValueError(
            f"{where}: momentum has {phase.momentum.size} numbers, not the position's {x.size}"
        )
    times = partial(target.times, where, factor)

    def move(point: Any) -> tuple[Any, None]:
        x, p, g, _ = point
        p = p + step_size / 2 * times(g, transpose=True)
        x = x + step_size * times(p)
        value, gradient = target.gradient_at(where, log_density, back(x))
        g = target.against(where, gradient, phase.state.position)
        return (x, p + step_size / 2 * times(g, transpose=True), g, value), None

    begin = (x, phase.momentum, g, phase.state.log_density)
    (x, p, g, value), _ = loop.scan(move, begin, num_steps=num_steps)
    return Phase(State(position=back(x), gradient=back(g), log_density=value), momentum=p)
