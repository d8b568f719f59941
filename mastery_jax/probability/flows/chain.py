"""A chain of bijections, and the density that it carries from its base.

    x = f_k(… f_1(z)),    z ~ base
    log p(x) = log base(z) − Σ log|det ∂f_i|

The chain is a block of bijections, applied as often as their parameters are stacked. Applying
compiles the block once, however often it is repeated. A context, where there is one, goes to every
layer.

Source: Papamakarios et al. (2021), *Normalizing Flows for Probabilistic Modeling and Inference*,
JMLR 22(57), eq. 3 and 6-10.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.probability.flows import base as bases

__all__ = [
    "Bijection",
    "Block",
    "forward",
    "inverse",
    "log_prob",
    "sample",
    "sample_and_log_prob",
]


class Bijection(Protocol):
    """What a chain is made of: any module of this room with these two, or an object."""

    @property
    def forward(self) -> Callable[..., tuple[Any, Any]]:
        """(params, x, *, context) -> (y, log_det)."""
        ...

    @property
    def inverse(self) -> Callable[..., tuple[Any, Any]]:
        """(params, y, *, context) -> (x, log_det)."""
        ...


class Block(NamedTuple):
    """A chain as one bijection: a layer of another chain, or of ``inverted.Inverted``."""

    layers: tuple[Any, ...]  # Bijection

    def forward(self, params: Any, x: Any, *, context: Any = None) -> tuple[Any, Any]:
        """Return what :func:`forward` does."""
        return forward(params, x, layers=self.layers, context=context)

    def inverse(self, params: Any, y: Any, *, context: Any = None) -> tuple[Any, Any]:
        """Return what :func:`inverse` does."""
        return inverse(params, y, layers=self.layers, context=context)


@partial(jax.jit, static_argnames=("layers",))
@checked
def forward(
    params: tuple[Any, ...],
    x: Float[Array, " d"],
    *,
    layers: tuple[Bijection, ...],
    context: Float[Array, " c"] | None = None,
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Costs what its layers do.

    Args:
        params: One pytree for each of ``layers``, every leaf with a leading axis: the repeats.
        x: One point; ``vmap`` takes many.
        layers: The block of bijections, in the order in which they are applied. Static.
        context: Handed to every layer.

    Raises:
        ValueError: there is not one pytree for each layer, or they are not stacked alike.

    Example:
        >>> import jax
        >>> from mastery_jax.probability.flows import chain, planar
        >>> keys = jax.random.split(jax.random.key(0), 8)
        >>> params = jax.vmap(lambda key: planar.init(key, dim=2))(keys)
        >>> y, log_det = chain.forward((params,), jax.numpy.zeros(2), layers=(planar,))
        >>> y.shape, log_det.shape
        ((2,), ())
    """
    _insist("chain.forward", params, layers)

    def block(x, params):
        return _compose([layer.forward for layer in layers], params, x, context)

    y, log_dets = loop.scan(block, x, params)
    return y, log_dets.sum()


