"""What estimators of an effect take and return, and the standard error from the rows' weights.

An estimate is a function θ(w) of one weight per row, the fits of its nuisance models included.
With W = Σ w, row i's influence and the standard error are

    ψ_i = W ∂θ/∂w_i            se² = Σ_i w_i² (∂θ/∂w_i)²          interval θ ± z se

by one reverse-mode derivative: the infinitesimal jackknife. For solutions of estimating equations
it is the sandwich of the stacked equations, so that what the nuisance models add is counted.

Source: Jaeckel (1972), Bell Laboratories memorandum 72-1215-11; Efron (1982), *The Jackknife, the
Bootstrap and Other Resampling Plans*, section 6.1; Stefanski & Boos (2002), *Am. Stat.* 56(1)
(stacked equations).
"""

import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar
from mastery_jax.core.status import Status

__all__ = [
    "Arms",
    "Dose",
    "Effect",
    "Info",
    "Overlap",
    "Target",
    "Treatment",
    "arms",
    "codes",
    "from_error",
    "from_weights",
    "insist",
    "sizes",
]

Treatment = Int[Array, " n"] | Bool[Array, " n"]
"""1 or True for a row that was treated, 0 or False for another."""

Dose = Treatment | Float[Array, " n"]
"""A treatment of any number."""

Target = Literal["ate", "att"]
"""Who is asked about: everybody, or the treated."""


class Effect(NamedTuple):
    """An estimate and how sure it is, in the unit of y."""

    estimate: Float[Array, "*shape"]
    std_error: Float[Array, "*shape"]
    lower: Float[Array, "*shape"]
    upper: Float[Array, "*shape"]


class Overlap(NamedTuple):
    """Whether both treatments were possible for every row in use."""

    lowest: Float[Array, ""]  # probability of treatment, before clipping
    highest: Float[Array, ""]
    num_clipped: Int[Array, ""]  # rows whose probability was changed
    num_trimmed: Int[Array, ""]  # rows that were left out
    is_overlap: Bool[Array, ""]  # lowest and highest are in [0.01, 0.99]


class Info(NamedTuple):
    """How an estimate came about."""

    status: Int[Array, ""]  # the worst of its fits; BAD_INPUT with NaN where there is no answer
    num_used: Int[Array, ""]  # rows with weight, after trimming
    ess: Float[Array, "2"]  # effective sample sizes (Σ w)² / Σ w² of control and treated
    influence: Float[Array, " n"]  # ψ, unit of y; of mean 0 under the weights
    overlap: Overlap | None  # None where no probability of treatment is used


class Arms(NamedTuple):
    """Who was treated, and what every row counts."""

    treated: Float[Array, " n"]  # 1 or 0
    weights: Float[Array, " n"]
    is_bad: Bool[Array, ""]


def arms(treatment: Array, weights: Array | None, like: Array) -> Arms:
    """Read the treatment and the weights in the dtype of ``like``. O(n).

    It is bad where the treatment of a row with weight is neither 0 nor 1, an arm is empty, or a
    weight is negative.
    """
    weights = jnp.ones_like(like) if weights is None else weights
    is_seen, treatment = weights > 0, codes(treatment)
    is_code = (treatment == 0) | (treatment == 1)
    treated = (treatment == 1).astype(like.dtype)
    is_bad = (is_seen & ~is_code).any() | (weights < 0).any()
    is_empty = [~(is_seen & (treatment == arm)).any() for arm in (0, 1)]
    return Arms(treated, weights, is_bad | is_empty[0] | is_empty[1])


def from_weights(
    estimate: Callable[[Array], tuple[Array, tuple[Array, Overlap | None, Array]]],
    given: Arms,
    *,
    level: Scalar,
) -> tuple[Effect, Info]:
    """Return an estimate with the standard error of its weights.

    Args:
        estimate: Weights of the rows to the estimate, and aside: the status of its fits, the
            overlap, and the weights in the final average.
        given: Who was treated, and the weights.
        level: Of the interval, in (0, 1).
    """
    weights = given.weights
    (theta, (status, overlap, final)), slope = jax.value_and_grad(estimate, has_aux=True)(weights)
    theta = jnp.where(given.is_bad, jnp.nan, theta)
    found = from_error(theta, jnp.sqrt((weights**2 * slope**2).sum()), level=level)
    is_finite = jnp.isfinite(theta) & jnp.isfinite(found.std_error)
    status = jnp.where(is_finite, status, jnp.maximum(status, Status.NOT_FINITE))
    status = jnp.where(given.is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    num_used, ess = sizes(final, given.treated)
    return found, Info(status, num_used, ess, weights.sum() * slope, overlap)


def from_error(estimate: Array, std_error: Array, *, level: Scalar) -> Effect:
    """Return the normal interval about an estimate; NaN where the estimate is."""
    std_error = jnp.where(jnp.isfinite(estimate), std_error, jnp.nan)
    reach = ndtri((1 + jnp.asarray(level, estimate.dtype)) / 2) * std_error
    return Effect(estimate, std_error, estimate - reach, estimate + reach)


def sizes(weights: Array, treated: Array) -> tuple[Array, Array]:
    """Return how many rows have weight, and the effective sizes of control and treated."""
    found = []
    for arm in (1 - treated, treated):
        total, square = (arm * weights).sum(), (arm * weights**2).sum()
        found.append(jnp.where(square > 0, total**2 / jnp.where(square > 0, square, 1), 0))
    return (weights > 0).sum().astype(jnp.int32), jnp.stack(found)


def codes(treatment: Array) -> Array:
    """Return a treatment as integers: strict promotion compares no boolean with 1."""
    return treatment.astype(jnp.int8) if treatment.dtype == bool else treatment


def insist(where: str, name: str, value: Any, options: Any) -> None:
    """Insist that a choice is one of those that a ``Literal`` lists. Nothing is traced.

    Raises:
        ValueError: it is not.
    """
    known = typing.get_args(options)
    if value not in known:
        raise ValueError(f"{where}: {name} is {value!r}, not one of {', '.join(known)}")
