"""Barker's proposal: the gradient as the skew of a walk, robust where scales differ.

In u = L⁻¹ x, with c = Lᵀ∇f(x), each coordinate steps by ±z, towards the slope more often:

    z ~ N(0, ε² I),     w_i = z_i with probability 1 / (1 + exp(−z_i c_i)), else −z_i
    x' = x + L w,
    log q(x | x') − log q(x' | x) = Σ_i log(1 + exp(−w_i c_i)) − log(1 + exp(w_i c'_i))

A slope, however steep, lengthens no step: where Langevin's walk overshoots and stands still, this
one walks back.

Source: Livingstone & Zanella (2022), *J. R. Stat. Soc. B* 84, 496, algorithms 1 and 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target
from mastery_jax.inference.mcmc.target import Factor, State

__all__ = ["Info", "State", "init", "step"]


class Info(NamedTuple):
    """What happened in one transition."""

    accept_prob: Float[Array, ""]  # in [0, 1]
    is_accepted: Bool[Array, ""]
    is_divergent: Bool[Array, ""]  # α is below exp(−1000), or is not a number


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
        >>> init(jnp.ones(2), log_density=Partial(lambda x: -x @ x / 2)).gradient
        Array([-1., -1.], dtype=float32)
    """
    return target.stand("barker.init", log_density, position)


@jax.jit
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    log_density: Partial,
    step_size: Scalar,
    factor: Factor = 1.0,
) -> tuple[State, Info]:
    """Make one transition. One gradient, and O(d), or O(d²) where the factor is a matrix.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        step_size: ε, > 0. Traced.
        factor: L, in units of the position. Traced.

    Returns:
        The new state, and what happened. A point where the density or its gradient is not finite
        is never walked to.

    Raises:
        ValueError: the factor does not fit the position, or the density is no scalar.

    Example:
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jnp.full(1, 1e2), log_density=f)
        >>> state, info = step(jax.random.key(0), start, log_density=f, step_size=1.0)
        >>> bool(info.is_accepted), bool(state.position[0] < 1e2)
        (True, True)
    """
    where = "barker.step"
    size_key, sign_key, accept_key = jax.random.split(key, 3)
    times = partial(target.times, where, factor)
    x, back = vector.flat(where, state.position)
    slope = times(target.against(where, state.gradient, state.position), transpose=True)
    z = step_size * jax.random.normal(size_key, x.shape, x.dtype)
    chance = jax.random.uniform(sign_key, x.shape, x.dtype)
    w = jnp.where(chance < jax.nn.sigmoid(z * slope), z, -z)
    moved = target.stand(where, log_density, back(x + times(w)))
    there = times(target.against(where, moved.gradient, moved.position), transpose=True)
    there = jnp.where(jnp.isfinite(there), there, jnp.nan)  # ∞ downhill would count as flat
    skew = (jax.nn.softplus(-w * slope) - jax.nn.softplus(w * there)).sum()
    log_ratio = moved.log_density - state.log_density + skew
    prob, is_accepted = target.decide(accept_key, log_ratio, moved.log_density)
    return target.choose(is_accepted, moved, state), Info(
        accept_prob=prob, is_accepted=is_accepted, is_divergent=~(log_ratio >= -1000)
    )
