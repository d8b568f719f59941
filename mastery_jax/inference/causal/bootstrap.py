"""The bootstrap by weights: any statistic of the rows' weights, computed again under random ones.

    multinomial   counts of n draws with replacement           Efron's
    poisson       independent counts of mean 1                 rows can be dealt over machines
    bayesian      independent exponentials                     no row is ever left out

    se = standard deviation of the replicates          interval = their quantiles

Nothing is copied: a row drawn twice has weight 2. So all replicates have one shape, one program
runs them, and what is fitted on the way (propensities, outcomes) is fitted again in each. Not for
``matching``, for which it is not valid.

Source: Efron (1979), *Ann. Stat.* 7(1); Rubin (1981), *Ann. Stat.* 9(1) (bayesian); Efron &
Tibshirani (1993), *An Introduction to the Bootstrap*, section 13.3 (percentiles).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect
from mastery_jax.inference.causal.effect import Effect

__all__ = ["Info", "Kind", "draw", "estimate"]

Kind = Literal["multinomial", "poisson", "bayesian"]


class Info(NamedTuple):
    """The replicates."""

    status: Int[Array, ""]  # NOT_FINITE where the statistic, or every replicate, is not finite
    num_failed: Int[Array, ""]  # replicates that are not finite: they are left out
    replicates: Float[Array, "replicates *shape"]


@partials.takes("statistic")
@partial(jax.jit, static_argnames=("num_replicates", "kind", "lanes"))
@checked
def estimate(
    key: Key[Array, ""],
    weights: Float[Array, " n"],
    *,
    statistic: Partial,
    num_replicates: int = 1000,
    kind: Kind = "multinomial",
    level: Scalar = 0.95,
    lanes: int = 16,
) -> tuple[Effect, Info]:
    """Repeat a statistic under random weights. The cost is that of the statistic, each time.

    Args:
        key: Consumed.
        weights: Of the rows, ≥ 0; a replicate multiplies them.
        statistic: ``Partial(f, *data)``; ``f(*data, weights=weights)`` is an array of any shape:
            an effect, or one for each of many units.
        num_replicates: At least 2. Static.
        kind: How weights are drawn. Static.
        level: Of the interval.
        lanes: Replicates that run side by side, by ``vmap``; a few on a CPU, all on an accelerator.
            Static.

    Returns:
        The statistic at ``weights``, the standard error and the percentile interval of each of
        its entries, and Info. Replicates in which an entry is not finite, as where no row of an arm
        was drawn, are counted and left out of it.

    Raises:
        ValueError: fewer than 2 replicates, ``kind`` is none of those, or ``statistic`` is not a
            Partial.

    Example:
        >>> y = jnp.arange(100.0)
        >>> mean = Partial(lambda y, weights: (weights * y).sum() / weights.sum(), y)
        >>> found, _ = estimate(jax.random.key(0), jnp.ones(100), statistic=mean)
        >>> float(found.estimate), round(float(found.std_error), 1)
        (49.5, 2.8)
    """
    effect.insist("bootstrap.estimate", "kind", kind, Kind)
    if num_replicates < 2:
        raise ValueError(f"bootstrap.estimate: num_replicates is {num_replicates}, not at least 2")

    def one(key: Array) -> Array:
        return jnp.asarray(statistic(weights=weights * draw(key, weights, kind=kind)))

    keys = jax.random.split(key, num_replicates)
    replicates = jax.lax.map(one, keys, batch_size=min(lanes, num_replicates))
    value = jnp.asarray(statistic(weights=weights))
    is_finite = jnp.isfinite(replicates)
    kept = jnp.where(is_finite, replicates, jnp.nan)
    tails = (
        jnp.stack([1 - jnp.asarray(level, value.dtype), 1 + jnp.asarray(level, value.dtype)]) / 2
    )
    lower, upper = jnp.nanquantile(kept, tails, axis=0)
    found = Effect(value, jnp.nanstd(kept, axis=0, ddof=1), lower, upper)
    found = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(value), leaf, jnp.nan), found)
    is_failed = ~is_finite.reshape(num_replicates, -1).all(axis=1)
    is_lost = ~jnp.isfinite(value).all() | is_failed.all()
    status = jnp.where(is_lost, Status.NOT_FINITE, Status.CONVERGED).astype(jnp.int32)
    return found, Info(status, is_failed.sum().astype(jnp.int32), replicates)


@partial(jax.jit, static_argnames=("kind",))
@checked
def draw(
    key: Key[Array, ""], weights: Float[Array, " n"], *, kind: Kind = "multinomial"
) -> Float[Array, " n"]:
    """Draw the factors of one replicate, of mean 1. O(n).

    Args:
        key: Consumed.
        weights: Only their number and dtype are used; a row of weight 0 is drawn like any other.
        kind: How. Static.

    Raises:
        ValueError: ``kind`` is none of those.

    Example:
        >>> float(draw(jax.random.key(0), jnp.ones(7)).sum())
        7.0
    """
    effect.insist("bootstrap.draw", "kind", kind, Kind)
    n = len(weights)
    if kind == "multinomial":
        rows = jax.random.randint(key, (n,), 0, n)
        return jnp.zeros_like(weights).at[rows].add(1)
    if kind == "bayesian":
        return jax.random.exponential(key, (n,), weights.dtype)
    # Inverse of the distribution function; P(count > 12) is 6e-11, below a step of the uniform.
    u = jax.random.uniform(key, (n,), weights.dtype)
    mass = jnp.exp(-1 - jax.scipy.special.gammaln(jnp.arange(1, 14, dtype=weights.dtype)))
    return (u[:, None] >= jnp.cumsum(mass)[None, :]).sum(axis=1).astype(weights.dtype)
