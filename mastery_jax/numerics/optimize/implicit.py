"""Derivatives of a solution by the implicit function theorem, not through the search for it.

    F(x, θ) = 0   defines x(θ) where ∂F/∂x is regular:      dx/dθ = −(∂F/∂x)⁻¹ ∂F/∂θ

A solver finds x with every derivative stopped, then passes it through :func:`attach` with the
equation it meets. That holds at a root only: from a search that did not converge comes the
derivative of a nearby root, off by as much as the residual. Where bounds are active, the fixed
point of the projected gradient, x = clip(x − ∇f, l, u), has the right derivative in every variable
that does not sit on its bound with a zero gradient.

Source: Krantz & Parks (2013), *The Implicit Function Theorem*, theorem 3.3.1; Blondel et al.
(2022), *Efficient and Modular Implicit Differentiation*, eq. 2 and table 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = ["attach", "evaluate", "stop"]


@jax.jit
@checked
def attach(equation: Partial, x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return ``x`` with the derivatives of the root it is. O(1); a derivative costs O(n³).

    Args:
        equation: F as ``Partial(f, *data)``, from n numbers to n; derivatives, in both modes and
            of any order, are those with respect to the data in it.
        x: A root of it, from wherever: it has no derivative of its own.

    Returns:
        The same x. Its derivatives are infinite or NaN where ∂F/∂x is singular.

    Example:
        >>> def square(a, x):
        ...     return x**2 - a
        >>> root = jnp.array([3.0])
        >>> slope = jax.jacobian(lambda a: attach(Partial(square, a), root))(jnp.array(9.0))
        >>> round(float(slope[0]), 4)
        0.1667
    """
    return _attach(equation, jax.lax.stop_gradient(x))


def evaluate(fn: Partial, x: jax.Array, value: jax.Array) -> jax.Array:
    """Return ``value``, known to be fn(x), with the derivatives of fn(x); no call is made."""
    return _evaluate(fn, x, jax.lax.stop_gradient(value))


def stop(given: Any) -> Any:
    """Return ``given``, a tree of arrays, without derivatives: what a search runs on."""
    return jax.tree.map(jax.lax.stop_gradient, given)


@jax.custom_jvp
def _attach(equation: Partial, x: Array) -> Array:
    return x


@_attach.defjvp
def _attach_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (equation, x), (change, _) = primals, tangents
    x = _attach(equation, x)
    _, moved = jax.jvp(lambda equation: equation(x), (equation,), (change,))
    with jax.default_matmul_precision("highest"):
        return x, -jnp.linalg.solve(jax.jacfwd(equation)(x), moved)


@jax.custom_jvp
def _evaluate(fn: Partial, x: Array, value: Array) -> Array:
    return value


@_evaluate.defjvp
def _evaluate_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (fn, x, value), (change, moved, _) = primals, tangents
    _, tangent = jax.jvp(lambda fn, x: fn(x), (fn, x), (change, moved))
    return _evaluate(fn, x, value), tangent
