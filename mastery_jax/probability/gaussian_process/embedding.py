"""Mean embeddings: what a kernel becomes when one argument, or both, are integrated out.

    z(x) = ∫ k(x, t) dμ(t)        zz = ∬ k dμ dμ

in closed form, for sums and multiples of these kernels (White noise is no part of a function and
adds 0):

    RBF, box               z = Π l √(π/2) (erf((b − x)/√2 l) − erf((a − x)/√2 l))
                           zz = Π 2 l² (exp(−t²) − 1 + √π t erf t),    t = (b − a)/√2 l
    RBF, normal N(m, s²)   z = Π l/w exp(−(x − m)²/2w²),   w² = l² + s²,     zz = Π l/√(l² + 2 s²)
    Matern, interval       z = I(x − a) + I(b − x),   zz = 2 ∫₀^(b−a) I,     I(t) = ∫₀ᵗ k

Where a lengthscale is long these are differences of nearly equal numbers; the power series of the
kernel, integrated term by term, takes their place, and holds for a lengthscale of ∞ too.

Source: Briol et al. (2019), *Probabilistic Integration*, Stat. Sci. 34(1), table 1; Rasmussen &
Ghahramani (2003), *Bayesian Monte Carlo*, eq. 9-10.
"""

import functools
import math
from collections.abc import Sequence
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
SHORT = 2.0  # lengthscales of a Matern kernel, below which its series is summed
NUM_TERMS = 28  # of it: those left out are 1e-17 of the sum at most


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
            is_finite = jnp.isfinite(length)
            own = jnp.where(is_finite, length, 1)
            root = own * math.sqrt(2)
            ends = erf((upper[None, :] - X) / root) - erf((lower[None, :] - X) / root)
            return jnp.where(
                is_finite, own * math.sqrt(math.pi / 2) * ends, (upper - lower)[None, :]
            )
        case Normal(mean, scale):
            ratio2 = 1 + (scale[None, :] / length) ** 2
            return jnp.exp(-(((X - mean[None, :]) / length) ** 2) / (2 * ratio2)) / jnp.sqrt(ratio2)


def _rbf_variances(length: Array, measure: Measure) -> Array:
    match measure:
        case Box(lower, upper):
            width = upper - lower
            t = width / (length * math.sqrt(2))
            is_short = jnp.abs(t) < 1
            t2 = jnp.where(is_short, t, 0) ** 2
            series = [1 / (math.factorial(k + 1) * (2 * k + 1)) for k in range(18)]
            near = _alternating(series, t2)
            far = jnp.where(is_short, 1, t)
            closed = (jnp.expm1(-(far**2)) + math.sqrt(math.pi) * far * erf(far)) / far**2
            return width**2 * jnp.where(is_short, near, closed)
        case Normal(_, scale):
            return 1 / jnp.sqrt(1 + 2 * (scale / length) ** 2)


def _interval(kernel: kernels.Kernel, measure: Measure) -> tuple[Array, Array]:
    if not isinstance(measure, Box) or len(measure.lower) != 1:
        raise _no_closed_form(kernel, measure)
    return measure.lower[0], measure.upper[0]


def _matern_integrals(kernel: Matern, t: Array) -> tuple[Array, Array]:
    """Return I(t), the integral of k over distances up to t, and that of I: odd, and even."""
    scale = jnp.asarray(kernel.lengthscale, t.dtype).reshape(())
    side = jnp.where(t < 0, -1, 1).astype(t.dtype)
    t = side * t
    match kernel:  # k(s) = (1 + b s + c s²) exp(−s)
        case kernels.Matern12():
            unit, (b, c) = scale, (0, 0)
        case kernels.Matern32():
            unit, (b, c) = scale / math.sqrt(3), (1, 0)
        case _:
            unit, (b, c) = scale / math.sqrt(5), (1, 1 / 3)
    is_short = t < SHORT * unit
    terms = [(1 - b * j + c * j * (j - 1)) / math.factorial(j) for j in range(NUM_TERMS)]
    near = jnp.where(is_short, t, 0)
    s = near / unit
    first = near * _alternating([v / (j + 1) for j, v in enumerate(terms)], s)
    second = near**2 * _alternating([v / (j + 1) / (j + 2) for j, v in enumerate(terms)], s)
    far, own = jnp.where(is_short, SHORT, t), jnp.where(is_short, 1, unit)
    s = far / own
    total, moment = 1 + b + 2 * c, 1 + 2 * b + 6 * c  # of k, and of s k, over all distances
    tail = (total + (b + 2 * c) * s + c * s**2) * jnp.exp(-s)  # of k, beyond s
    tails = (moment + (b + 4 * c) * s + c * s**2) * jnp.exp(-s)  # of all tails, beyond s
    return (
        side * jnp.where(is_short, first, own * (total - tail)),
        jnp.where(is_short, second, own**2 * (total * s - moment + tails)),
    )


def _alternating(coefficients: Sequence[float], x: Array) -> Array:
    """Return Σ_j (−1)^j c_j x^j."""
    powers = [jnp.asarray((-1) ** j * c, x.dtype) for j, c in enumerate(coefficients)]
    return functools.reduce(lambda inner, c: c + x * inner, reversed(powers))


def _no_closed_form(kernel: kernels.Kernel, measure: Measure) -> ValueError:
    over = f"a {type(measure).__name__} of {len(measure[0])} dimensions"
    return ValueError(
        f"embedding: kernel is {type(kernel).__name__}, whose integral over {over} is not known "
        "in closed form"
    )
