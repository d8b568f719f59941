"""A linear map of all coordinates, by its LU factors: a permutation that can be trained.

    y = P L (U + diag(σ exp(s))) x + b,    log|det ∂y/∂x| = Σ s

L is lower triangular with ones on its diagonal, U strictly upper triangular, P the order and σ the
signs that the first matrix had; both stay. Neither way needs more than two triangular products or
solves, and no determinant vanishes.

Source: Kingma & Dhariwal (2018), *Glow: Generative Flow with Invertible 1×1 Convolutions*, eq.
10-11.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Params", "forward", "init", "inverse"]


class Params(NamedTuple):
    """One layer; of ``lower`` and ``upper`` only what is off the diagonal is read."""

    lower: Float[Array, "d d"]
    upper: Float[Array, "d d"]
    log_scale: Float[Array, " d"]  # s
    shift: Float[Array, " d"]  # b, unit of y
    order: Frozen  # P, (d,) integers: y_i is the row order_i of L U x
    signs: Frozen  # σ, (d,), each 1 or −1


@partial(jax.jit, static_argnames=("dim",))
@checked
def init(key: Key[Array, ""], *, dim: int, scale: Scalar = 1.0) -> Params:
    """Draw a rotation or reflection at random, every one as likely. O(d³).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, d. Static.
        scale: By which all is stretched; > 0. Its dtype is that of the layer.
    """
    dtype = jnp.result_type(scale)
    with jax.default_matmul_precision("highest"):
        Q, R = jnp.linalg.qr(jax.random.normal(key, (dim, dim), dtype))
        rotation = Q * jnp.sign(jnp.diagonal(R))[None, :]  # else not every one is as likely
        LU, _, rows = jax.lax.linalg.lu(rotation)
    pivots = jnp.diagonal(LU)
    return Params(
        lower=jnp.tril(LU, -1),
        upper=scale * jnp.triu(LU, 1),
        log_scale=jnp.log(scale * jnp.abs(pivots)),
        shift=jnp.zeros(dim, dtype),
        order=Frozen(jnp.argsort(rows).astype(jnp.int32)),  # rotation[rows] = L U
        signs=Frozen(jnp.sign(pivots)),
    )


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats. O(d²).

    Args:
        params: From :func:`init`.
        x: One point; ``vmap`` takes many.
        context: Taken, because a chain hands it to each of its layers, and without effect.

    Example:
        >>> params = init(jax.random.key(0), dim=3, scale=2.0)
        >>> x = jnp.array([1.0, 2.0, 2.0])
        >>> y, log_det = forward(params, x)
        >>> round(float(jnp.linalg.norm(y)), 3), round(float(log_det), 3)
        (6.0, 2.079)
    """
    with jax.default_matmul_precision("highest"):
        upper = jnp.triu(params.upper, 1) @ x + _diagonal(params) * x
        y = upper + jnp.tril(params.lower, -1) @ upper
    return y[params.order.value] + params.shift, params.log_scale.sum()


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats. O(d²).

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.

    Returns:
        The point, exact to rounding times the condition of L and U; and minus the log det.
    """
    back = jnp.zeros_like(y).at[params.order.value].set(y - params.shift)
    with jax.default_matmul_precision("highest"):
        middle = solve_triangular(params.lower, back, lower=True, unit_diagonal=True)
        upper = jnp.triu(params.upper, 1) + jnp.diag(_diagonal(params))
        x = solve_triangular(upper, middle)
    return x, -params.log_scale.sum()


def _diagonal(params: Params) -> jax.Array:
    return params.signs.value * jnp.exp(params.log_scale)
