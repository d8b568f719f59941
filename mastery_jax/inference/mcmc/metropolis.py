"""Random-walk Metropolis: a step in any direction, taken or not.

    x' = x + ε L z,  z ~ N(0, I),        taken with probability min(1, p(x') / p(x))

For a normal target in many dimensions ε = 2.4 / √d with L Lᵀ its covariance is best, and about a
quarter of the steps is taken.

Source: Metropolis et al. (1953), *J. Chem. Phys.* 21, 1087; the best ε: Gelman, Roberts & Gilks
(1996), *Bayesian Statistics* 5, 599.
"""

from typing import Any, NamedTuple

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target
from mastery_jax.inference.mcmc.target import Factor

__all__ = ["Info", "State", "init", "step"]


class State(NamedTuple):
    """Where one chain stands."""

    position: Any  # a pytree of floats of one dtype
    log_density: Float[Array, ""]  # nats, up to a constant


class Info(NamedTuple):
    """What happened in one transition."""

    accept_prob: Float[Array, ""]  # in [0, 1]
    is_accepted: Bool[Array, ""]


@jax.jit
@checked
def init(position: Any, *, log_density: Partial) -> State:
    """Return a chain that stands at ``position``. One density.

    Args:
        position: A pytree of floats of one dtype.
        log_density: ``position -> log density`` in nats, up to a constant; −inf outside the
            support. As ``Partial(fn, data)`` its data is traced, its code is static.

    Raises:
        ValueError: the position is not of floats of one dtype, or the density no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> init(jnp.ones(2), log_density=Partial(lambda x: -x @ x / 2)).log_density
        Array(-1., dtype=float32)
    """
    vector.flat("metropolis.init", position)
    return State(position, vector.value_at("metropolis.init", log_density, position))


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
    """Make one transition. One density, and O(d), or O(d²) where the factor is a matrix.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        step_size: ε, > 0. Traced.
        factor: L, in units of the position. Traced.

    Returns:
        The new state, and what happened. A density that is NaN or +inf is never walked to.

    Raises:
        ValueError: the factor does not fit the position, or the density is no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jnp.zeros(2), log_density=f)
        >>> state, info = step(jax.random.key(0), start, log_density=f, step_size=1e-3)
        >>> bool(info.is_accepted), bool(info.accept_prob > 0.99)
        (True, True)
    """
    where = "metropolis.step"
    walk_key, accept_key = jax.random.split(key)
    x, back = vector.flat(where, state.position)
    jump = target.times(where, factor, jax.random.normal(walk_key, x.shape, x.dtype))
    position = back(x + step_size * jump)
    value = vector.value_at(where, log_density, position)
    prob, is_accepted = target.decide(accept_key, value - state.log_density, value)
    moved = target.choose(is_accepted, State(position, value), state)
    return moved, Info(accept_prob=prob, is_accepted=is_accepted)
