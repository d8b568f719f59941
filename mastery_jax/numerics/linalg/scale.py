"""Powers of two near a size: factors that change the exponent of a number, and no digit of it.

Rows and columns in different units are brought to one size before a matrix is judged. A factor of
2^k does it without rounding, so that a solution is the same bits in any such units.

Source: Higham (2002), *Accuracy and Stability of Numerical Algorithms*, section 7.3.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = ["equilibrate", "power_of_two"]


@jax.jit
@checked
def power_of_two(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the largest power of two up to |x|, element by element. O(size).

    Its derivative is 0: it stands still between the powers.

    Returns:
        2^⌊log₂ |x|⌋; 1 where x is 0, infinite or NaN, so that dividing by it is always allowed.

    Example:
        >>> power_of_two(jnp.array([3.0, -0.3, 0.0]))
        Array([2.  , 0.25, 1.  ], dtype=float32)
    """
    size = jnp.abs(jax.lax.stop_gradient(x))
    _, exponent = jnp.frexp(size)
    is_plain = (size > 0) & jnp.isfinite(size)
    return jnp.where(is_plain, jnp.ldexp(jnp.ones_like(size), exponent - 1), 1)


def equilibrate(A: Array) -> tuple[Array, Array, Array]:
    """Return A with rows, then columns, near 1 in size, and the powers of two they are divided by.

    O(m n). The rows' powers are a column, the columns' a row, so that A is the product of all.
    """
    rows = power_of_two(jnp.abs(A).max(axis=1))[:, None]
    columns = power_of_two(jnp.abs(A / rows).max(axis=0))[None, :]
    return A / rows / columns, rows, columns
