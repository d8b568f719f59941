"""Sylvester flow: several ridges at once, along directions that are orthogonal to each other.

    y = x + Q R tanh(R̃ Qᵀx + b)
    log|det ∂y/∂x| = Σ_i log(1 + R_ii R̃_ii (1 − tanh²(R̃ Qᵀx + b)_i))

Q has m orthonormal columns, the Q of a QR factorization of ``directions``; R and R̃ are upper
triangular. R_ii is constrained as the û of a planar flow is, so that R_ii R̃_ii > −1 whatever the
parameters; m = 1 is a planar flow. Since R and R̃ are triangular, Qᵀx is found from its last
coordinate to its first, one bisection each; what is not in the span of Q does not move.

Source: van den Berg, Hasenclever, Tomczak & Welling (2018), *Sylvester Normalizing Flows for
Variational Inference*, eq. 9-14, where the diagonals of R and R̃ are bounded by tanh.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows import ridge

__all__ = ["Params", "forward", "init", "inverse"]


class Params(NamedTuple):
    """One layer, before its constraints; below their diagonals R and R̃ are not read."""

    directions: Float[Array, "d m"]  # of full rank; Q spans the same space
    out: Float[Array, "m m"]  # R, unit of x, before the constraint of its diagonal
    into: Float[Array, "m m"]  # R̃, per unit of x
    b: Float[Array, " m"]  # offsets of the ridges


@partial(jax.jit, static_argnames=("dim", "num_ridges"))
@checked
def init(key: Key[Array, ""], *, dim: int, num_ridges: int, scale: Scalar = 0.1) -> Params:
    """Draw a layer at random. O(d m).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, d. Static.
        num_ridges: m, from 1 to d. Static.
        scale: Standard deviation of ``out``; 0 gives the identity. Its dtype is that of the layer.

    Raises:
        ValueError: ``num_ridges`` is not from 1 to ``dim``.
    """
    if not 1 <= num_ridges <= dim:
        raise ValueError(f"sylvester.init: num_ridges is {num_ridges}, not from 1 to dim, {dim}")
    keys, dtype = jax.random.split(key, 4), jnp.result_type(scale)
    square = (num_ridges, num_ridges)
    return Params(
        directions=jax.random.normal(keys[0], (dim, num_ridges), dtype),
        out=scale * jax.random.normal(keys[1], square, dtype),
        into=jax.random.normal(keys[2], square, dtype),
        b=jax.random.normal(keys[3], (num_ridges,), dtype),
    )


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats. O(d m²).

    Args:
        params: From :func:`init`, or any finite numbers with ``directions`` of full rank.
        x: One point; ``vmap`` takes many, and factorizes once.
        context: Taken, because a chain hands it to each of its layers, and without effect.

    Example:
        >>> params = init(jax.random.key(0), dim=4, num_ridges=2, scale=1.0)
        >>> x = jnp.arange(4.0)
        >>> y, log_det = forward(params, x)
        >>> back, log_det_back = inverse(params, y)
        >>> bool(jnp.allclose(back, x, atol=1e-5)), bool(abs(log_det + log_det_back) < 1e-5)
        (True, True)
    """
    with jax.default_matmul_precision("highest"):
        Q, R, into, flattest = _factors(params)
        heights = jnp.tanh(into @ (Q.T @ x) + params.b)
        y = x + Q @ (R @ heights)
    return y, ridge.log_slope(heights, flattest).sum()


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats. O(d m²), by m bisections.

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.

    Returns:
        The point, exact to rounding, magnified where a ridge is nearly flat and handed on from
        one ridge to the next; and minus the log det of ``forward`` there.
    """
    with jax.default_matmul_precision("highest"):
        Q, R, into, flattest = _factors(params)
        targets = Q.T @ y

        def step(found, i):
            z, heights = found
            offset = params.b[i] + into[i] @ z
            target = targets[i] - R[i] @ heights
            t = ridge.root(flattest[i] - 1, offset, into[i, i] * target)
            height = jnp.tanh(t + offset)
            return (z.at[i].set(target - R[i, i] * height), heights.at[i].set(height)), None

        start = (jnp.zeros_like(targets), jnp.zeros_like(targets))
        (_, heights), _ = loop.scan(step, start, jnp.arange(targets.size)[::-1])
        x = y - Q @ (R @ heights)
    return x, -ridge.log_slope(heights, flattest).sum()


def _factors(params: Params) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return Q, R, R̃ and 1 + R_ii R̃_ii > 0."""
    if params.directions.shape[0] < params.directions.shape[1]:
        d, m = params.directions.shape
        raise ValueError(
            f"sylvester: params have {m} directions in {d} coordinates, not at most {d}"
        )
    Q, _ = jnp.linalg.qr(params.directions)
    u, w = jnp.diagonal(params.out), jnp.diagonal(params.into)
    R = jnp.triu(params.out, 1) + jnp.diag(ridge.constrain(u, w, u * w, w**2))
    return Q, R, jnp.triu(params.into), ridge.gain(u * w)
