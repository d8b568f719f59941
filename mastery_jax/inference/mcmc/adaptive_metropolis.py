"""Metropolis with a covariance learned from its own chain, and then frozen.

    x' = x + √λ L z,    L Lᵀ = C
    m ← m + g (x − m),  C ← (1 − g) (C + g (x − m)(x − m)ᵀ),    g = 2 / (t + 4d)
    log √λ ← log √λ + t^−0.6 (α − 0.234)

C is what the target looks like so far. With g = 1/t it would be the plain covariance of all t
positions; twice that gain forgets the factor of the start, and the way from there, as 1/t². λ
starts at 2.4² / d, which is best for a normal target, and is steered to where about a quarter of
the steps is taken. After the warm-up both stand still, so that what is then drawn is a Markov chain
and leaves its target as it is.

Source: Haario, Saksman & Tamminen (2001), *Bernoulli* 7, 223, equation 3; λ and other gains:
Andrieu & Thoms (2008), *Stat. Comput.* 18, 343, algorithm 4.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core.check import checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import metropolis, target
from mastery_jax.inference.mcmc.target import Factor

__all__ = ["Info", "State", "init", "step"]

_FORGET, _WANTED = 0.6, 0.234


class State(NamedTuple):
    """Where one chain stands, and what it has learned."""

    position: Any  # a pytree of floats of one dtype
    log_density: Float[Array, ""]  # nats, up to a constant
    num_steps: Int[Array, ""]  # transitions made
    log_scale: Float[Array, ""]  # log √λ
    factor: Float[Array, "d d"]  # L, in units of the position
    mean: Float[Array, " d"]  # m, of the positions so far
    cov: Float[Array, "d d"]  # C


class Info(NamedTuple):
    """What happened in one transition."""

    accept_prob: Float[Array, ""]  # in [0, 1]
    is_accepted: Bool[Array, ""]
    step_size: Float[Array, ""]  # √λ with which it was made


@jax.jit
@checked
def init(position: Any, *, log_density: Partial, factor: Factor = 1.0) -> State:
    """Return a chain that stands at ``position``. One density, and O(d²).

    Args:
        position: A pytree of floats of one dtype.
        log_density: ``position -> log density`` in nats, up to a constant; −inf outside the
            support. As ``Partial(fn, data)`` its data is traced, its code is static.
        factor: L of the first steps, in units of the position; of full rank. Traced.

    Raises:
        ValueError: the position is not of floats of one dtype, the factor does not fit it, or the
            density is no scalar.

    Example:
        >>> init(jnp.ones(2), log_density=Partial(lambda x: -x @ x / 2)).log_density
        Array(-1., dtype=float32)
    """
    where = "adaptive_metropolis.init"
    x, _ = vector.flat(where, position)
    unit = jnp.eye(x.size, dtype=x.dtype)
    whole = jax.vmap(partial(target.times, where, factor), 1, 1)(unit)
    with jax.default_matmul_precision("highest"):
        cov = whole @ whole.T
    return State(
        position=position,
        log_density=vector.value_at(where, log_density, position),
        num_steps=jnp.int32(0),
        log_scale=jnp.asarray(jnp.log(2.4) - jnp.log(x.size) / 2, x.dtype),
        factor=whole,
        mean=x,
        cov=cov,
    )


@partial(jax.jit, static_argnames=("num_warmup",))
@checked
def step(
    key: Key[Array, ""], state: State, *, log_density: Partial, num_warmup: int
) -> tuple[State, Info]:
    """Make one transition; the first ``num_warmup`` also learn, in O(d³). One density, and O(d²).

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        num_warmup: Transitions that learn; 0 never does. Static.

    Returns:
        The new state, and what happened. A density that is NaN or +inf is never walked to.

    Raises:
        ValueError: num_warmup is below 0, or the density is no scalar.

    Example:
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jnp.zeros(2), log_density=f)
        >>> state, _ = step(jax.random.key(0), start, log_density=f, num_warmup=9)
        >>> int(state.num_steps), bool(state.log_scale != start.log_scale)
        (1, True)
    """
    if num_warmup < 0:
        raise ValueError(f"adaptive_metropolis.step: num_warmup is {num_warmup}, not at least 0")
    x, _ = vector.flat("adaptive_metropolis.step", state.position)
    if x.shape != state.mean.shape:
        raise ValueError(
            f"adaptive_metropolis.step: position has {x.size} numbers, not {state.mean.size}"
        )
    vector.refuse("adaptive_metropolis.step", log_density, state.position)
    step_size = jnp.exp(state.log_scale)
    moved, info = metropolis.step(
        key,
        metropolis.State(state.position, state.log_density),
        log_density=log_density,
        step_size=step_size,
        factor=state.factor,
    )
    after = state._replace(
        position=moved.position, log_density=moved.log_density, num_steps=state.num_steps + 1
    )
    if num_warmup > 0:
        learn = partial(_learn, accept_prob=info.accept_prob)
        is_warm = state.num_steps < num_warmup
        after = jax.lax.cond(is_warm, learn, lambda state: state, after)
    return after, Info(info.accept_prob, info.is_accepted, step_size)


def _learn(state: State, *, accept_prob: Array) -> State:
    x, _ = vector.flat("adaptive_metropolis.step", state.position)
    t = state.num_steps.astype(x.dtype)
    gain = 2 / (t + 4 * x.size)
    away = x - state.mean
    cov = (1 - gain) * (state.cov + gain * away[:, None] * away[None])
    factor = jnp.linalg.cholesky(cov)
    # Where rounding has left no root of C, the last one serves.
    is_known = jnp.isfinite(factor).all()
    return state._replace(
        log_scale=state.log_scale + t**-_FORGET * (accept_prob - _WANTED),
        factor=jnp.where(is_known, factor, state.factor),
        mean=state.mean + gain * away,
        cov=jnp.where(is_known, cov, state.cov),
    )
