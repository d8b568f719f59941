"""Covariance functions of Gaussian processes, and their algebra: sums, products, numbers.

    RBF         exp(−r²/2)
    Matern12    exp(−r)
    Matern32    (1 + u) exp(−u),              u = √3 r
    Matern52    (1 + u + u²/3) exp(−u),       u = √5 r
    Periodic    exp(−2 Σ_i sin²(π (x_i − z_i) / p_i) / l_i²)
    Linear      Σ_i v_i x_i z_i
    Constant    v
    White       v if x and z are one and the same observation, else 0

with r² = Σ_i (x_i − z_i)² / l_i². A kernel is data: a NamedTuple of hyperparameters, all positive,
each one number or one for every coordinate; a lengthscale of ∞ leaves a coordinate out. The
stationary kernels have variance 1: ``Product((Constant(v), RBF(l)))`` scales one. Anything else
may be a ``Partial(k, *data)``, called as ``k(*data, x, z, is_same)`` with coordinates last.

Derivatives are finite and right where x = z: those of Matern's kernels with respect to r² need no
square root, d(k_5/2)/du² = −k_3/2 / 6 and d(k_3/2)/du² = −k_1/2 / 2. The kink of Matern12 itself
is given slope 0.

Source: Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, section 4.2
(eq. 4.9, 4.14, 4.17, 4.31), and 4.2.4 on sums and products.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import Scalar, checked

__all__ = [
    "RBF",
    "Constant",
    "Kernel",
    "Linear",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Product",
    "Sum",
    "White",
    "cross",
    "diagonal",
    "gram",
]

PerCoordinate = Scalar | Float[Array, " d"]
MAX_UNROLLED = 8  # coordinates that are summed one by one, five times faster than along an axis


class Constant(NamedTuple):
    """The same covariance everywhere: a level, or a factor of another kernel."""

    variance: Scalar  # v, squared unit of y


class White(NamedTuple):
    """Noise of each observation, independent of all others."""

    variance: Scalar  # v, squared unit of y


class Linear(NamedTuple):
    """Slopes that are normal, and a line through the origin."""

    variance: PerCoordinate  # v, squared unit of y per squared unit of x


class RBF(NamedTuple):
    """Infinitely smooth functions."""

    lengthscale: PerCoordinate  # l, unit of x


class Matern12(NamedTuple):
    """Continuous functions without a slope: the Ornstein-Uhlenbeck process."""

    lengthscale: PerCoordinate  # l, unit of x


class Matern32(NamedTuple):
    """Functions with a slope."""

    lengthscale: PerCoordinate  # l, unit of x


class Matern52(NamedTuple):
    """Functions with a slope and a curvature."""

    lengthscale: PerCoordinate  # l, unit of x


class Periodic(NamedTuple):
    """Functions that repeat themselves along every coordinate."""

    period: PerCoordinate  # p, unit of x
    lengthscale: PerCoordinate  # l, without unit


class Sum(NamedTuple):
    """Independent functions, added."""

    parts: tuple["Kernel", ...]


class Product(NamedTuple):
    """The covariance of independent functions, multiplied."""

    parts: tuple["Kernel", ...]


Kernel = (
    Constant
    | White
    | Linear
    | RBF
    | Matern12
    | Matern32
    | Matern52
    | Periodic
    | Sum
    | Product
    | Partial
)


@jax.jit
@checked
def gram(
    kernel: Kernel,
    X: Float[Array, "n d"],
    *,
    noise: Scalar | Float[Array, " n"] = 0.0,
    is_observed: Bool[Array, " n"] | None = None,
) -> Float[Array, "n n"]:
    """Return the covariance of observations at the rows of ``X``. O(n² d).

    Args:
        kernel: One of this module, or a Partial. White noise is on the diagonal.
        X: One row per observation.
        noise: More variance on the diagonal, such as a known error of each observation, or a
            jitter, ≥ 0; nothing is added that is not named here.
        is_observed: False for rows that only fill up an array. Such a row is replaced by one of
            the identity: independent of all others, of variance 1.

    Returns:
        The covariance; NaN on the diagonal where a noise is negative.

    Raises:
        ValueError: a hyperparameter has neither one entry nor one per coordinate, or ``kernel``
            is none.

    Example:
        >>> kernel = Sum((Product((Constant(2.0), RBF(lengthscale=1.0))), White(variance=0.5)))
        >>> gram(kernel, jnp.array([[0.0], [1.0]]))
        Array([[2.5      , 1.2130613],
               [1.2130613, 2.5      ]], dtype=float32)
    """
    eye = jnp.eye(len(X), dtype=X.dtype)
    more = jnp.broadcast_to(jnp.asarray(noise, X.dtype), (len(X),))
    more = jnp.where(more >= 0, more, jnp.nan)
    if is_observed is not None:  # else what other rows hold would come into slopes
        X, more = jnp.where(is_observed[:, None], X, 0), jnp.where(is_observed, more, 0)
    matrix = _covariance(kernel, X[:, None, :], X[None, :, :], eye > 0)
    matrix = jnp.broadcast_to(matrix, eye.shape) + eye * more[None, :]
    if is_observed is None:
        return matrix
    return jnp.where(is_observed[:, None] & is_observed[None, :], matrix, eye)


@jax.jit
@checked
def cross(kernel: Kernel, X: Float[Array, "n d"], Z: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Return the covariance of the function at the rows of ``X`` and of ``Z``. O(n m d).

    No noise is shared, also where a row of one equals a row of the other.
    """
    is_same = jnp.zeros((1, 1), bool)
    matrix = _covariance(kernel, X[:, None, :], Z[None, :, :], is_same)
    return jnp.broadcast_to(matrix, (len(X), len(Z)))


