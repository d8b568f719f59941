"""What a row counts for in a mean over rows that have weights, and the data seen from that mean.

    Σ_i s_i loss_i,    s_i = w_i / Σ_j w_j,    Z = X − Σ_i s_i x_i

Weights that are whole numbers count rows as often, and a row of weight 0 is as good as absent: what
it has for a target is not read, be it NaN.

Source: Cramér (1946), *Mathematical Methods of Statistics*, section 15.1 (a weighted mean is that
of a distribution with masses s); Chan, Golub & LeVeque (1983), *The American Statistician* 37
(rounding of deviations from a mean).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

__all__ = ["centered", "seen", "shares"]


def shares(X: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return the shares s of the rows of X, and the total weight, in the dtype of X.

    Both are NaN for weights that are negative, infinite, NaN or all 0. O(n).
    """
    weights = jnp.ones(len(X), X.dtype) if weights is None else weights.astype(X.dtype)
    total = weights.sum()
    is_sound = (weights >= 0).all() & (total > 0) & (total < jnp.inf)
    total = jnp.where(is_sound, total, jnp.nan)
    return weights / total, total


def seen(y: Array, share: Array) -> Array:
    """Return targets in the dtype of the shares, and as 0 where a row has no share. O(n)."""
    return jnp.where(share == 0, 0, y.astype(share.dtype))


def centered(X: Array, share: Array) -> tuple[Array, Array]:
    """Return the mean, and X minus it; a feature that does not vary is exactly 0. O(n d).

    What rounding leaves of a constant is no variation: scaled up it would look like one. Seen from
    one of the rows, a constant is 0 before anything is rounded.
    """
    row = jax.lax.stop_gradient(X[share.argmax()])
    Z = X - row[None, :]
    shift = share @ Z
    mean, Z = row + shift, Z - shift[None, :]
    size = jnp.sqrt(share @ Z**2)
    is_constant = size <= 8 * jnp.finfo(X.dtype).eps * jnp.abs(mean)
    return mean, jnp.where(is_constant[None, :], 0, Z)
