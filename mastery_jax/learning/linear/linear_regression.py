"""Linear regression: ordinary least squares with weights of rows, by QR of centered data.

    minimize  Σ_i s_i (y_i − x_i·w − b)²
    w = argmin |√s (y − ȳ) − √s (X − x̄) w|,    b = ȳ − x̄·w

with means weighted by s. Centering takes the bias out before the factorization, so that an offset
of the features costs no digits there. Where features are dependent, the shortest w is taken, and
``rank`` says so. ``linear_descent`` finds the same w step by step.

Source: Gauss (1809), *Theoria Motus*, section 182; Golub & Van Loan (2013), *Matrix Computations*,
sections 5.3.2, 5.5 (rank) and 6.1 (weights).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.linear import rows
from mastery_jax.numerics.linalg import least_squares

__all__ = ["State", "fit", "predict"]


class State(NamedTuple):
    """A fitted linear regression, and whether the data determine it."""

    weights: Float[Array, " d"]  # unit of y per unit of the feature
    bias: Float[Array, ""]  # unit of y
    rank: Int[Array, ""]  # independent features; with fewer than d, w is one of many
    condition: Float[Array, ""]  # of the centered features, each scaled to one size


@jax.jit
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    rtol: Scalar | None = None,
) -> State:
    """Solve the least-squares problem. O(n d min(n, d)).

    Differentiable in both modes with respect to ``X``, ``y`` and those ``weights`` that are not 0,
    where the rank does not change nearby.

    Args:
        X: One row per sample, raw or standardized; it needs no column of ones.
        y: One target per sample.
        weights: Of the rows, ≥ 0, one where None. A row of weight 0 has no say, and its y is not
            read; its features must be finite.
        rtol: Singular values of the scaled features below this fraction of the largest count as 0.
            Traced; None means max(n, d) rounding units.

    Returns:
        The model. With ``rank`` < d features are dependent (or constant, or fewer rows than d + 1
        have weight): predictions for such rows are right, and the weights are the shortest of all
        that give them. NaN for data that are not finite, and for weights that are negative,
        infinite or all 0.

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of samples.

    Example:
        >>> state = fit(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0]))
        >>> state.weights.round(3), state.bias.round(3), int(state.rank)
        (Array([2.], dtype=float32), Array(1., dtype=float32), 1)
    """
    share, _ = rows.shares(X, weights)
    y = rows.seen(y, share)
    with jax.default_matmul_precision("highest"):
        x_mean, Z = rows.centered(X, share)
        y_mean = share @ y
        root = jnp.where(share == 0, 0, jnp.sqrt(jnp.where(share == 0, 1, share)))
        w, info = least_squares.solve(root[:, None] * Z, root * (y - y_mean), rtol=rtol)
        return State(w, y_mean - x_mean @ w, info.rank, info.condition)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias
