"""The Metropolis-adjusted Langevin algorithm: a walk that leans along the gradient.

    x' = x + ½ ε² Σ ∇f(x) + ε L z,      z ~ N(0, I),   Σ = L Lᵀ
    log q(x' | x) = −½ |z|²,            log q(x | x') = −½ |z + ½ ε Lᵀ(∇f(x) + ∇f(x'))|²

It is Hamiltonian Monte Carlo of one leapfrog step of size ε.

Source: Roberts & Tweedie (1996), *Bernoulli* 2, 341, section 1.4; ε for an acceptance of 0.574:
Roberts & Rosenthal (1998), *J. R. Stat. Soc. B* 60, 255.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
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
        >>> import jax.numpy as jnp
        >>> init(jnp.ones(2), log_density=Partial(lambda x: -x @ x / 2)).gradient
        Array([-1., -1.], dtype=float32)
    """
    return target.stand("mala.init", log_density, position)


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
        >>> import jax.numpy as jnp
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jnp.zeros(2), log_density=f)
        >>> _, info = step(jax.random.key(0), start, log_density=f, step_size=0.01)
        >>> bool(info.is_accepted), bool(info.accept_prob > 0.999)
        (True, True)
    """
    where = "mala.step"
    walk_key, accept_key = jax.random.split(key)
    times = partial(target.times, where, factor)
    x, back = vector.flat(where, state.position)
    lean = (
        step_size / 2 * times(target.against(where, state.gradient, state.position), transpose=True)
    )
    z = jax.random.normal(walk_key, x.shape, x.dtype)
    moved = target.stand(where, log_density, back(x + step_size * times(lean + z)))
    slope = target.against(where, moved.gradient, moved.position)
    returning = z + lean + step_size / 2 * times(slope, transpose=True)
    log_ratio = moved.log_density - state.log_density + (z @ z - returning @ returning) / 2
    prob, is_accepted = target.decide(accept_key, log_ratio, moved.log_density)
    return target.choose(is_accepted, moved, state), Info(
        accept_prob=prob, is_accepted=is_accepted, is_divergent=~(log_ratio >= -1000)
    )
