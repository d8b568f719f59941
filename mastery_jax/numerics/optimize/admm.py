"""The elastic net by ADMM: a copy of the weights takes the penalty, and the two are made to agree.

    w ← (G + ρI)⁻¹ (c + ρ(z − u))
    z ← soft(w̃ + u, αr/ρ) / (1 + α(1 − r)/ρ),    w̃ = 1.6 w − 0.6 z
    u ← u + w̃ − z

The answer is z, whose zeros are zeros. One eigendecomposition G = VΛVᵀ serves every ρ, so that ρ
follows the two residuals |w − z| and ρ|z − z_old| for nothing. The problem, and the duality gap
that ends the search, are those of ``lasso``.

Source: Boyd et al. (2011), *Distributed Optimization and Statistical Learning via the Alternating
Direction Method of Multipliers*, sections 6.4 (LASSO), 3.4.1 (ρ) and 3.4.3 (over-relaxation).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import lasso

__all__ = ["solve"]

RELAXATION = 1.6
"""Over-relaxation, of which the source advises 1.5 to 1.8."""


class _State(NamedTuple):
    z: Float[Array, " d"]
    u: Float[Array, " d"]  # dual variable over ρ
    rho: Float[Array, ""]


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def solve(
    moments: lasso.Moments,
    *,
    alpha: Scalar,
    l1_ratio: Scalar = 1.0,
    rtol: Scalar = 1e-4,
    max_steps: int = 10_000,
) -> tuple[lasso.State, lasso.Info]:
    """Fit one model. O(d³) once and O(d²) a step, some 30 to 300 steps.

    Differentiable in both modes with respect to the moments and the penalty.

    Args:
        moments: Of the data, from ``lasso.moments``.
        alpha: α > 0, v² per unit of weight. Traced.
        l1_ratio: r in (0, 1]; 1 is the LASSO. Traced.
        rtol: Stop when the duality gap is at most this share of the variance of y.
        max_steps: Steps at most. Static.

    Returns:
        The model, and how it ended: CONVERGED, OUT_OF_STEPS, NOT_FINITE, or BAD_INPUT where
        ``alpha``, ``l1_ratio`` or the total of the sample weights is out of its domain.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0.0, 2.0, 4.0, 6.0])
        >>> state, info = solve(lasso.moments(X, y, jnp.ones(4)), alpha=0.5, rtol=1e-6)
        >>> round(float(state.weights[0]), 2), bool(info.is_done)  # 2 - 0.5 / 1.25
        (1.6, True)
    """
    moments = lasso.symmetric(moments)
    data = jax.lax.stop_gradient(moments)
    eigenvalues, axes = jnp.linalg.eigh(data.gram)
    zeros = jnp.zeros_like(data.cross)
    # The mean eigenvalue is the scale on which G and ρI weigh alike.
    start = _State(z=zeros, u=zeros, rho=eigenvalues.mean() + jnp.finfo(zeros.dtype).tiny)
    penalty = lasso.split(alpha, l1_ratio, data)
    hyper = jax.lax.stop_gradient((penalty, rtol))
    with jax.default_matmul_precision("highest"):
        state, _, num_steps = loop.until(
            _step,
            start,
            max_steps=max_steps,
            spectrum=(eigenvalues, axes),
            data=data,
            penalty=hyper[0],
            rtol=jnp.asarray(hyper[1], zeros.dtype),
        )
    num_steps = num_steps.astype(jnp.int32)
    return lasso.conclude(state.z, moments, penalty, rtol, num_steps, max_steps)


def _step(
    state: _State,
    *,
    spectrum: tuple[Array, Array],
    data: lasso.Moments,
    penalty: tuple[Array, Array],
    rtol: Array,
) -> tuple[_State, _Verdict]:
    (l1, l2), (eigenvalues, axes), rho = penalty, spectrum, state.rho
    w = axes @ ((axes.T @ (data.cross + rho * (state.z - state.u))) / (eigenvalues + rho))
    relaxed = RELAXATION * w + (1 - RELAXATION) * state.z
    target = relaxed + state.u
    z = jnp.sign(target) * jnp.maximum(jnp.abs(target) - l1 / rho, 0) / (1 + l2 / rho)
    u = target - z

    product = data.gram @ z
    slope = jnp.abs(data.cross - product - l2 * z).max()
    sums = (data.cross @ z, z @ product, jnp.abs(z).sum(), z @ z)
    _, gap = lasso.gap_of(data.square, *sums, slope, penalty)

    primal, dual = jnp.abs(w - z).max(), rho * jnp.abs(z - state.z).max()
    factor = jnp.where(primal > 10 * dual, 2.0, jnp.where(dual > 10 * primal, 0.5, 1.0))
    factor = factor.astype(rho.dtype)
    return _State(z, u / factor, rho * factor), _Verdict(~(gap > rtol * data.square))
