"""Genz's six families of integrands over the unit cube, and their integrals.

    oscillatory     cos(2π u_1 + Σ a_i x_i)             product_peak   Π 1 / (a_i^−2 + (x_i − u_i)²)
    corner_peak     (1 + Σ a_i x_i)^−(d+1)              gaussian       exp(−Σ a_i² (x_i − u_i)²)
    continuous      exp(−Σ a_i |x_i − u_i|)             discontinuous  exp(Σ a_i x_i), 0 where
                                                                       x_1 > u_1 or x_2 > u_2

a sets how hard an integrand is, u where its feature lies.

Source: Genz (1984), *Testing multidimensional integration routines*, in *Tools, Methods and
Languages for Scientific and Engineering Computation*, 81, table 1; (1987) in *Numerical
Integration*, 337.
"""

import itertools
import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = [
    "Family",
    "continuous",
    "corner_peak",
    "discontinuous",
    "gaussian",
    "integral",
    "oscillatory",
    "product_peak",
]

Family = Literal[
    "oscillatory", "product_peak", "corner_peak", "gaussian", "continuous", "discontinuous"
]

Vector = Float[Array, " d"]


@jax.jit
@checked
def oscillatory(a: Vector, u: Vector, x: Vector) -> Float[Array, ""]:
    """Return cos(2π u_1 + a·x). O(d)."""
    return jnp.cos(2 * jnp.pi * u[0] + (a * x).sum())


@jax.jit
@checked
def product_peak(a: Vector, u: Vector, x: Vector) -> Float[Array, ""]:
    """Return the product of 1 / (a_i^−2 + (x_i − u_i)²), a_i ≠ 0. O(d)."""
    return (1 / (a**-2 + (x - u) ** 2)).prod()


@jax.jit
@checked
def corner_peak(a: Vector, u: Vector, x: Vector) -> Float[Array, ""]:
    """Return (1 + a·x)^−(d+1), a_i > 0; u plays no part. O(d)."""
    del u
    return (1 + (a * x).sum()) ** -(len(a) + 1)


@jax.jit
@checked
def gaussian(a: Vector, u: Vector, x: Vector) -> Float[Array, ""]:
    """Return exp(−Σ a_i² (x_i − u_i)²). O(d)."""
    return jnp.exp(-((a * (x - u)) ** 2).sum())


@jax.jit
@checked
def continuous(a: Vector, u: Vector, x: Vector) -> Float[Array, ""]:
    """Return exp(−Σ a_i |x_i − u_i|). O(d)."""
    return jnp.exp(-(a * jnp.abs(x - u)).sum())


@jax.jit
@checked
def discontinuous(a: Vector, u: Vector, x: Vector) -> Float[Array, ""]:
    """Return exp(a·x), and 0 where one of the first two coordinates is beyond u. O(d)."""
    return jnp.where((x[:2] > u[:2]).any(), 0, jnp.exp((a * x).sum()))


@partial(jax.jit, static_argnames=("family",))
@checked
def integral(a: Vector, u: Vector, *, family: Family) -> Float[Array, ""]:
    """Return the integral over the unit cube in closed form. O(d); O(2^d d) for ``corner_peak``.

    Args:
        a: Difficulties, > 0.
        u: Places, in [0, 1].
        family: The name of a function of this module. Static.

    Returns:
        The integral. That of ``corner_peak`` alternates in sign and loses digits as d grows.

    Raises:
        ValueError: no such family.

    Example:
        >>> a, u = jnp.array([1.0, 2.0]), jnp.array([0.3, 0.6])
        >>> round(float(integral(a, u, family="gaussian")), 4)
        0.6531
    """
    formulas = {
        "oscillatory": lambda: (
            jnp.cos(2 * jnp.pi * u[0] + a.sum() / 2) * (jnp.sin(a / 2) * 2 / a).prod()
        ),
        "product_peak": lambda: (a * (jnp.arctan(a * (1 - u)) + jnp.arctan(a * u))).prod(),
        "corner_peak": lambda: _corner(a),
        "gaussian": lambda: (math.sqrt(math.pi) / 2 * (erf(a * (1 - u)) + erf(a * u)) / a).prod(),
        "continuous": lambda: ((2 - jnp.exp(-a * u) - jnp.exp(-a * (1 - u))) / a).prod(),
        "discontinuous": lambda: _below(a, u),
    }
    if family not in formulas:
        raise ValueError(f"genz.integral: family is {family!r}, not one of {sorted(formulas)}")
    return formulas[family]()


def _corner(a: Array) -> Array:
    """Integrate d times: an alternating sum over the corners of the cube."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=len(a))))
    signs = jnp.asarray((-1) ** corners.sum(axis=1), a.dtype)
    reach = 1 + (jnp.asarray(corners, a.dtype) * a[None, :]).sum(axis=1)
    return (signs / reach).sum() / (a.prod() * math.factorial(len(a)))


def _below(a: Array, u: Array) -> Array:
    """Integrate up to u along the first two axes, up to 1 along the others."""
    top = jnp.where(jnp.arange(len(a)) < 2, u, 1)
    return (jnp.expm1(a * top) / a).prod()
