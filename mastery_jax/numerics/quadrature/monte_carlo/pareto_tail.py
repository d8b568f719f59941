"""The tail of some weights, as a generalized Pareto distribution: how many moments they have.

    p(x) = 1/σ (1 + k x/σ)^(−1/k − 1),   x > 0

k ≥ 1/2: the variance is infinite and the standard error means nothing; above 0.7 no usable number
of samples repairs it. The fit is a posterior mean over a grid of profile likelihoods, pulled
towards k = 1/2 by ten imagined points.

Source: Zhang & Stephens (2009), *Technometrics* 51, 316, section 3; Vehtari, Simpson, Gelman, Yao &
Gabry (2024), *Pareto smoothed importance sampling*, JMLR 25(72), sections 3.2 and 6, appendix G.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked

__all__ = ["State", "fit"]


class State(NamedTuple):
    """A generalized Pareto distribution from 0 on."""

    shape: Float[Array, ""]  # k, no unit
    scale: Float[Array, ""]  # σ, unit of the data


@jax.jit
@checked
def fit(excesses: Float[Array, " n"], *, limit: Scalar = 0.0) -> State:
    """Fit the excesses of the largest weights over the largest one left out. O(n^1.5 + n log n).

    Args:
        excesses: In any order, not negative.
        limit: The largest weight left out. Beside it excesses of zero are weights that are equal;
            beside nothing they are weights too small for the dtype. Traced.

    Returns:
        k and σ; k is −∞ where all excesses are zero, ∞ where three quarters of the weights are
        below the least normal number beside the largest: a fit would see nothing of the length of
        that tail. NaN where one is not finite.

    Raises:
        ValueError: fewer than five excesses.

    Example:
        >>> quantiles = (jnp.arange(1000.0) + 0.5) / 1000
        >>> round(float(fit(1 / (1 - quantiles) - 1).shape), 1)  # 1/u − 1 has k = 1
        1.0
    """
    n = len(excesses)
    if n < 5:
        raise ValueError(f"pareto_tail.fit: {n} excesses, not at least 5")
    # Their order has no slope of its own that matters here; sorted as they are by lax.top_k.
    x = jax.lax.top_k(excesses, n)[0][::-1]
    largest = x[-1]
    x = x / jnp.where(largest > 0, largest, 1)
    quarter = x[int(n / 4 + 0.5) - 1]
    count = 30 + int(n**0.5)
    steps = jnp.arange(1, count + 1, dtype=x.dtype) - 0.5
    theta = 1 + (1 - jnp.sqrt(count / steps)) / (3 * jnp.where(quarter > 0, quarter, 1))
    k = jnp.log1p(-theta[:, None] * x[None, :]).mean(axis=1)
    likelihoods = n * (jnp.log(-theta / k) - k - 1)
    theta = (jax.nn.softmax(likelihoods) * theta).sum()
    k = jnp.log1p(-theta * x).mean()
    scale = -k / theta * largest
    shape = (n * k + 10 * 0.5) / (n + 10)
    is_flat = largest == 0
    is_lost = quarter + limit / jnp.where(is_flat, 1, largest) < jnp.finfo(x.dtype).tiny
    shape = jnp.where(is_lost, jnp.inf, shape)
    return State(jnp.where(is_flat, -jnp.inf, shape), jnp.where(is_flat, 0, scale))
