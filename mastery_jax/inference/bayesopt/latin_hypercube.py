"""Latin hypercube design: n points, one in each of n equal slices of every coordinate.

    x_ij = (π_j(i) + u_ij) / n,      π_j random permutations, u_ij uniform on [0, 1)

Its mean of any additive function has a variance of O(n⁻³), where independent points have n⁻¹.

Source: McKay, Beckman & Conover (1979), Technometrics 21(2), section 2; Stein (1987), Technometrics
29(2), theorem 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked

__all__ = ["sample"]


@partial(jax.jit, static_argnames=("num_points",))
@checked
def sample(
    key: Key[Array, ""], lower: Float[Array, " d"], upper: Float[Array, " d"], *, num_points: int
) -> Float[Array, "num_points d"]:
    """Draw a design in a box. O(n d log n).

    Args:
        key: Consumed.
        lower: Lower bounds, unit of x.
        upper: Upper bounds.
        num_points: n. Static.

    Example:
        >>> points = sample(jax.random.key(0), jnp.zeros(2), jnp.ones(2), num_points=4)
        >>> jnp.sort(jnp.floor(4 * points), axis=0).T
        Array([[0., 1., 2., 3.],
               [0., 1., 2., 3.]], dtype=float32)
    """
    shape = (num_points, len(lower))
    slice_key, place_key = jax.random.split(key)
    slices = jnp.broadcast_to(jnp.arange(num_points, dtype=lower.dtype)[:, None], shape)
    slices = jax.random.permutation(slice_key, slices, axis=0, independent=True)
    unit = (slices + jax.random.uniform(place_key, shape, lower.dtype)) / num_points
    # Rounding may reach the next slice, and the ends of one are rounded themselves.
    first, last = jnp.nextafter(slices / num_points, 1), jnp.nextafter((slices + 1) / num_points, 0)
    unit = jnp.clip(unit, first, last)
    return lower[None, :] + (upper - lower)[None, :] * unit
