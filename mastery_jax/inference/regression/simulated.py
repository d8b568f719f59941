"""Rows whose weights are known, to see what a regression makes of them.

    x_i = (1, √(1 − ρ) e_i2 + √ρ c_i, …, √(1 − ρ) e_ip + √ρ c_i),    e, c ~ N(0, 1)
    normal       y_i = x_i·w + σ N(0, 1)
    bernoulli    y_i = 1 with probability 1 / (1 + exp(−x_i·w))

The columns beside the intercept have mean 0, variance 1, and ρ for the correlation of any two.

Source: Gelman, Hill & Vehtari (2020), *Regression and Other Stories*, section 7.2 (fake data).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.regression.prior import Family, refuse_family

__all__ = ["Data", "sample"]


class Data(NamedTuple):
    """Rows, and what made them."""

    X: Float[Array, "n p"]  # its first column is 1
    y: Float[Array, " n"]
    weights: Float[Array, " p"]  # w
    noise: Float[Array, ""]  # σ, unit of y; 0 if bernoulli


@partial(jax.jit, static_argnames=("num_rows", "family"))
@checked
def sample(
    key: Key[Array, ""],
    weights: Float[Array, " p"],
    *,
    num_rows: int,
    family: Family = "normal",
    noise: Scalar = 1.0,
    correlation: Scalar = 0.0,
) -> Data:
    """Draw rows. O(n p).

    Args:
        key: Consumed.
        weights: w, the intercept first: unit of y, or log odds.
        num_rows: n, at least 1. Static.
        family: Static.
        noise: σ ≥ 0, unit of y; not read if bernoulli. Traced.
        correlation: ρ in [0, 1]; NaN comes of others. Traced.

    Raises:
        ValueError: there are no rows, or the family is unknown.

    Example:
        >>> data = sample(jax.random.key(0), jnp.array([1.0, 2.0]), num_rows=100, noise=0.0)
        >>> data.X.shape, bool(jnp.allclose(data.y, 1 + 2 * data.X[:, 1], atol=1e-5))
        ((100, 2), True)
    """
    refuse_family("simulated.sample", family)
    if num_rows < 1:
        raise ValueError(f"simulated.sample: num_rows is {num_rows}, not at least 1")
    own_key, common_key, y_key = jax.random.split(key, 3)
    rho, dtype = jnp.asarray(correlation, weights.dtype), weights.dtype
    own = jax.random.normal(own_key, (num_rows, len(weights)), dtype)
    common = jax.random.normal(common_key, (num_rows, 1), dtype)
    X = (jnp.sqrt(1 - rho) * own + jnp.sqrt(rho) * common).at[:, :1].set(1)
    with jax.default_matmul_precision("highest"):
        level = X @ weights
    if family == "bernoulli":
        y = (jax.random.logistic(y_key, level.shape, dtype) < level).astype(dtype)
        return Data(X, y, weights, jnp.zeros((), dtype))
    sd = jnp.asarray(noise, dtype)
    return Data(X, level + sd * jax.random.normal(y_key, level.shape, dtype), weights, sd)
