"""Functions given to a solver, refused while tracing where they do not return what it needs.

Source: Nocedal & Wright (2006), *Numerical Optimization*, section 1.1 (the problem).
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

__all__ = [
    "gradient",
    "half_square",
    "linearize",
    "numbers",
    "require_at_least",
    "require_number",
    "require_vector",
]


def gradient(fn: Partial, x: jax.Array) -> jax.Array:
    """Return ∇f(x). As ``Partial(gradient, fn)`` it is the equation that a minimum meets."""
    return jax.grad(fn)(x)


def half_square(residuals: Partial, x: jax.Array) -> jax.Array:
    """Return |r(x)|² / 2; ``Partial(half_square, residuals)`` is the objective of least squares."""
    return jnp.sum(residuals(x) ** 2) / 2


def linearize(fn: Partial, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the Jacobian, and the value that comes with it. O(n) tangents of ``fn``."""

    def twice(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = fn(x)
        return value, value

    return jax.jacfwd(twice, has_aux=True)(x)


def numbers(x: jax.Array, *options: float | jax.Array) -> list[jax.Array]:
    """Return options of a search as numbers of the dtype of ``x``, without derivatives."""
    return [jax.lax.stop_gradient(jnp.asarray(option, x.dtype)) for option in options]


def require_number(where: str, fn: Partial, x: jax.Array) -> None:
    """Insist that fn(x) is one number of the dtype of ``x``.

    Raises:
        ValueError: it is not.
    """
    _require(where, fn, x, (), "one number")


def require_vector(where: str, fn: Partial, x: jax.Array, size: int | None = None) -> int:
    """Insist that fn(x) has one axis, of ``size`` if that is given; return its length.

    Raises:
        ValueError: it has not.
    """
    wanted = "a vector" if size is None else f"a vector of {size}"
    return _require(where, fn, x, (size,), wanted)[0]


def require_at_least(where: str, least: int, **budget: int) -> None:
    """Insist that a budget, given by its name, is enough to begin with.

    Raises:
        ValueError: it is not.
    """
    for name, value in budget.items():
        if value < least:
            raise ValueError(f"{where}: {name} is {value}, not at least {least}")


def _require(
    where: str, fn: Partial, x: jax.Array, shape: tuple[int | None, ...], wanted: str
) -> tuple[int, ...]:
    out = jax.eval_shape(fn, x)
    is_array = hasattr(out, "shape") and hasattr(out, "dtype")
    has_shape = is_array and len(out.shape) == len(shape)
    has_shape = has_shape and all(b in (None, a) for a, b in zip(out.shape, shape, strict=True))
    if not has_shape or out.dtype != x.dtype:
        said = f"{out.dtype}{list(out.shape)}" if is_array else f"a {type(out).__name__}"
        raise ValueError(f"{where}: the function returns {said}, not {wanted} of {x.dtype}")
    return out.shape
