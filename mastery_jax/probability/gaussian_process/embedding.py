"""Mean embeddings: what a kernel becomes when one argument, or both, are integrated out.

    z(x) = ∫ k(x, t) dμ(t)        zz = ∬ k dμ dμ

in closed form, for sums and multiples of these kernels (White noise is no part of a function and
adds 0):

    RBF, box               z = Π l √(π/2) (erf((b − x)/√2 l) − erf((a − x)/√2 l))
                           zz = Π 2 l² (exp(−t²) − 1 + √π t erf t),    t = (b − a)/√2 l
    RBF, normal N(m, s²)   z = Π l/w exp(−(x − m)²/2w²),   w² = l² + s²,     zz = Π l/√(l² + 2 s²)
    Matern, interval       z = I(x − a) + I(b − x),   zz = 2 ∫₀^(b−a) I,     I(t) = ∫₀ᵗ k

Source: Briol et al. (2019), *Probabilistic Integration*, Stat. Sci. 34(1), table 1; Rasmussen &
Ghahramani (2003), *Bayesian Monte Carlo*, eq. 9-10.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.probability.gaussian_process import kernels

__all__ = ["Box", "Measure", "Normal", "energy", "mean", "total"]


class Box(NamedTuple):
    """∫ f dx over a box: its measure is its volume."""

    lower: Float[Array, " d"]  # unit of x
    upper: Float[Array, " d"]


class Normal(NamedTuple):
    """The expectation of f(x) for independent normal coordinates."""

    mean: Float[Array, " d"]  # unit of x
    scale: Float[Array, " d"]  # standard deviations


Measure = Box | Normal
Matern = kernels.Matern12 | kernels.Matern32 | kernels.Matern52


@jax.jit
@checked
def mean(kernel: kernels.Kernel, measure: Measure, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return ∫ k(x, x_i) dμ(x) for every row x_i. O(n d).

    Raises:
        ValueError: it has no closed form here.
    """
    match kernel:
        case kernels.Sum(parts):
            return functools.reduce(jnp.add, (mean(part, measure, X) for part in parts))
        case kernels.Product():
            factor, rest = _split(kernel, measure)
            return factor * mean(rest, measure, X)
        case kernels.Constant(variance):
            return jnp.full_like(X[:, 0], variance) * total(measure)
        case kernels.White():
            return jnp.zeros_like(X[:, 0])
        case kernels.RBF(lengthscale):
            length = _lengths(lengthscale, X)[None, :]
            return _rbf_means(length, measure, X).prod(axis=1)
        case kernels.Matern12() | kernels.Matern32() | kernels.Matern52():
            lower, upper = _interval(kernel, measure)
            x = X[:, 0]
            return _matern_integrals(kernel, x - lower)[0] + _matern_integrals(kernel, upper - x)[0]
    raise _no_closed_form(kernel, measure)


@jax.jit
@checked
def energy(kernel: kernels.Kernel, measure: Measure) -> Float[Array, ""]:
    """Return ∬ k dμ dμ, the variance of the integral before any value is seen. O(d).

    Raises:
        ValueError: it has no closed form here.
    """
    match kernel:
        case kernels.Sum(parts):
            return functools.reduce(jnp.add, (energy(part, measure) for part in parts))
        case kernels.Product():
            factor, rest = _split(kernel, measure)
            return factor * energy(rest, measure)
        case kernels.Constant(variance):
            return jnp.asarray(variance, measure[0].dtype) * total(measure) ** 2
        case kernels.White():
            return jnp.zeros_like(measure[0][0])
        case kernels.RBF(lengthscale):
            return _rbf_variances(_lengths(lengthscale, measure[0][None, :]), measure).prod()
        case kernels.Matern12() | kernels.Matern32() | kernels.Matern52():
            lower, upper = _interval(kernel, measure)
            return 2 * _matern_integrals(kernel, upper - lower)[1]
    raise _no_closed_form(kernel, measure)


@jax.jit
@checked
def total(measure: Measure) -> Float[Array, ""]:
    """Return μ(1): the volume of the box, or 1. O(d)."""
    match measure:
        case Box(lower, upper):
            return (upper - lower).prod()
        case Normal(mean):
            return jnp.ones_like(mean[0])


def _split(
    kernel: kernels.Product, measure: Measure
) -> tuple[kernels.PerCoordinate, kernels.Kernel]:
    """Return the constants of a product as one factor, and the one kernel that is left."""
    constants = [part.variance for part in kernel.parts if isinstance(part, kernels.Constant)]
    others = [part for part in kernel.parts if not isinstance(part, kernels.Constant)]
    if len(others) > 1:
        raise _no_closed_form(kernel, measure)
    dtype = measure[0].dtype
    factor = functools.reduce(jnp.multiply, (jnp.asarray(v, dtype) for v in constants), 1)
    return factor, others[0] if others else kernels.Constant(1.0)


def _lengths(lengthscale: kernels.PerCoordinate, X: Array) -> Array:
    return jnp.broadcast_to(jnp.asarray(lengthscale, X.dtype), X.shape[1:])


def _rbf_means(length: Array, measure: Measure, X: Array) -> Array:
    match measure:
        case Box(lower, upper):
            root = length * math.sqrt(2)
            ends = erf((upper[None, :] - X) / root) - erf((lower[None, :] - X) / root)
            return length * math.sqrt(math.pi / 2) * ends
        case Normal(mean, scale):
            width2 = length**2 + scale[None, :] ** 2
            return length / jnp.sqrt(width2) * jnp.exp(-((X - mean[None, :]) ** 2) / (2 * width2))


def _rbf_variances(length: Array, measure: Measure) -> Array:
    match measure:
        case Box(lower, upper):
            t = (upper - lower) / (length * math.sqrt(2))
            return 2 * length**2 * (jnp.expm1(-(t**2)) + math.sqrt(math.pi) * t * erf(t))
        case Normal(_, scale):
            return length / jnp.sqrt(length**2 + 2 * scale**2)


def _interval(kernel: kernels.Kernel, measure: Measure) -> tuple[Array, Array]:
    if not isinstance(measure, Box) or len(measure.lower) != 1:
        raise _no_closed_form(kernel, measure)
    return measure.lower[0], measure.upper[0]


def _matern_integrals(kernel: Matern, t: Array) -> tuple[Array, Array]:
    """Return I(t), the integral of k over distances up to t, and that of I: odd, and even."""
    scale = jnp.asarray(kernel.lengthscale, t.dtype).reshape(())
    side = jnp.where(t < 0, -1, 1).astype(t.dtype)
    t = side * t
    match kernel:
        case kernels.Matern12():
            unit, s = scale, t / scale
            decay = jnp.exp(-s)
            first, second = 1 - decay, s - (1 - decay)
        case kernels.Matern32():
            unit = scale / math.sqrt(3)
            s = t / unit
            decay = jnp.exp(-s)
            first, second = 2 - (2 + s) * decay, 2 * s - (3 - (3 + s) * decay)
        case _:
            unit = scale / math.sqrt(5)
            s = t / unit
            decay = jnp.exp(-s)
            first = (8 - (8 + 5 * s + s**2) * decay) / 3
            second = 8 / 3 * s - (5 - (5 + 7 / 3 * s + s**2 / 3) * decay)
    return side * unit * first, unit**2 * second


def _no_closed_form(kernel: kernels.Kernel, measure: Measure) -> ValueError:
    over = f"a {type(measure).__name__} of {len(measure[0])} dimensions"
    return ValueError(
        f"embedding: kernel is {type(kernel).__name__}, whose integral over {over} is not known "
        "in closed form"
    )
