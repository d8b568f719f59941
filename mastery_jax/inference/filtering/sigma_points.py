"""Points that carry the mean and covariance of a belief through a function.

    x_±j = m ± √c L_j,  P = L Lᵀ        L_j: a column of L
    s_j = (g(x_+j) − g(x_−j)) / 2√c     slope along L_j: Cov(g, x) = Σ s_j L_jᵀ
    b_j = (g(x_+j) + g(x_−j)) / 2 − g₀  bend along L_j
    Cov g = Σ s_j s_jᵀ + Ω,   Ω = Σ b_j b_jᵀ / c + w d̄ d̄ᵀ,   d̄ = Σ b_j / c

With a center, g₀ = g(m) and E g = g₀ + d̄: the unscented transform. Without one, g₀ = E g is the
mean of the values and w = 0: the spherical cubature rule, where c = n. Split into slopes and bends
the covariance of x − K g is (L − K s)(L − K s)ᵀ + K Ω Kᵀ, which is never negative where w ≥ 0.

The columns of the factor are taken, not its rows: only those carry a covariance with correlations.

Source: Julier & Uhlmann (2004), *Proceedings of the IEEE* 92(3), 401, eq. 12-15; Arasaratnam &
Haykin (2009), *IEEE Transactions on Automatic Control* 54(6), 1254, eq. 30.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import smallmat
from mastery_jax.inference.filtering import matrix
from mastery_jax.inference.filtering.assumed_density import Function, Linearization
from mastery_jax.inference.filtering.linear_gaussian import State

__all__ = ["linearize", "root_of"]


def linearize(
    fn: Function,
    state: State,
    *,
    spread: Array | None = None,
    center_weight: Array | None = None,
) -> Linearization:
    """Return the moments of x and fn(x) by points of the belief. O(state fn + state³).

    Args:
        fn: The function g, of one point.
        state: The belief. Moments are NaN where its covariance is not positive definite.
        spread: c, with ``center_weight``; the number of components of x by default.
        center_weight: w; ``None`` for points without a center.
    """
    root = root_of(state.cov)
    c = jnp.asarray(len(root), root.dtype) if spread is None else spread
    offsets = jnp.sqrt(c) * root.T
    ahead = jax.vmap(fn)(state.mean[None, :] + offsets)
    behind = jax.vmap(fn)(state.mean[None, :] - offsets)
    slope = (ahead - behind).T / (2 * jnp.sqrt(c))
    if center_weight is None:
        mean = (ahead + behind).mean(axis=0) / 2
        bend = ((ahead - mean[None, :]) + (behind - mean[None, :])).T / 2
        rest = matrix.product(bend, bend.T) / c
    else:
        center = fn(state.mean)
        bend = ((ahead - center[None, :]) + (behind - center[None, :])).T / 2
        shift = bend.sum(axis=1) / c
        mean = center + shift
        rest = matrix.product(bend, bend.T) / c
        rest = rest + center_weight * shift[:, None] * shift[None, :]

    def left(gain: Array) -> Array:
        spread = root - matrix.product(gain, slope)
        return matrix.product(spread, spread.T) + matrix.congruence(gain, rest)

    return Linearization(
        mean=mean,
        cov=matrix.product(slope, slope.T) + rest,
        cross=matrix.product(slope, root.T),
        left=left,
    )


def root_of(cov: Array) -> Array:
    """Return the lower Cholesky factor of a covariance. O(n³).

    Up to 8 components it may be singular: a pivot that rounding cannot tell from zero is zero, and
    so is its column. NaN where a covariance is not positive semi-definite; beyond 8, where it is
    not positive definite.
    """
    size = len(cov)
    if size > smallmat.MAX_SIZE:
        return jnp.linalg.cholesky(cov)
    rounding = 8 * size * jnp.finfo(cov.dtype).eps
    zero = jnp.zeros((), cov.dtype)
    rows: list[list[Array]] = []
    inverses: list[Array] = []  # of the diagonal; 0 where that is 0
    is_indefinite = jnp.asarray(False)
    for i in range(size):
        row: list[Array] = []
        for j, above in enumerate(rows):
            rest = cov[i, j] - _dot(row, above)
            # Next to a pivot of zero a covariance has zeros, but for the root of what was dropped.
            is_over = rest**2 > rounding * jnp.abs(cov[i, i] * cov[j, j])
            is_indefinite = is_indefinite | ((inverses[j] == 0) & is_over)
            row.append(rest * inverses[j])
        pivot = cov[i, i] - _dot(row, row)
        is_zero = jnp.abs(pivot) <= rounding * jnp.abs(cov[i, i])
        diagonal = jnp.sqrt(jnp.where(is_zero, 1, jnp.where(pivot > 0, pivot, jnp.nan)))
        inverses.append(jnp.where(is_zero, 0, 1 / diagonal))
        rows.append([*row, jnp.where(is_zero, 0, diagonal)])
    root = jnp.stack([jnp.stack([*row, *[zero] * (size - len(row))]) for row in rows])
    return jnp.where(is_indefinite, jnp.nan, root)


def _dot(row: list[Array], other: list[Array]) -> Array | float:
    """Return Σ row_k other_k, over the shorter one."""
    return sum((x * y for x, y in zip(row, other, strict=False)), 0.0)