@jax.jit
@checked
def diagonal(kernel: Kernel, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the variance of the function, without noise, at every row. O(n d)."""
    return jnp.broadcast_to(_covariance(kernel, X, X, jnp.zeros(1, bool)), (len(X),))


def _covariance(kernel: Kernel, x: Array, z: Array, is_same: Array) -> Array:
    """Return k(x, z) over all axes but the last; ``is_same`` has those axes."""
    match kernel:
        case Constant(variance):
            return jnp.full_like(is_same, _per(variance, x), dtype=x.dtype)
        case White(variance):
            return jnp.where(is_same, _per(variance, x), 0)
        case Linear(variance):
            return (_per(variance, x) * x * z).sum(axis=-1)
        case RBF(lengthscale):
            return jnp.exp(-_distance2(lengthscale, x, z) / 2)
        case Matern12(lengthscale):
            return _matern12(_distance2(lengthscale, x, z))
        case Matern32(lengthscale):
            return _matern32(3 * _distance2(lengthscale, x, z))
        case Matern52(lengthscale):
            return _matern52(5 * _distance2(lengthscale, x, z))
        case Periodic(period, lengthscale):
            wave = jnp.sin(jnp.pi * (x - z) / _per(period, x)) / _per(lengthscale, x)
            return jnp.exp(-2 * (wave**2).sum(axis=-1))
        case Sum(parts) | Product(parts):
            combine = jnp.add if isinstance(kernel, Sum) else jnp.multiply
            return functools.reduce(combine, (_covariance(part, x, z, is_same) for part in parts))
        case Partial():
            return kernel(x, z, is_same)
    raise ValueError(f"kernels: a kernel is {type(kernel).__name__}, not one of this module")


def _per(value: PerCoordinate, x: Array) -> Array:
    """Return a hyperparameter that can stand beside ``x``."""
    value = jnp.asarray(value, x.dtype)
    if value.ndim == 0:
        return value
    if value.shape != x.shape[-1:]:
        raise ValueError(
            f"kernels: a hyperparameter has shape {list(value.shape)}, neither [] nor "
            f"[{x.shape[-1]}], one for each coordinate"
        )
    return value.reshape((1,) * (x.ndim - 1) + value.shape)


def _distance2(lengthscale: PerCoordinate, x: Array, z: Array) -> Array:
    """Return r². Differences are squared: |x|² + |z|² − 2 x·z would lose what is close.

    They are divided first: 1 / l² alone may be out of range where their quotient is not.
    """
    per = jnp.broadcast_to(_reciprocal(_per(lengthscale, x)), (*[1] * (x.ndim - 1), x.shape[-1]))
    if x.shape[-1] > MAX_UNROLLED:
        return ((per * (x - z)) ** 2).sum(axis=-1)
    columns = zip(*(jnp.moveaxis(a, -1, 0) for a in (per, x, z)), strict=True)
    return functools.reduce(jnp.add, ((w * (u - v)) ** 2 for w, u, v in columns))


@jax.custom_jvp
def _reciprocal(x: Array) -> Array:
    return 1 / x


@_reciprocal.defjvp
def _reciprocal_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Multiply twice: a square of the reciprocal would be out of range before its product is."""
    per = _reciprocal(*primals)
    return per, -(tangents[0] * per) * per


def _root(u2: Array) -> Array:
    is_positive = u2 > 0
    return jnp.where(is_positive, jnp.sqrt(jnp.where(is_positive, u2, 1)), 0)


def _matern12(u2: Array) -> Array:
    return jnp.exp(-_root(u2))


@jax.custom_jvp
def _matern32(u2: Array) -> Array:
    u = _root(u2)
    return (1 + u) * jnp.exp(-u)


@_matern32.defjvp
def _matern32_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _matern32(*primals), -_matern12(*primals) / 2 * tangents[0]


@jax.custom_jvp
def _matern52(u2: Array) -> Array:
    u = _root(u2)
    return (1 + u + u2 / 3) * jnp.exp(-u)


@_matern52.defjvp
def _matern52_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _matern52(*primals), -_matern32(*primals) / 6 * tangents[0]
