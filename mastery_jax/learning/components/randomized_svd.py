"""Leading singular values of a large matrix, from its products with few random directions.

    Y = A Ω,   Ω (d, k + p) normal;      Q = orth(Y)
    repeat q times:  Q = orth(A orth(Aᵀ Q))
    A ≈ Q (Qᵀ A):    the decomposition of the small QᵀA gives that of A

With q power steps the expected error exceeds the least possible one, s_{k+1}, by a factor that
tends to 1 like its (2q + 1)-th root: a spectrum that falls slowly needs more steps.

Source: Halko, Martinsson & Tropp (2011), *SIAM Review* 53(2), algorithms 4.4 (the range) and 5.1
(the decomposition), corollary 10.10 (the error).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.learning.components import truncated_svd
from mastery_jax.learning.components.singular import leading
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["fit"]


@partial(jax.jit, static_argnames=("num_components", "num_oversamples", "num_power_steps"))
@checked
def fit(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    *,
    num_components: int,
    num_oversamples: int = 10,
    num_power_steps: int = 4,
) -> truncated_svd.State:
    """Find the leading singular values and directions. O(n d (k + p) q), k + p the directions.

    Coordinates are those of ``truncated_svd.transform``. For principal components, subtract the
    mean of ``X`` first.

    Args:
        key: Draws the directions.
        X: One row per sample; it is not centered.
        num_components: k, at least 1 and at most min(n, d). Static.
        num_oversamples: p ≥ 0 further directions, that are thrown away at the end. Static.
        num_power_steps: q ≥ 0. Static.

    Returns:
        Values and directions; NaN for NaN in the data. A value that is rounding is 0.

    Raises:
        ValueError: a count is out of range.

    Example:
        >>> A = jnp.outer(jnp.arange(1.0, 5.0), jnp.array([3.0, 4.0, 0.0]))
        >>> fit(jax.random.key(0), A, num_components=1).components.round(3)
        Array([[0.6, 0.8, 0. ]], dtype=float32)
    """
    if not 1 <= num_components <= min(X.shape):
        raise ValueError(
            f"randomized_svd.fit: num_components is {num_components}, not from 1 to "
            f"{min(X.shape)}, the smaller side of X"
        )
    if num_oversamples < 0 or num_power_steps < 0:
        raise ValueError(
            f"randomized_svd.fit: num_oversamples is {num_oversamples} and num_power_steps "
            f"{num_power_steps}, not both at least 0"
        )
    width = min(num_components + num_oversamples, *X.shape)
    unit = power_of_two(jnp.abs(X).max())
    X = X / unit
    with jax.default_matmul_precision("highest"):
        directions = jax.random.normal(key, (X.shape[1], width), X.dtype)
        Q, _ = loop.scan(_power_step, _orthonormal(X @ directions), num_steps=num_power_steps, X=X)
        values, components = leading(Q.T @ X, num_components, "svd")
    return truncated_svd.State(components=components, singular_values=values * unit)


def _power_step(Q: Array, *, X: Array) -> tuple[Array, None]:
    return _orthonormal(X @ _orthonormal(X.T @ Q)), None


def _orthonormal(Y: Array) -> Array:
    return jnp.linalg.qr(Y)[0]
