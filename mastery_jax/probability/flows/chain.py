"""A chain of bijections, and the density that it carries from a standard normal.

    x = f_k(… f_1(z)),    z ~ N(0, I)
    log p(x) = log N(z; 0, I) − Σ log|det ∂f_i|

The chain is a block of bijections, applied as often as their parameters are stacked. Applying
compiles the block once, however often it is repeated.

Source: Papamakarios et al. (2021), *Normalizing Flows for Probabilistic Modeling and Inference*,
JMLR 22(57), eq. 3 and 6-10.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["Bijection", "forward", "inverse", "log_prob", "sample"]


class Bijection(Protocol):
    """What a chain is made of: any module (``planar``, ``affine_coupling``) with these two."""

    @property
    def forward(self) -> Callable[..., tuple[Any, Any]]:
        """(params, x) -> (y, log_det)."""
        ...

    @property
    def inverse(self) -> Callable[..., tuple[Any, Any]]:
        """(params, y) -> (x, log_det)."""
        ...


@partial(jax.jit, static_argnames=("layers",))
@checked
def forward(
    params: tuple[Any, ...], x: Float[Array, " d"], *, layers: tuple[Bijection, ...]
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Args:
        params: One pytree for each of ``layers``, every leaf with a leading axis: the repeats.
        x: One point; ``vmap`` takes many.
        layers: The block of bijections, in the order in which they are applied.

    Example:
        >>> import jax
        >>> from mastery_jax.probability.flows import chain, planar
        >>> keys = jax.random.split(jax.random.key(0), 8)
        >>> params = jax.vmap(lambda key: planar.init(key, dim=2))(keys)
        >>> y, log_det = chain.forward((params,), jax.numpy.zeros(2), layers=(planar,))
        >>> y.shape, log_det.shape
        ((2,), ())
    """

    def block(x, params):
        return _compose([layer.forward for layer in layers], params, x)

    y, log_dets = loop.scan(block, x, params)
    return y, log_dets.sum()


@partial(jax.jit, static_argnames=("layers",))
@checked
def inverse(
    params: tuple[Any, ...], y: Float[Array, " d"], *, layers: tuple[Bijection, ...]
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats; see :func:`forward`."""

    def block(y, params):
        return _compose([layer.inverse for layer in layers[::-1]], params[::-1], y)

    x, log_dets = loop.scan(block, y, jax.tree.map(lambda leaf: leaf[::-1], params))
    return x, log_dets.sum()


@partial(jax.jit, static_argnames=("layers",))
@checked
def log_prob(
    params: tuple[Any, ...], x: Float[Array, " d"], *, layers: tuple[Bijection, ...]
) -> Float[Array, ""]:
    """Return the log density of the image of a standard normal, in nats; see :func:`forward`."""
    z, log_det = inverse(params, x, layers=layers)
    return log_det - (z**2 + jnp.log(2 * jnp.pi).astype(z.dtype)).sum() / 2


@partial(jax.jit, static_argnames=("layers", "dim", "shape"))
@checked
def sample(
    key: Key[Array, ""],
    params: tuple[Any, ...],
    *,
    layers: tuple[Bijection, ...],
    dim: int,
    shape: tuple[int, ...] = (),
) -> Float[Array, "*shape d"]:
    """Draw points from the density of :func:`log_prob`.

    Args:
        key: Consumed.
        params: As in :func:`forward`; they give the dtype.
        layers: As in :func:`forward`.
        dim: Number of coordinates of a point.
        shape: How many points, in which shape.
    """
    z = jax.random.normal(key, (*shape, dim), jnp.result_type(*jax.tree.leaves(params)))
    points = z.reshape(-1, dim)
    return jax.vmap(lambda z: forward(params, z, layers=layers)[0])(points).reshape(z.shape)


def _compose(
    functions: list[Callable[..., tuple[Any, Any]]], params: tuple[Any, ...], x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    log_det = jnp.zeros((), x.dtype)
    for function, own in zip(functions, params, strict=True):
        x, change = function(own, x)
        log_det += change
    return x, log_det
