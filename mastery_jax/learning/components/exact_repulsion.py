"""The repulsion of all pairs of points of a map under Student's kernel, pair by pair.

    w_ij = 1 / (1 + |y_i − y_j|²),   F_i = Σ_j w_ij² (y_i − y_j),   Z = Σ_{i≠j} w_ij

Some points at a time take up the others one by one, so that nothing of size n² is made.

Source: van der Maaten & Hinton (2008), *Journal of Machine Learning Research* 9, eq. 4 and 5.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop

__all__ = ["repulsion"]

BLOCK = 256  # points that stay in registers and the nearest cache while the others pass


def repulsion(Y: Array, others: Array | None = None) -> tuple[Array, Array]:
    """Return the forces (c, n) on points (c, n), and Σ w of every point. O(n m c).

    Without ``others`` the points repel each other, and a point's own w of 1 is not in its sum.
    """
    own = 1 if others is None else 0
    others = Y if others is None else others
    n = Y.shape[1]
    block = min(BLOCK, n)
    blocks = jnp.pad(Y, ((0, 0), (0, -n % block))).reshape(len(Y), -1, block).swapaxes(0, 1)

    def one(points: Array) -> Array:
        def add(sums: list[Array], other: Array) -> tuple[list[Array], None]:
            differences = points - other[:, None]
            w = 1 / (1 + (differences**2).sum(axis=0))
            terms = [w, *(w * w * difference for difference in differences)]
            return [s + term for s, term in zip(sums, terms, strict=True)], None

        zeros = [jnp.zeros(block, Y.dtype)] * (1 + len(Y))
        return jnp.stack(loop.scan(add, zeros, others.T)[0])

    sums = jax.lax.map(one, blocks).swapaxes(0, 1).reshape(1 + len(Y), -1)[:, :n]
    return sums[1:], sums[0] - own
