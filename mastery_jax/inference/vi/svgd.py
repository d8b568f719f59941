"""Stein variational gradient descent: particles that climb the density, and repel one another.

    x_i ← x_i + rule(1/n Σ_j [k(x_j, x_i) ∇log p(x_j) + ∇_{x_j} k(x_j, x_i)])
    k(x, z) = exp(−|x − z|² / h),   h = median |x_i − x_j|² / log n

One particle alone climbs to the mode. In many dimensions the particles come out too close together:
the kernel sees all pairs as equally far.

Source: Liu & Wang (2016), *Stein variational gradient descent*, NeurIPS, algorithm 1; the collapse:
Ba et al. (2022), *Understanding the variance collapse of SVGD*, ICLR.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference import vector

__all__ = ["Info", "State", "fit", "init", "step"]


class State(NamedTuple):
    """Where the particles are."""

    positions: Any  # a tree whose leaves have a leading axis of particles
    opt_state: Any


class Info(NamedTuple):
    """What one step did; in ``fit``, of each, but for the status."""

    discrepancy: Float[Array, "*steps"]  # root mean square of the direction, per unit of x
    bandwidth: Float[Array, "*steps"]  # h, squared unit of x
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@jax.jit
@checked
def init(positions: Any, *, rule: Partial) -> State:
    """Return the start. O(n d).

    Args:
        positions: A tree whose leaves have a leading axis of particles, at least 1.
        rule: Called without arguments it returns an optax ``GradientTransformation``.
    """
    return State(positions, rule().init(positions))


@jax.jit
@checked
def step(state: State, *, log_density: Partial, rule: Partial) -> tuple[State, Info]:
    """Move every particle once. O(n² d), and n gradients.

    Args:
        state: Where the particles are.
        log_density: Of one position, ``position -> nats``, up to a constant.
        rule: As in ``init``.

    Returns:
        The new state, and Info: RUNNING; NOT_FINITE, and every particle left where it was, where
        the gradient of one is not finite, its density is NaN, or that of none is finite.

    Raises:
        ValueError: the density is not one number, there is no particle, or positions are not floats
            of one dtype.
    """
    if not all(map(len, jax.tree.leaves(state.positions))):
        raise ValueError("svgd.step: positions have no particles, not at least one")
    one = jax.tree.map(lambda leaf: leaf[0], state.positions)
    _, back = vector.flat("svgd.step", one)
    X = jax.vmap(lambda position: vector.flat("svgd.step", position)[0])(state.positions)
    look = jax.value_and_grad(lambda u: vector.value_at("svgd.step", log_density, back(u)))
    values, slopes = jax.vmap(look)(X)
    direction, bandwidth = _direction(X, slopes)
    has_values = jnp.isfinite(values).any() & ~jnp.isnan(values).any()
    is_lost = ~(has_values & jnp.isfinite(direction).all())
    downhill = jax.vmap(back)(-direction)
    updates, opt_state = rule().update(downhill, state.opt_state, state.positions)
    moved = State(optax.apply_updates(state.positions, updates), opt_state)
    status = jnp.where(is_lost, Status.NOT_FINITE, Status.RUNNING).astype(jnp.int32)
    size = jnp.sqrt(jnp.mean(direction**2))
    info = Info(size, bandwidth, status, status == Status.CONVERGED)
    return jax.tree.map(partial(jnp.where, is_lost), state, moved), info


@partial(jax.jit, static_argnames=("num_steps",))
@checked
def fit(
    positions: Any, *, log_density: Partial, rule: Partial, num_steps: int = 500
) -> tuple[Any, Info]:
    """Move the particles ``num_steps`` times. O(num_steps n² d).

    Args:
        positions: Where to start: not all in one place.
        log_density: As ``step``.
        rule: As ``init``.
        num_steps: At least 1. Static.

    Returns:
        The positions, and Info: CONVERGED where the directions of the last steps are below a
        hundredth of the longest that were seen; OUT_OF_STEPS; NOT_FINITE as ``step``.

    Raises:
        ValueError: ``num_steps`` < 1, and as ``step``.
    """
    if num_steps < 1:
        raise ValueError(f"svgd.fit: num_steps is {num_steps}, not at least 1")
    state = init(positions, rule=rule)
    state, info = loop.scan(
        partial(step, log_density=log_density, rule=rule), state, num_steps=num_steps
    )
    is_small = info.discrepancy[-1] <= 0.01 * info.discrepancy.max()
    status = jnp.where(is_small, Status.CONVERGED, Status.OUT_OF_STEPS)
    is_lost = (info.status == Status.NOT_FINITE).any()
    status = jnp.where(is_lost, Status.NOT_FINITE, status).astype(jnp.int32)
    return state.positions, Info(
        info.discrepancy, info.bandwidth, status, status == Status.CONVERGED
    )


def _direction(X: Array, slopes: Array) -> tuple[Array, Array]:
    """Return where each particle is pushed, and the bandwidth."""
    n = len(X)
    away = X[:, None, :] - X[None, :, :]
    squares = (away**2).sum(axis=-1)
    bandwidth = jnp.median(squares) / jnp.log(jnp.asarray(max(n, 2), X.dtype))
    bandwidth = jax.lax.stop_gradient(jnp.where(bandwidth > 0, bandwidth, 1))
    kernel = jnp.exp(-squares / bandwidth)
    with jax.default_matmul_precision("highest"):
        pull = kernel @ slopes
    push = (2 / bandwidth) * (kernel[:, :, None] * away).sum(axis=1)
    return (pull + push) / n, bandwidth
