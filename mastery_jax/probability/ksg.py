"""Mutual information of continuous variables, from the distances between samples.

    I(X; Y) ≈ ψ(k) + ψ(n) − mean_i [ ψ(n_x(i) + 1) + ψ(n_y(i) + 1) ]

ε(i) is the distance from sample i to its k-th neighbor in the plane of both variables, the largest
of |x − x_i| and |y − y_i| (and of their coordinates, where they have several); n_x(i) counts the
other samples with |x − x_i| strictly less than ε(i), n_y(i) likewise. Each side may be stretched:
only the order of distances within it matters to its count, but stretching one side changes which
neighbors are nearest, so put both on one scale first.

Source: Kraskov, Stögbauer & Grassberger (2004), Phys. Rev. E 69, 066138, eq. 8 (algorithm 1).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["mutual_information"]


@partial(jax.jit, static_argnames=("k", "batch_size"))
@checked
def mutual_information(
    X: Float[Array, "n p"], Y: Float[Array, "n q"], *, k: int = 3, batch_size: int = 256
) -> Float[Array, ""]:
    """Estimate I(X; Y) by exact nearest neighbors. O(n² (p + q)), memory O(n batch_size).

    Piecewise constant in the samples: its derivative is 0.

    Args:
        X: One sample a row; standardize it.
        Y: The same samples, the other variable.
        k: Which neighbor sets the scale: a small k has little bias, a large k little variance.
            Static.
        batch_size: Samples whose distances are held at once. Static.

    Returns:
        Nats; may be a little below 0, which is not clipped. NaN where a sample is not finite.
        Samples at exactly distance ε do not count, and repeated samples have ε = 0: data with
        ties (rounded, or discrete) need a little noise first, which nothing here adds.

    Raises:
        ValueError: k is not in 1 … n − 1, or the rows disagree.

    Example:
        >>> x = jnp.sin(jnp.arange(64.0))[:, None]
        >>> bool(abs(mutual_information(x, x) - (digamma(64) - digamma(3))) < 1e-5)  # all there is
        True
    """
    size = len(X)
    if not 1 <= k < size:
        raise ValueError(f"ksg.mutual_information: k is {k}, not in 1 … n − 1 = {size - 1}")
    if batch_size < 1:
        raise ValueError(f"ksg.mutual_information: batch_size is {batch_size}, not at least 1")

    def counted(at: tuple[Array, Array, Array]) -> Array:
        index, x, y = at
        is_self = jnp.arange(size) == index
        far_x, far_y = (jnp.where(is_self, jnp.inf, _distances(v, V)) for v, V in ((x, X), (y, Y)))
        nearest, _ = jax.lax.top_k(-jnp.maximum(far_x, far_y), k)
        counts = jnp.stack([(far < -nearest[-1]).sum() for far in (far_x, far_y)])
        return digamma(counts.astype(X.dtype) + 1).sum()

    seen = jax.lax.map(counted, (jnp.arange(size), X, Y), batch_size=min(batch_size, size))
    known = digamma(jnp.array([k, size], X.dtype)).sum()
    is_finite = jnp.isfinite(X).all() & jnp.isfinite(Y).all()
    return jnp.where(is_finite, known - seen.mean(), jnp.nan)


def _distances(point: Array, points: Array) -> Array:
    """Return the largest coordinate difference to every row, never holding all differences."""

    def widen(far: Array, column: tuple[Array, Array]) -> tuple[Array, None]:
        at, values = column
        return jnp.maximum(far, jnp.abs(values - at)), None

    return loop.scan(widen, jnp.zeros_like(points[:, 0]), (point, points.T))[0]
