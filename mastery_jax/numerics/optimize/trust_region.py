"""One trust-region step: the minimum of a quadratic model within a ball, in the model's eigenbasis.

    minimize  Σ c_i z_i + e_i z_i² / 2    with |z| ≤ Δ
    z_i = −c_i / (e_i + λ),    λ ≥ max(0, −min e), and λ = 0 or |z| = Δ

λ is the root of 1/Δ = 1/|z(λ)|, by Newton's method from a λ that is too small: the step lengths
then fall towards Δ. Where c has no part along the least eigenvalue (the hard case, as at a saddle
point) z is completed along it. Whoever calls brings the eigenvalues: squared singular values for
least squares, those of the Hessian for Newton's method.

Source: Moré & Sorensen (1983), SIAM J. Sci. Stat. Comput. 4(3), eq. 2.3, 3.5 and section 3; Nocedal
& Wright (2006), *Numerical Optimization*, section 4.3.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["solve"]

NUM_STEPS = 20  # Newton's method doubles the digits at each; the first few may be slow


@jax.jit
@checked
def solve(
    eigenvalues: Float[Array, " n"], gradient: Float[Array, " n"], radius: Float[Array, ""]
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Return the step and its multiplier. O(n).

    Args:
        eigenvalues: e, of any sign and in any order.
        gradient: c, along the eigenvectors.
        radius: Δ > 0.

    Returns:
        z and λ; λ = 0 for a minimum inside the ball.

    Example:
        >>> step, multiplier = solve(jnp.array([-1.0, 2.0]), jnp.zeros(2), jnp.array(0.5))
        >>> jnp.abs(step), multiplier  # from a saddle, along the valley
        (Array([0.5, 0. ], dtype=float32), Array(1., dtype=float32))
    """
    least = jnp.min(eigenvalues)
    lower = jnp.maximum(0, -least)
    is_convex = least > 0
    inside = _step(eigenvalues, gradient, jnp.zeros_like(lower))
    is_inside = is_convex & (_length(inside) <= radius)
    # At this λ some |c_i| / (e_i + λ) is Δ already: it is not above the root.
    start = jnp.maximum(lower, jnp.max(jnp.abs(gradient) / radius - eigenvalues))

    def newton(multiplier: Array) -> tuple[Array, None]:
        z = _step(eigenvalues, gradient, multiplier)
        square = jnp.sum(z * z)
        fall = jnp.sum(z * z / _positive(eigenvalues + multiplier))
        change = (jnp.sqrt(square) - radius) / radius * square / _positive(fall)
        return multiplier + jnp.maximum(change, 0), None

    multiplier, _ = loop.scan(newton, start, num_steps=NUM_STEPS)
    z = _step(eigenvalues, gradient, multiplier)
    is_hard = (multiplier <= lower) & ~is_convex
    left = radius**2 - jnp.sum(z * z)
    # Only of the hard case: the root has no slope at 0, where every other step ends.
    missing = jnp.where(is_hard & (left > 0), jnp.sqrt(jnp.where(is_hard & (left > 0), left, 1)), 0)
    along = jnp.arange(len(z)) == jnp.argmin(eigenvalues)
    z = jnp.where(is_hard & along, z + jnp.where(gradient > 0, -missing, missing), z)
    return jnp.where(is_inside, inside, z), jnp.where(is_inside, 0, multiplier)


def _step(eigenvalues: Array, gradient: Array, multiplier: Array) -> Array:
    shifted = eigenvalues + multiplier
    return jnp.where(shifted > 0, -gradient / _positive(shifted), 0)


def _positive(x: Array) -> Array:
    return jnp.where(x > 0, x, 1)


def _length(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x * x))
