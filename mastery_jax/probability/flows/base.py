"""Where a flow begins: densities of independent coordinates, known by the type of their parameters.

    normal      exp(−r²/2) / (σ √2π),                                r = (z − μ)/σ
    student_t   Γ((ν+1)/2) / (Γ(ν/2) σ √(πν)) (1 + r²/ν)^(−(ν+1)/2)
    uniform     1/(b − a) in [a, b], 0 elsewhere

A flow of bounded stretch keeps its base's tails: ``student_t`` for data with heavy ones, and ν is
trained with the rest. A box is not trained: likelihood would shrink it onto the data.

Source: Johnson, Kotz & Balakrishnan (1994, 1995), *Continuous Univariate Distributions*; Jaini,
Kobyzev, Yu & Brubaker (2020), *Tails of Lipschitz Triangular Flows*, theorem 4.
"""

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability import stirling
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Normal", "StudentT", "Uniform", "init", "log_prob", "sample"]


class Normal(NamedTuple):
    """A normal distribution with a diagonal covariance."""

    loc: Float[Array, " d"]  # μ, unit of z
    log_scale: Float[Array, " d"]  # log σ


class StudentT(NamedTuple):
    """A Student t distribution for each coordinate."""

    loc: Float[Array, " d"]  # μ, unit of z
    log_scale: Float[Array, " d"]  # log σ
    log_df: Float[Array, " d"]  # log ν


class Uniform(NamedTuple):
    """A box."""

    lower: Frozen  # a, (d,), unit of z
    upper: Frozen  # b > a


@partial(jax.jit, static_argnames=("family", "dim"))
@checked
def init(
    *,
    family: Literal["normal", "student_t", "uniform"],
    dim: int,
    scale: Scalar = 1.0,
    df: Scalar = 5.0,
) -> Normal | StudentT | Uniform:
    """Return a base around 0. O(d).

    Args:
        family: One of the three. Static.
        dim: Number of coordinates of a point, d. Static.
        scale: σ, or half of the width of the box; > 0. Its dtype is that of the base.
        df: ν of ``student_t``, > 0; without effect on the others.

    Raises:
        ValueError: ``family`` is none of them.

    Example:
        >>> base = init(family="uniform", dim=2)
        >>> log_prob(base, jnp.array([0.5, 0.9])).round(4), log_prob(base, jnp.array([0.5, 1.1]))
        (Array(-1.3863, dtype=float32), Array(-inf, dtype=float32))
    """
    like = jnp.zeros(dim, jnp.result_type(scale))
    log_scale = like + jnp.log(scale)
    if family == "normal":
        return Normal(like, log_scale)
    if family == "student_t":
        return StudentT(like, log_scale, like + jnp.log(jnp.asarray(df, like.dtype)))
    if family == "uniform":
        return Uniform(Frozen(like - scale), Frozen(like + scale))
    raise ValueError(f"base.init: family is {family!r}, not 'normal', 'student_t' or 'uniform'")


@jax.jit
@checked
def log_prob(params: Any, z: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the log density in nats; −inf outside a box. O(d).

    Args:
        params: A ``Normal``, ``StudentT`` or ``Uniform``.
        z: One point; ``vmap`` takes many.

    Raises:
        ValueError: ``params`` is none of the three, or of another number of coordinates.
    """
    _insist("log_prob", params, z.size)
    if isinstance(params, Uniform):
        lower, upper = params.lower.value, params.upper.value
        is_inside = ((z >= lower) & (z <= upper)).all()
        return jnp.where(is_inside, -jnp.log(upper - lower).sum(), -jnp.inf)
    r = (z - params.loc) * jnp.exp(-params.log_scale)
    if isinstance(params, Normal):
        fall = r**2 / 2
    else:
        # Of many degrees of freedom, a difference of two log Γ would keep no digit.
        df = jnp.exp(params.log_df)
        fall = (df + 1) / 2 * stirling.log_sum_of_squares(r * jnp.exp(-params.log_df / 2))
        fall -= stirling.log_gamma_ratio(df / 2)
    return -(fall + math.log(2 * math.pi) / 2 + params.log_scale).sum()


@partial(jax.jit, static_argnames=("shape",))
@checked
def sample(
    key: Key[Array, ""], params: Any, *, shape: tuple[int, ...] = ()
) -> Float[Array, "*shape d"]:
    """Draw points from the density of :func:`log_prob`. O(d) each.

    Args:
        key: Consumed.
        params: As in :func:`log_prob`; they give the dtype.
        shape: How many points, in which shape. Static.

    Raises:
        ValueError: ``params`` is none of the three.
    """
    leaves = jax.tree.leaves(params)
    _insist("sample", params, jnp.size(leaves[0]) if leaves else 0)
    if isinstance(params, Uniform):
        lower, upper = params.lower.value, params.upper.value
        share = jax.random.uniform(key, (*shape, *lower.shape), lower.dtype)
        return _spread(lower, shape) + share * _spread(upper - lower, shape)
    size, dtype = (*shape, *params.loc.shape), params.loc.dtype
    if isinstance(params, Normal):
        r = jax.random.normal(key, size, dtype)
    else:
        r = jax.random.t(key, _spread(jnp.exp(params.log_df), shape), size, dtype)
    return _spread(params.loc, shape) + r * _spread(jnp.exp(params.log_scale), shape)


def _spread(row: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.broadcast_to(row, (*shape, *row.shape))


def _insist(verb: str, params: Any, dim: int) -> None:
    if not isinstance(params, Normal | StudentT | Uniform):
        name = type(params).__name__
        raise ValueError(f"base.{verb}: params is a {name}, not a Normal, StudentT or Uniform")
    shapes = {jnp.shape(leaf) for leaf in jax.tree.leaves(params)}
    if shapes != {(dim,)}:
        raise ValueError(f"base.{verb}: params have shapes {sorted(shapes)}, not {(dim,)} alone")
