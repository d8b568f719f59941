"""Ridge regression: least squares with a Gaussian prior on the weights.

    minimize  Σ_i s_i (y_i − x_i·w − b)² / Σ_i s_i  +  l2 |w|²          (b is not penalized)

With data Z = X − x̄, r = y − ȳ centered at weighted means, and S = diag(s) / Σ s, the minimum is

    w = (ZᵀSZ + l2 I)⁻¹ ZᵀSr = Zᵀ (SZZᵀ + l2 I)⁻¹ Sr,    b = ȳ − x̄·w

and the smaller of the two matrices is factorized. scikit-learn's ``alpha`` is ``l2 · Σ s``.

Source: Hoerl & Kennard (1970), *Technometrics* 12(1), eq. 2.1; the second form: Bishop (2006),
*Pattern Recognition and Machine Learning*, eq. 6.8.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.linear import rows

__all__ = ["State", "fit", "predict"]


class State(NamedTuple):
    """A fitted ridge regression."""

    weights: Float[Array, " d"]  # unit of y per unit of the feature
    bias: Float[Array, ""]  # unit of y


@jax.jit
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    l2: Scalar = 1e-3,
) -> State:
    """Solve for the weights in closed form. O(n d m + m³), m the smaller of n and d.

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        y: One target per sample.
        weights: Of the rows, ≥ 0, one where None. A row of weight 0 has no say, and its y is not
            read; its features must be finite.
        l2: Penalty per sample, ≥ 0, in squared units of the features; > 0 where features are
            dependent. Traced: sweep it with ``vmap``.

    Returns:
        The weights and the bias; NaN where the penalized matrix is not positive definite in the
        precision of ``X``, for a penalty that is negative, and for weights that are negative,
        infinite or all 0.

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of samples.

    Example:
        >>> state = fit(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0]), l2=1e-6)
        >>> state.weights.round(3), state.bias.round(3)
        (Array([2.], dtype=float32), Array(1., dtype=float32))
    """
    num_samples, num_features = X.shape
    l2 = jnp.asarray(l2, X.dtype)
    l2 = jnp.where(l2 >= 0, l2, jnp.nan)
    share, _ = rows.shares(X, weights)
    y = rows.seen(y, share)
    with jax.default_matmul_precision("highest"):
        X0, y0 = share @ X, share @ y
        Z, r = X - X0[None, :], share * (y - y0)
        if num_features <= num_samples:
            gram = Z.T @ Z / num_samples if weights is None else (share[:, None] * Z).T @ Z
            w = _solve(gram, Z.T @ r, l2)
        elif weights is None:
            w = Z.T @ _solve(Z @ Z.T / num_samples, r, l2)
        else:
            w = Z.T @ _solve_wide(Z @ Z.T, share, l2, r)
        return State(weights=w, bias=y0 - X0 @ w)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias


def _solve(matrix: Array, target: Array, l2: Array) -> Array:
    return solve(matrix + l2 * jnp.eye(len(matrix), dtype=matrix.dtype), target, assume_a="pos")


def _solve_wide(kernel: Array, share: Array, l2: Array, r: Array) -> Array:
    """Return (S K + l2 I)⁻¹ r. Symmetric is only √S K √S, whose root has no slope at a weight 0."""
    l2 = jnp.where(l2 > 0, l2, jnp.nan)  # centered rows are dependent
    return solve(share[:, None] * kernel + l2 * jnp.eye(len(kernel), dtype=kernel.dtype), r)