@partial(jax.jit, static_argnames=("layers",))
@checked
def inverse(
    params: tuple[Any, ...],
    y: Float[Array, " d"],
    *,
    layers: tuple[Bijection, ...],
    context: Float[Array, " c"] | None = None,
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats; see :func:`forward`."""
    _insist("chain.inverse", params, layers)

    def block(y, params):
        return _compose([layer.inverse for layer in layers[::-1]], params[::-1], y, context)

    x, log_dets = loop.scan(block, y, jax.tree.map(lambda leaf: leaf[::-1], params))
    return x, log_dets.sum()


@partial(jax.jit, static_argnames=("layers",))
@checked
def log_prob(
    params: tuple[Any, ...],
    x: Float[Array, " d"],
    *,
    layers: tuple[Bijection, ...],
    base: Any = None,
    context: Float[Array, " c"] | None = None,
) -> Float[Array, ""]:
    """Return the log density of the image of the base, in nats, at the cost of :func:`inverse`.

    Args:
        params: As in :func:`forward`.
        x: One point; ``vmap`` takes many.
        layers: As in :func:`forward`. Static.
        base: Parameters of ``base``, whose type says which density; None is a standard normal.
        context: Handed to every layer.
    """
    z, log_det = inverse(params, x, layers=layers, context=context)
    return log_det + bases.log_prob(_base(base, z.size, z.dtype), z)


@partial(jax.jit, static_argnames=("layers", "dim", "shape"))
@checked
def sample(
    key: Key[Array, ""],
    params: tuple[Any, ...],
    *,
    layers: tuple[Bijection, ...],
    dim: int,
    shape: tuple[int, ...] = (),
    base: Any = None,
    context: Float[Array, " c"] | None = None,
) -> Float[Array, "*shape d"]:
    """Draw points from the density of :func:`log_prob`, each at the cost of :func:`forward`.

    Args:
        key: Consumed.
        params: As in :func:`forward`; they give the dtype.
        layers: As in :func:`forward`. Static.
        dim: Number of coordinates of a point. Static.
        shape: How many points, in which shape. Static.
        base: As in :func:`log_prob`.
        context: One, for all of the points; ``vmap`` takes many.
    """
    found = _draw(key, params, layers, dim, shape, base, context)
    return found[0].reshape(*shape, dim)


@partial(jax.jit, static_argnames=("layers", "dim", "shape"))
@checked
def sample_and_log_prob(
    key: Key[Array, ""],
    params: tuple[Any, ...],
    *,
    layers: tuple[Bijection, ...],
    dim: int,
    shape: tuple[int, ...] = (),
    base: Any = None,
    context: Float[Array, " c"] | None = None,
) -> tuple[Float[Array, "*shape d"], Float[Array, "*shape"]]:
    """Draw points and tell their log densities, in one pass and without an inverse.

    Args:
        key: Consumed.
        params: As in :func:`forward`; they give the dtype.
        layers: As in :func:`forward`. Static.
        dim: Number of coordinates of a point. Static.
        shape: How many points, in which shape. Static.
        base: As in :func:`log_prob`.
        context: One, for all of the points; ``vmap`` takes many.

    Returns:
        What :func:`sample` returns for the same key, and the log density of each point in nats.
    """
    x, z, log_det, start = _draw(key, params, layers, dim, shape, base, context)
    log_probs = jax.vmap(lambda z: bases.log_prob(start, z))(z) - log_det
    return x.reshape(*shape, dim), log_probs.reshape(shape)


def _draw(
    key: Any, params: Any, layers: Any, dim: int, shape: Any, base: Any, context: Any
) -> tuple[Any, Any, Any, Any]:
    """Return the points, where each came from, the log dets, and the base."""
    floats = [leaf for leaf in jax.tree.leaves(params) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    start = _base(base, dim, jnp.result_type(*floats) if floats else jnp.result_type(0.0))
    z = bases.sample(key, start, shape=shape).reshape(-1, dim)
    run = partial(forward, params, layers=layers, context=context)
    x, log_det = jax.vmap(run)(z)
    return x, z, log_det, start


def _base(base: Any, dim: int, dtype: Any) -> Any:
    if base is None:
        return bases.Normal(jnp.zeros(dim, dtype), jnp.zeros(dim, dtype))
    return base


def _compose(
    functions: list[Callable[..., tuple[Any, Any]]], params: tuple[Any, ...], x: Any, context: Any
) -> tuple[jax.Array, jax.Array]:
    log_det = jnp.zeros((), x.dtype)
    for function, own in zip(functions, params, strict=True):
        x, change = function(own, x, context=context)
        log_det += change
    return x, log_det


def _insist(where: str, params: tuple[Any, ...], layers: tuple[Bijection, ...]) -> None:
    if len(params) != len(layers):
        raise ValueError(f"{where}: params has {len(params)} parts for {len(layers)} layers")
    repeats = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(params)}
    if len(repeats) != 1 or () in repeats:
        raise ValueError(f"{where}: params have leading axes {sorted(repeats)}, not one of repeats")
