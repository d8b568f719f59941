"""Derivatives to the last digit from values at a complex step.

    f(x + i h) = f(x) + i h f′(x) − h² f″(x) / 2 − …,      f′(x) = Im f(x + i h) / h + O(h²)

Nothing is subtracted, so that nothing cancels: h may be the square root of the smallest normal
number, whose square is lost in the rounding of anything.

Source: Squire & Trapp (1998), *SIAM Review* 40(1), eq. 3.
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

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
    tiny = float(jnp.finfo(x.dtype).tiny) ** 0.5
    sides = tiny * jnp.eye(len(x), dtype=x.dtype)
    values = jax.vmap(lambda side: fn(jax.lax.complex(x, side)))(sides)
    return jnp.moveaxis(values.imag / tiny, 0, -1)
