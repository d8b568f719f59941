"""Sample-adaptive MCMC: a set of points, from whose moments the next is drawn.

    y ~ q(· | S) = N(mean(S), cov(S))
    of S and y together the n-th leaves with chances λ_n ∝ q(x_n | S ∪ y without x_n) / p(x_n)

The N points that stay are again draws of p, each by itself: Π p(x_n) is left as it is. A point that
the others do not expect, or that is unlikely, leaves soon. There is no step size, no covariance to
learn and no gradient; every transition asks one density. The set is the state, so that the chain
goes on adapting and is a Markov chain all the same. With m and W the mean and the scatter of all
M = N + 1 points, δ = x_n − m and h = M / (M − 1) δᵀ W⁻¹ δ,

    log q(x_n | the rest) = −½ log(1 − h) − ½ (M − 2) M / (M − 1) h / (1 − h) + constant

Source: Zhu (2019), *Sample Adaptive MCMC*, NeurIPS 32, algorithm 1 (a Gaussian q); without a point:
Sherman & Morrison (1950), *Ann. Math. Stat.* 21, 124.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc.ensemble import State, rows_of

__all__ = ["Info", "State", "init", "step"]


class Info(NamedTuple):
    """What happened in one transition."""

    accept_prob: Float[Array, ""]  # that the new point would stay, in [0, 1]
    is_accepted: Bool[Array, ""]  # it did


@jax.jit
@checked
def init(position: Any, *, log_density: Partial) -> State:
    """Return a set of points. A density for each.

    Args:
        position: A pytree of floats of one dtype, whose leaves have a leading axis of points: at
            least d + 2, better several times that, spread about as wide as the target, and not all
            in one plane.
        log_density: ``position -> log density`` of one point, in nats, up to a constant; −inf
            outside the support. As ``Partial(fn, data)`` its data is traced, its code is static.

    Raises:
        ValueError: there are fewer than d + 2 points, or the density is no scalar.

    Example:
        >>> points = jax.random.normal(jax.random.key(0), (9, 2))
        >>> init(points, log_density=Partial(lambda x: -x @ x / 2)).log_density.shape
        (9,)
    """
    where = "sample_adaptive.init"
    rows, _ = rows_of(where, position)
    if len(rows) < rows.shape[1] + 2:
        raise ValueError(
            f"{where}: position has {len(rows)} points, not at least {rows.shape[1] + 2}, two more "
            "than their dimension"
        )
    values = jax.vmap(lambda x: vector.value_at(where, log_density, x))(position)
    return State(position, values)


@jax.jit
@checked
def step(key: Key[Array, ""], state: State, *, log_density: Partial) -> tuple[State, Info]:
    """Draw a point, and let one of all leave. One density, and O(N d² + d³).

    Args:
        key: Consumed; pass a fresh one to every step.
        state: The points.
        log_density: As in ``init``.

    Returns:
        The new state, in which at most one point is another, and what happened. A point where the
        density is NaN or +inf never stays. Where the points lie in one plane, all stay.

    Raises:
        ValueError: the density is no scalar.

    Example:
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jax.random.normal(jax.random.key(0), (9, 2)), log_density=f)
        >>> state, info = step(jax.random.key(1), start, log_density=f)
        >>> int((state.position != start.position).any(axis=1).sum()) == int(info.is_accepted)
        True
    """
    where = "sample_adaptive.step"
    draw_key, leave_key = jax.random.split(key)
    rows, back = rows_of(where, state.position)
    num, size = rows.shape
    if num != state.log_density.size:
        raise ValueError(f"{where}: position has {num} points, not {state.log_density.size}")
    mean = rows.mean(axis=0)
    with jax.default_matmul_precision("highest"):
        away = rows - mean[None]
        root = jnp.linalg.cholesky(away.T @ away / (num - 1))
        new = mean + root @ jax.random.normal(draw_key, (size,), rows.dtype)
    value = vector.value_at(where, log_density, back(new))
    is_place = (value < jnp.inf) & jnp.isfinite(new).all()
    points = jnp.concatenate([rows, jnp.where(is_place, new, mean)[None]])
    values = jnp.append(state.log_density, jnp.where(is_place, value, -jnp.inf))
    # A point where the density is nothing, or not a number, leaves before all others.
    most = jnp.finfo(rows.dtype).max / 4
    log_rates = jnp.where(values > -jnp.inf, _expected(points) - values, most)
    log_chances = jax.nn.log_softmax(jnp.minimum(log_rates, most))
    leaving = jnp.where(is_place, jax.random.categorical(leave_key, log_chances), num)
    is_new = leaving < num
    at = jnp.minimum(leaving, num - 1)
    rows = rows.at[at].set(jnp.where(is_new, new, rows[at]))
    kept = state.log_density.at[at].set(jnp.where(is_new, value, state.log_density[at]))
    prob = jnp.where(is_place, 1 - jnp.exp(log_chances[num]), 0)
    return State(jax.vmap(back)(rows), kept), Info(accept_prob=prob, is_accepted=is_new)


def _expected(points: Array) -> Array:
    """Return the log density of each point under the moments of all others. O(N d² + d³)."""
    num = len(points)
    ratio = num / (num - 1)
    with jax.default_matmul_precision("highest"):
        away = points - points.mean(axis=0, keepdims=True)
        root = jnp.linalg.cholesky(away.T @ away)
        white = jax.scipy.linalg.solve_triangular(root, away.T, lower=True)
    h = ratio * jnp.square(white).sum(axis=0)
    # At 1 all others lie in one plane, and this one does not.
    left = jnp.where(h < 1, 1 - h, jnp.nan)
    log_prob = -(jnp.log(left) + (num - 2) * ratio * h / left) / 2
    return jnp.where(h < 1, log_prob, -jnp.inf)
