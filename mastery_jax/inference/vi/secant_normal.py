"""A normal whose covariance was learned from steps and changes of slope, as L-BFGS learns it.

    x = m + R ε,   ε ~ N(0, I),   R = (I − s_m w_mᵀ) … (I − s_1 w_1ᵀ) diag(α)^½

R Rᵀ is the inverse Hessian of BFGS after m pairs s = x' − x, y = ∇f(x') − ∇f(x):

    H ← (I − s wᵀ) H (I − w sᵀ),   w = y / a − H⁻¹ s / √(a b),   a = sᵀy,   b = sᵀ H⁻¹ s

The product is its own square root, and 1 − wᵀs = √(b / a), so that a draw, its density and the
determinant cost O(m d).

Source: Brodlie, Gourlay & Greenstadt (1973), *IMA J. Appl. Math.* 11(1), 73 (the product); Zhang,
Carpenter, Gelman & Vehtari (2022), *Pathfinder*, JMLR 23(306), algorithm 3 (the diagonal).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference import vector

__all__ = ["Params", "along", "log_prob", "root", "sample"]


class Params(NamedTuple):
    """A normal, as the guide that this module is."""

    mean: Any  # a position
    log_scale: Float[Array, " d"]  # log √α
    steps: Float[Array, "m d"]  # s, oldest first; 0 where there is none
    turns: Float[Array, "m d"]  # w


@jax.jit
@checked
def sample(key: Key[Array, ""], params: Params) -> tuple[Any, Float[Array, ""]]:
    """Draw a position, and return the log density there, in nats. O(m d).

    Args:
        key: Consumed.
        params: The normal.
    """
    noise = jax.random.normal(key, params.log_scale.shape, params.log_scale.dtype)
    mean, back = vector.flat("secant_normal.sample", params.mean)
    return back(mean + root(params, noise)), _log_prob(params, noise)


@jax.jit
@checked
def log_prob(params: Params, position: Any) -> Float[Array, ""]:
    """Return the log density of a position, in nats. O(m d).

    Args:
        params: The normal.
        position: A tree like its mean.
    """
    mean, _ = vector.flat("secant_normal.log_prob", params.mean)
    away = vector.flat("secant_normal.log_prob", position)[0] - mean
    return _log_prob(params, _solve(params, away))


class _Pairs(NamedTuple):
    """What has been learned so far."""

    log_alpha: Float[Array, " d"]
    S: Float[Array, "m d"]
    Y: Float[Array, "m d"]


def along(points: Array, slopes: Array, *, memory: int) -> Params:
    """Return the normal at every point of a path, centered a Newton step from it. O(steps m² d).

    Args:
        points: Of the path of a search for the maximum of a log density, one a row.
        slopes: Its gradient there, nats per unit.
        memory: m: pairs that count at a point, its last. Static.

    Returns:
        Normals with a leading axis; their means are vectors.
    """
    s, y = jnp.diff(points, axis=0), -jnp.diff(slopes, axis=0)
    a, lengths = (s * y).sum(axis=1), [jnp.sqrt((each * each).sum(axis=1)) for each in (s, y)]
    # By their angle, which has no unit: s and y of a convex function point the same way.
    is_kept = (a > jnp.finfo(s.dtype).eps * lengths[0] * lengths[1]) & jnp.isfinite(y).all(axis=1)
    s, y = (jnp.where(is_kept[:, None], each, 0) for each in (s, y))

    def learn(known: _Pairs, now: tuple[Array, ...]) -> tuple[_Pairs, Params]:
        x, slope, s, y, is_kept = now
        learned = _Pairs(
            _diagonal(known.log_alpha, s, y),
            jnp.concatenate([known.S[1:], s[None, :]]),
            jnp.concatenate([known.Y[1:], y[None, :]]),
        )
        known = jax.tree.map(lambda new, old: jnp.where(is_kept, new, old), learned, known)
        params = _turned(known.log_alpha / 2, known.S, known.Y)
        center = x + root(params, _root_transposed(params, slope))
        return known, params._replace(mean=center)

    def first(rows: Array) -> Array:
        return jnp.concatenate([jnp.zeros_like(rows[:1]), rows])

    none = jnp.zeros((memory, points.shape[1]), s.dtype)
    nothing = _Pairs(jnp.zeros_like(points[0]), none, none)
    return loop.scan(learn, nothing, (points, slopes, first(s), first(y), first(is_kept)))[1]


def _diagonal(log_alpha: Array, s: Array, y: Array) -> Array:
    """Return the logarithm of the diagonal, which a pair has changed."""
    alpha = jnp.exp(log_alpha)
    a, b, c = (y * alpha * y).sum(), (y * s).sum(), (s / alpha * s).sum()
    b, c = (jnp.where(each > 0, each, 1) for each in (b, c))
    inverse = a / (b * alpha) + y * y / b - a * s * s / (b * c * alpha * alpha)
    return -jnp.log(jnp.maximum(inverse, jnp.finfo(s.dtype).tiny))


def _turned(log_scale: Array, S: Array, Y: Array) -> Params:
    """Return the factors of H for pairs, oldest first."""

    def turn(turns: Array, i: Array) -> tuple[Array, None]:
        params, s, y = Params(log_scale, log_scale, S, turns), S[i], Y[i]
        curved = _solve_transposed(params, _solve(params, s))
        a, b = (s * y).sum(), (s * curved).sum()
        is_pair = (a > 0) & (b > 0)
        a, b = jnp.where(is_pair, a, 1), jnp.where(is_pair, b, 1)
        w = jnp.where(is_pair, y / a - curved / jnp.sqrt(a * b), 0)
        return turns.at[i].set(w), None

    turns, _ = loop.scan(turn, jnp.zeros_like(S), jnp.arange(len(S)))
    return Params(log_scale, log_scale, S, turns)


def root(params: Params, z: Array) -> Array:
    """Return R z, where R Rᵀ is the covariance. O(m d)."""
    x = jnp.exp(params.log_scale) * z
    for s, w in zip(params.steps, params.turns, strict=True):
        x = x - s * (w * x).sum()
    return x


def _root_transposed(params: Params, x: Array) -> Array:
    for s, w in zip(params.steps[::-1], params.turns[::-1], strict=True):
        x = x - w * (s * x).sum()
    return jnp.exp(params.log_scale) * x


def _solve(params: Params, x: Array) -> Array:
    """Return R⁻¹ x."""
    for s, w in zip(params.steps[::-1], params.turns[::-1], strict=True):
        x = x + s * ((w * x).sum() / (1 - (w * s).sum()))
    return jnp.exp(-params.log_scale) * x


def _solve_transposed(params: Params, z: Array) -> Array:
    z = jnp.exp(-params.log_scale) * z
    for s, w in zip(params.steps, params.turns, strict=True):
        z = z + w * ((s * z).sum() / (1 - (w * s).sum()))
    return z


def _log_prob(params: Params, noise: Array) -> Array:
    stretch = params.log_scale.sum()
    stretch += jnp.log1p(-(params.turns * params.steps).sum(axis=1)).sum()
    return -(noise * noise).sum() / 2 - stretch - noise.size / 2 * math.log(2 * math.pi)
