"""The best approximation of low rank: leading singular values, without centering.

    X ≈ (X Vᵀ_k) V_k,   of all matrices of rank k the nearest to X in the sum of squares

Source: Eckart & Young (1936), *Psychometrika* 1(3), the theorem of section 3.
"""

from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.learning.components.singular import Solver, leading

__all__ = ["Solver", "State", "fit", "inverse_transform", "transform"]


class State(NamedTuple):
    """Leading singular values and right directions."""

    components: Float[Array, "k d"]  # orthogonal, of length 1; the largest entry positive
    singular_values: Float[Array, " k"]  # unit of the features


@partial(jax.jit, static_argnames=("num_components", "solver"))
@checked
def fit(X: Float[Array, "n d"], *, num_components: int, solver: Solver = "svd") -> State:
    """Find the leading singular values and directions. O(n d min(n, d)).

    Args:
        X: One row per sample; it is not centered.
        num_components: k, at least 1 and at most min(n, d). Static.
        solver: ``svd`` for all digits, ``eigh`` of the smaller side for speed. Static.

    Returns:
        Values and directions; NaN for NaN in the data. A value that is rounding is 0, and by
        ``eigh`` of fewer rows than columns its direction too.

    Raises:
        ValueError: ``num_components`` is out of range.

    Example:
        >>> X = jax.numpy.array([[3.0, 0.0], [0.0, 1.0], [4.0, 0.0]])
        >>> fit(X, num_components=2).singular_values.round(3)
        Array([5., 1.], dtype=float32)
    """
    if not 1 <= num_components <= min(X.shape):
        raise ValueError(
            f"truncated_svd.fit: num_components is {num_components}, not from 1 to "
            f"{min(X.shape)}, the smaller side of X"
        )
    values, components = leading(X, num_components, solver)
    return State(components=components, singular_values=values)


@jax.jit
@checked
def transform(state: State, X: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Return the coordinates of every row along the directions. O(n d k)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.components.T


@jax.jit
@checked
def inverse_transform(state: State, Z: Float[Array, "n k"]) -> Float[Array, "n d"]:
    """Return the rows that have the coordinates. O(n d k)."""
    with jax.default_matmul_precision("highest"):
        return Z @ state.components
