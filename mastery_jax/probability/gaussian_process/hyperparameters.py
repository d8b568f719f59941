"""A kernel's hyperparameters as one vector of logarithms in a box, and their common scale.

    θ = log h,     log l ≤ θ ≤ log u,     K(θ + s c) = exp(s) K(θ)

c is 1 at one variance of every term of a kernel, and 0 elsewhere: along it the whole covariance is
multiplied, and the likeliest s is known in closed form. A kernel with a term of fixed variance
has no such direction. Where l = u nothing is searched: the hyperparameter keeps that value, which
may be infinite.

Source: Jones, Schonlau & Welch (1998), J. Glob. Optim. 13, eq. 3-5 (the likeliest scale).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from mastery_jax.probability.gaussian_process import kernels

__all__ = ["Space", "ends", "insert", "make", "scaling"]

NEAR = 1e-3  # of a logarithm: an end so close to a bound is held by it


class Space(NamedTuple):
    """Where hyperparameters may be, in the order of ``jax.flatten_util.ravel_pytree``."""

    first: Float[Array, " p"]  # logarithms of the kernel given; 0 where a value is held
    lower: Float[Array, " p"]  # logarithms; 0 where a value is held
    upper: Float[Array, " p"]
    held: Float[Array, " p"]  # values, in use where the bounds are equal
    is_held: Bool[Array, " p"]
    is_valid: Bool[Array, ""]  # bounds do not cross, and all is above 0


def make(
    where: str, kernel: kernels.Kernel, lower: Any, upper: Any, dtype: jax.typing.DTypeLike
) -> Space:
    """Return the space of a kernel. O(p).

    Raises:
        ValueError: from ``where``: an entry of the kernel is not a number with a fraction, or
            bounds are neither one number nor a kernel of the same form.
    """
    for leaf in jax.tree.leaves(kernel):
        array = jnp.asarray(leaf)
        if not (jnp.issubdtype(array.dtype, jnp.floating) or _is_plain_integer(array)):
            raise ValueError(
                f"{where}: kernel holds {jax.typeof(array).str_short()}, and a hyperparameter is "
                "a float"
            )
    here, low, high = (
        _flat(where, name, tree, kernel, dtype)
        for name, tree in (("kernel", kernel), ("lower", lower), ("upper", upper))
    )
    is_held = low == high
    is_valid = ((here > 0) & (low > 0) & (low <= high)).all()
    first, bottom, top = (
        jnp.log(jnp.where(is_held | ~is_valid, 1, flat)) for flat in (here, low, high)
    )
    return Space(first, bottom, top, high, is_held, is_valid)


def insert(kernel: kernels.Kernel, space: Space, logs: jax.Array) -> kernels.Kernel:
    """Return the kernel with the hyperparameters of these logarithms in place of its own. O(p)."""
    like = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), logs.dtype), kernel)
    return ravel_pytree(like)[1](jnp.where(space.is_held, space.held, jnp.exp(logs)))


def ends(kernel: kernels.Kernel, space: Space, logs: jax.Array) -> kernels.Kernel:
    """Return, for each hyperparameter, whether it is at a bound, and is not one that is held."""
    is_near = (logs <= space.lower + NEAR) | (logs >= space.upper - NEAR)
    like = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), bool), kernel)
    return ravel_pytree(like)[1](is_near & ~space.is_held)


def scaling(kernel: kernels.Kernel, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Return c, or zeros where a term of the kernel has a variance of its own. O(p)."""
    tree, is_scaled = _scaling(kernel)
    flat = ravel_pytree(tree)[0].astype(dtype)
    return flat if is_scaled else jnp.zeros_like(flat)


def _scaling(kernel: kernels.Kernel) -> tuple[kernels.Kernel, bool]:
    none = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf)), kernel)
    match kernel:
        case kernels.Constant() | kernels.White() | kernels.Linear():
            return jax.tree.map(jnp.ones_like, none), True
        case kernels.Sum(parts):
            trees, are_scaled = zip(*map(_scaling, parts), strict=True)
            return kernels.Sum(trees), all(are_scaled)
        case kernels.Product(parts):
            found = [_scaling(part) for part in parts]
            scaled = [i for i, (_, is_scaled) in enumerate(found) if is_scaled]
            own = zip(found, none.parts, strict=True)
            trees = (t if scaled[:1] == [i] else zero for i, ((t, _), zero) in enumerate(own))
            return kernels.Product(tuple(trees)), bool(scaled)
    return none, False


def _flat(where: str, name: str, tree: Any, kernel: kernels.Kernel, dtype: Any) -> jax.Array:
    """Return numbers of a kernel's form, or one number for all, as a vector."""
    if jax.tree.structure(tree) != jax.tree.structure(kernel):
        if jax.tree.structure(tree) != jax.tree.structure(0) or jnp.ndim(tree):
            raise ValueError(
                f"{where}: {name} is {type(tree).__name__}, neither a number nor a kernel of the "
                f"form of the {type(kernel).__name__} given"
            )
        tree = jax.tree.map(lambda _: tree, kernel)
    filled = jax.tree.map(
        lambda leaf, like: jnp.broadcast_to(jnp.asarray(leaf, dtype), jnp.shape(like)), tree, kernel
    )
    return ravel_pytree(filled)[0]


def _is_plain_integer(array: jax.Array) -> bool:
    """Say whether an entry is a Python integer: the float of that value."""
    return array.weak_type and array.ndim == 0 and jnp.issubdtype(array.dtype, jnp.integer)
