"""Numbers that were predicted, beside numbers that came.

With errors e_i = y_i − ŷ_i, weights w_i and M v = Σ_i w_i v_i / Σ_i w_i,

    mse = M e²        rmse = √mse       mae = M |e|         median absolute error = median |e|
    r2 = 1 − M e² / M (y − M y)²        explained variance = 1 − M (e − M e)² / M (y − M y)²
    max error = max |e|                 pinball = M max(q e, (q − 1) e)

The mean squared error is least where the mean is predicted, the absolute error where the median
is, and the pinball loss where the quantile q is. The median under weights is the value that halves
the weight, or the mean of the two that do, so that a weight of 2 is a row that stands twice.

Source: Hastie, Tibshirani & Friedman (2009), *The Elements of Statistical Learning*, eq. 2.25;
Koenker & Bassett (1978), *Econometrica* 46(1), eq. 2.1 (pinball).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core import ordering
from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.metrics import rows

__all__ = [
    "explained_variance",
    "mae",
    "max_error",
    "median_absolute_error",
    "mse",
    "pinball",
    "r2",
    "rmse",
]

Weights = Float[Array, " n"] | None


@jax.jit
@checked
def mse(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the mean squared error, in the squared unit of ``y``. O(n).

    Args:
        predictions: ŷ, unit of y.
        y: What came.
        weights: ≥ 0, one where None.

    Returns:
        NaN for weights that are negative or all 0.

    Example:
        >>> mse(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]))
        Array(2., dtype=float32)
    """
    return rows.mean((y - predictions) ** 2, rows.weigh(weights, len(y), y.dtype))


@jax.jit
@checked
def rmse(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the root of the mean squared error, in the unit of ``y``. O(n).

    Args: as for ``mse``.

    Example:
        >>> rmse(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])).round(4)
        Array(1.4142, dtype=float32)
    """
    return jnp.sqrt(mse(predictions, y, weights=weights))


@jax.jit
@checked
def mae(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the mean absolute error, in the unit of ``y``. O(n).

    Args: as for ``mse``.

    Example:
        >>> mae(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]))
        Array(1., dtype=float32)
    """
    return rows.mean(jnp.abs(y - predictions), rows.weigh(weights, len(y), y.dtype))


@jax.jit
@checked
def median_absolute_error(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the median of the absolute errors, in the unit of ``y``. O(n log n).

    Args: as for ``mse``.

    Example:
        >>> median_absolute_error(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 4.0, 9.0]))
        Array(2., dtype=float32)
    """
    weights = rows.weigh(weights, len(y), y.dtype)
    errors = jnp.where(weights == 0, jnp.inf, jnp.abs(y - predictions))
    order = ordering.order(errors)
    below = jnp.cumsum(weights[order])
    half = below[-1] / 2
    # A sum that rounding alone keeps from half is half, as where all weights are a tenth.
    least = jnp.where(weights > 0, weights, jnp.inf).min()
    slack = jnp.minimum(len(y) * jnp.finfo(y.dtype).eps * below[-1], least / 4)
    # Of the ascending errors: the first that has half of the weight at or below it, and more.
    low, high = (
        errors[order[jnp.minimum(count.sum(), len(y) - 1)]]
        for count in (below < half - slack, below <= half + slack)
    )
    is_good = ~jnp.isnan(half) & ~jnp.isnan(errors).any()
    return jnp.where(is_good, (low + high) / 2, jnp.nan)


@jax.jit
@checked
def max_error(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the largest absolute error of a row with weight, in the unit of ``y``. O(n).

    Args: as for ``mse``.

    Example:
        >>> max_error(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]))
        Array(2., dtype=float32)
    """
    weights = rows.weigh(weights, len(y), y.dtype)
    largest = jnp.where(weights == 0, 0, jnp.abs(y - predictions)).max()
    return jnp.where(jnp.isnan(weights).any(), jnp.nan, largest)


@jax.jit
@checked
def r2(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the share of the variance of ``y`` that is explained; at most 1. O(n).

    Args: as for ``mse``.

    Returns:
        Infinite or NaN where ``y`` is constant (scikit-learn: ``force_finite=False``).

    Example:
        >>> r2(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 3.0])).round(4)
        Array(0.625, dtype=float32)
    """
    weights = rows.weigh(weights, len(y), y.dtype)
    return 1 - rows.mean((y - predictions) ** 2, weights) / _variance(y, weights)


@jax.jit
@checked
def explained_variance(
    predictions: Float[Array, " n"], y: Float[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return ``r2`` of predictions that are shifted so that their mean is right. O(n).

    Args: as for ``mse``.

    Returns:
        Infinite or NaN where ``y`` is constant.

    Example:
        >>> explained_variance(jnp.array([1.0, 2.0, 3.0]), jnp.array([3.0, 4.0, 5.0]))
        Array(1., dtype=float32)
    """
    weights = rows.weigh(weights, len(y), y.dtype)
    return 1 - _variance(y - predictions, weights) / _variance(y, weights)


@jax.jit
@checked
def pinball(
    predictions: Float[Array, " n"],
    y: Float[Array, " n"],
    *,
    quantile: Scalar = 0.5,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return the loss of predicting a quantile, in the unit of ``y``. O(n).

    Args:
        predictions: The quantile of y that is believed in, row by row.
        y: What came.
        quantile: q in [0, 1], scikit-learn's ``alpha``. Traced: sweep it with ``vmap``.
        weights: ≥ 0, one where None.

    Returns:
        Half the mean absolute error at q = 1/2; NaN for a q outside [0, 1].

    Example:
        >>> pinball(jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0]), quantile=0.9)
        Array(0.5, dtype=float32)
    """
    quantile = jnp.asarray(quantile, y.dtype)
    quantile = jnp.where((quantile >= 0) & (quantile <= 1), quantile, jnp.nan)
    errors = y - predictions
    losses = jnp.maximum(quantile * errors, (quantile - 1) * errors)
    return rows.mean(losses, rows.weigh(weights, len(y), y.dtype))


def _variance(values: Array, weights: Array) -> Array:
    # Seen from one of the rows a constant is 0 before anything is rounded, and has no variance.
    values = values - jax.lax.stop_gradient(values[weights.argmax()])
    return rows.mean((values - rows.mean(values, weights)) ** 2, weights)
