"""Ridge regression: least squares with a Gaussian prior on the weights.

    minimize  |y − X w − b|² / n  +  l2 |w|²          (b is not penalized)

With centered data Z = X − x̄, r = y − ȳ the minimum is

    w = (ZᵀZ/n + l2 I)⁻¹ Zᵀr/n = Zᵀ (Z Zᵀ/n + l2 I)⁻¹ r/n,    b = ȳ − x̄·w

and the smaller of the two matrices is factorized. scikit-learn's ``alpha`` is ``l2 · n``.

Source: Hoerl & Kennard (1970), *Technometrics* 12(1), eq. 2.1; the second form: Bishop (2006),
*Pattern Recognition and Machine Learning*, eq. 6.8.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked

__all__ = ["State", "fit", "predict"]


class State(NamedTuple):
    """A fitted ridge regression."""

    weights: Float[Array, " d"]  # unit of y per unit of the feature
    bias: Float[Array, ""]  # unit of y


@jax.jit
@checked
def fit(X: Float[Array, "n d"], y: Float[Array, " n"], *, l2: Scalar = 1e-3) -> State:
    """Solve for the weights in closed form. O(n d m + m³), m the smaller of n and d.

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        y: One target per sample.
        l2: Penalty per sample, > 0, in squared units of the features. Traced: sweep it with
            ``vmap``.

    Returns:
        The weights and the bias; NaN where the penalized matrix is not positive definite in the
        precision of ``X``.

    Raises:
        ValueError: ``X`` and ``y`` disagree on the number of samples.

    Example:
        >>> state = fit(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0]), l2=1e-6)
        >>> state.weights.round(3), state.bias.round(3)
        (Array([2.], dtype=float32), Array(1., dtype=float32))
    """
    num_samples, num_features = X.shape
    l2 = jnp.asarray(l2, X.dtype)
    X0, y0 = X.mean(axis=0), y.mean()
    Z, r = X - X0[None, :], (y - y0) / num_samples
    with jax.default_matmul_precision("highest"):
        if num_features <= num_samples:
            weights = _solve(Z.T @ Z / num_samples, l2, Z.T @ r)
        else:
            weights = Z.T @ _solve(Z @ Z.T / num_samples, l2, r)
        return State(weights=weights, bias=y0 - X0 @ weights)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias


def _solve(gram: Array, l2: Array, target: Array) -> Array:
    return solve(gram + l2 * jnp.eye(len(gram), dtype=gram.dtype), target, assume_a="pos")
