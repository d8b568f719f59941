"""Pathfinder: the best normal on the way to a mode, where L-BFGS has learned the curvature.

    x_0, x_1, …: the path of L-BFGS on −log p
    q_t = N(x_t + H_t ∇log p(x_t), H_t),   t* = argmax_t ELBO(q_t)

H_t comes from the last m steps of the path (``secant_normal``, which is the guide of the answer).
From several starts the draws of all paths are drawn again by their importance ratios.

Source: Zhang, Carpenter, Gelman & Vehtari (2022), *Pathfinder: parallel quasi-Newton variational
inference*, JMLR 23(306), algorithms 1 and 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference import vector
from mastery_jax.inference.vi import elbo, secant_normal, trust
from mastery_jax.inference.vi.secant_normal import Params

__all__ = ["Info", "fit", "sample_many"]


class Info(NamedTuple):
    """What was found along the path."""

    elbo: Float[Array, ""]  # of the best normal, nats
    place: Int[Array, ""]  # t*
    num_steps: Int[Array, ""]  # that moved
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


class _Search(NamedTuple):
    x: Float[Array, " d"]
    opt_state: Any


class _Path(NamedTuple):
    x: Float[Array, "steps d"]
    slope: Float[Array, "steps d"]  # ∇log p


@partial(jax.jit, static_argnames=("num_draws", "num_steps", "memory"))
@checked
def fit(
    key: Key[Array, ""],
    position: Any,
    *,
    log_density: Partial,
    num_draws: int = 16,
    num_steps: int = 60,
    memory: int = 6,
) -> tuple[Params, Info]:
    """Follow L-BFGS from a position, and return the best normal on the way.

    Costs num_steps gradients and line searches, and num_steps · num_draws densities.

    Args:
        key: Consumed.
        position: Where to start: any tree of floats of one dtype; rather in a tail than in a mode.
        log_density: ``position -> nats``, up to a constant.
        num_draws: Of each bound along the path, at least 2. Static.
        num_steps: Steps of the path, at least 2. Static.
        memory: m, at least 1. Static.

    Returns:
        The normal, and Info: CONVERGED where the path came to rest; OUT_OF_STEPS; STALLED where no
        step of it told a curvature, as from the mode itself: the normal then has deviations of 1;
        NOT_FINITE where no normal on the way had a finite bound.

    Raises:
        ValueError: a count that is too small, or a density that is not one number.

    Example:
        >>> bell = Partial(lambda x: -2 * ((x - 3) ** 2).sum())
        >>> params, info = fit(jax.random.key(0), jnp.zeros(2), log_density=bell)
        >>> abs(params.mean - 3).max() < 1e-3, info.elbo.round(2)  # log of 2π/4
        (Array(True, dtype=bool), Array(0.45, dtype=float32))
    """
    for name, value, least in (
        ("num_draws", num_draws, 2),
        ("num_steps", num_steps, 2),
        ("memory", memory, 1),
    ):
        if value < least:
            raise ValueError(f"pathfinder.fit: {name} is {value}, not at least {least}")
    start, back = vector.flat("pathfinder.fit", position)
    density = Partial(_of_vector, log_density, position)
    path = _follow(density, start, num_steps)
    normals = secant_normal.along(path.x, path.slope, memory=memory)

    def bound(given: tuple[Array, Params]) -> Array:
        options = {"log_density": density, "num_draws": num_draws}
        return elbo.gains(*given, guide=secant_normal, **options)[1].mean()

    bounds = jax.lax.map(bound, (jax.random.split(key, num_steps), normals))
    usable = jnp.where(jnp.isfinite(bounds), bounds, -jnp.inf)
    place = jnp.argmax(usable)
    best = jax.tree.map(lambda leaf: leaf[place], normals)
    has_moved = (path.x[1:] != path.x[:-1]).any(axis=1)
    status = jnp.where(has_moved[-1], Status.OUT_OF_STEPS, Status.CONVERGED)
    status = jnp.where(normals.steps[-1].any(), status, Status.STALLED)
    status = jnp.where(usable[place] > -jnp.inf, status, Status.NOT_FINITE).astype(jnp.int32)
    best = best._replace(mean=back(best.mean))
    moved = has_moved.sum(dtype=jnp.int32)
    return best, Info(bounds[place], place, moved, status, status == Status.CONVERGED)


@partial(jax.jit, static_argnames=("num_samples", "num_draws", "num_steps", "memory"))
@checked
def sample_many(
    key: Key[Array, ""],
    positions: Any,
    *,
    log_density: Partial,
    num_samples: int,
    num_draws: int = 16,
    num_steps: int = 60,
    memory: int = 6,
) -> tuple[Any, Float[Array, ""], Info]:
    """Draw from the normals of several paths, and again by importance. O(paths) times ``fit``.

    Args:
        key: Consumed.
        positions: Starts: a tree whose leaves have a leading axis of paths.
        log_density: As ``fit``.
        num_samples: Positions to return, and to draw from each path; at least 25. Static.
        num_draws: As ``fit``. Static.
        num_steps: As ``fit``. Static.
        memory: As ``fit``. Static.

    Returns:
        Positions with a leading axis; k̂ of their importance ratios, above 0.7 not to be trusted
        (a path without finite bound gives none); and the Info of each path.

    Raises:
        ValueError: as ``fit``, or fewer than 25 positions.
    """
    fit_key, draw_key, pick_key = jax.random.split(key, 3)
    num_paths = len(jax.tree.leaves(positions)[0])
    options = {"num_draws": num_draws, "num_steps": num_steps, "memory": memory}

    def one(given: tuple[Array, Any]) -> Any:
        return fit(given[0], given[1], log_density=log_density, **options)

    params, info = jax.lax.map(one, (jax.random.split(fit_key, num_paths), positions))

    def draw(given: tuple[Array, Params, Array]) -> tuple[Any, Array]:
        keys = jax.random.split(given[0], num_samples)
        draws, log_q = jax.vmap(lambda key: secant_normal.sample(key, given[1]))(keys)
        gain = jax.vmap(log_density)(draws) - log_q
        usable = ~jnp.isnan(gain) & (given[2] != Status.NOT_FINITE)
        return draws, jnp.where(usable, gain, -jnp.inf)

    draws, gains = jax.lax.map(draw, (jax.random.split(draw_key, num_paths), params, info.status))
    merged = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), draws)
    ratios = gains.reshape(-1)
    shape = trust.smooth(ratios)[1]
    return trust.resample(pick_key, merged, ratios, num_draws=num_samples), shape, info


def _follow(fn: Any, x: Array, num_steps: int) -> _Path:
    """Return the points of L-BFGS on −fn, and the slopes of fn there."""
    engine: Any = optax.lbfgs()

    def loss(x: Array) -> Array:
        return -fn(x)

    value_and_grad: Any = optax.value_and_grad_from_state(loss)

    def move(here: _Search) -> tuple[_Search, _Path]:
        value, grad = value_and_grad(here.x, state=here.opt_state)
        updates, opt_state = engine.update(
            grad, here.opt_state, here.x, value=value, grad=grad, value_fn=loss
        )
        is_good = jnp.isfinite(updates).all()
        there = _Search(here.x + updates, opt_state)
        return jax.tree.map(partial(jnp.where, is_good), there, here), _Path(here.x, -grad)

    with jax.numpy_dtype_promotion("standard"):  # the engine mixes integers and floats
        return loop.scan(move, _Search(x, engine.init(x)), num_steps=num_steps)[1]


def _of_vector(log_density: Partial, like: Any, u: Array) -> Array:
    where = "pathfinder.fit"
    return vector.value_at(where, log_density, vector.flat(where, like)[1](u))
