"""Derivatives from values at a complex step: no difference is taken, and no digit lost to it.

    f(x + i h) = f(x) + i h f′(x) − h² f″(x) / 2 − …,      f′(x) = Im f(x + i h) / h + O(h²)

Nothing is subtracted, so that nothing cancels, and h may be as small as the rounding of x: 2^−k
near eps |x|, or eps where x is 0. Its square is then lost beside f(x), and h f′ does not underflow.

Source: Squire & Trapp (1998), *SIAM Review* 40(1), eq. 3.
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["jacobian"]


@jax.jit
@checked
def jacobian(fn: Partial, x: Float[Array, " n"]) -> Float[Array, "... n"]:
    """Return the Jacobian of an analytic function of a vector. O(n) complex calls, all at once.

    Args:
        fn: Maps a complex vector to an array, and is analytic: no abs, comparison or conjugate.
        x: Where, on the real axis.

    Returns:
        The axes of fn's value, then that of x: as ``jax.jacobian`` gives it. A function that is not
        analytic gives a wrong answer, mostly 0.

    Example:
        >>> jacobian(Partial(lambda x: (x**2).sum()), jnp.array([1.0, 2.0]))
        Array([2., 4.], dtype=float32)
    """
    step = power_of_two(x) * jnp.finfo(x.dtype).eps
    values = jax.vmap(lambda side: fn(jax.lax.complex(x, side)))(jnp.diag(step))
    slopes = values.imag / step.reshape(-1, *[1] * (values.ndim - 1))
    return jnp.moveaxis(slopes, 0, -1)
