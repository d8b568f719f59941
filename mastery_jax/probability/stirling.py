"""Factorials and powers by the saddle point: log densities that keep their digits at any size.

    s(k) = log k! − k log k + k = log(2π k)/2 + δ(k),         s(0) = 0
    D(k, m) = k log(k/m) + m − k ≥ 0,                         D(0, m) = m
    log e⁻ᵐ mᵏ / k! = −s(k) − D(k, m)
    log C(n, k) pᵏ qⁿ⁻ᵏ = s(n) − s(k) − s(n − k) − D(k, n p) − D(n − k, n q)

log k! and k log m are of the size of k, and leave k ε of rounding; s and D are of the size of the
answer. D is told m − k, which the caller may know better than m and k say, and is a series in
r = (m − k)/(m + k) where those are near: D = k r (w − 2 r² (1/3 + r²/5 + …)), w = (m − k)/k.

Source: Loader (2000), *Fast and Accurate Computation of Binomial Probabilities*, eq. 4-6; δ is
that of NIST's *Digital Library of Mathematical Functions* (2010), eq. 5.11.1.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array

__all__ = [
    "binomial_log_term",
    "deviance",
    "digamma_gap",
    "expm1_less",
    "log1p_less",
    "log_beta",
    "log_gamma_ratio",
    "log_sum_of_squares",
    "poisson_log_term",
    "product_difference",
    "remainder",
    "stirling",
]

# B₂ⱼ / (2j (2j − 1)): with eight of them δ is right to 1e-17 from 10 on.
_BERNOULLI = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_FROM = 10.0
_EVEN = tuple(1 / (2 * j + 3) for j in range(17))  # 1/3, 1/5, …: to r² = 1/9 in double precision
_EXP = tuple(1 / math.factorial(j + 2) for j in range(17))  # to |u| = 1 in double precision


def stirling(k: Array) -> Array:
    """Return s(k) = log k! − k log k + k for k ≥ 0, which grows as log(2π k)/2. O(1)."""
    is_large = k >= _FROM
    small = jnp.where(is_large, 1, k)
    safe = jnp.where(small > 0, small, 1)
    direct = gammaln(small + 1) - small * jnp.log(safe) + small
    large = jnp.where(is_large, k, _FROM)
    return jnp.where(is_large, jnp.log(2 * jnp.pi * large) / 2 + _series(large), direct)


def remainder(k: Array) -> Array:
    """Return δ(k) = s(k) − log(2π k)/2 for k > 0, which falls as 1/(12 k). O(1)."""
    is_large = k >= _FROM
    large, small = jnp.where(is_large, k, _FROM), jnp.where(is_large, 1, k)
    return jnp.where(is_large, _series(large), stirling(small) - jnp.log(2 * jnp.pi * small) / 2)


def digamma_gap(a: Array) -> Array:
    """Return log a − ψ(a) for a > 0, which falls as 1/(2 a). O(1)."""
    is_large = a >= _FROM
    large, small = jnp.where(is_large, a, _FROM), jnp.where(is_large, 1, a)
    _, slope = jax.jvp(_series, (large,), (jnp.ones_like(large),))
    return jnp.where(is_large, 1 / (2 * large) - slope, jnp.log(small) - digamma(small))


def deviance(k: Array, expected: Array, excess: Array) -> Array:
    """Return D(k, m) = k log(k/m) + m − k, of m = ``expected`` and m − k = ``excess``. O(1)."""
    is_near = 3 * jnp.abs(excess) < k + expected
    near_k = jnp.where(is_near, k, 1)
    r = jnp.where(is_near, excess / jnp.where(is_near, k + expected, 1), 0)
    near = r * (excess - 2 * near_k * r**2 * _polynomial(r**2, _EVEN))
    has_log = ~is_near & (k > 0)
    ratio = jnp.where(has_log, jnp.log(jnp.where(has_log, k, 1)), 0)
    ratio = ratio - jnp.where(has_log, jnp.log(jnp.where(has_log, expected, 1)), 0)
    return jnp.where(is_near, near, jnp.where(has_log, k * ratio, 0) + excess)


def poisson_log_term(k: Array, expected: Array, excess: Array) -> Array:
    """Return log e⁻ᵐ mᵏ / k! of m = ``expected`` and m − k = ``excess``. O(1)."""
    return -stirling(k) - deviance(k, expected, excess)


def binomial_log_term(k: Array, rest: Array, p: Array, q: Array, excess: Array) -> Array:
    """Return log C(n, k) pᵏ qʳ, r = n − k = ``rest``, p + q = 1, n p − k = ``excess``. O(1)."""
    n = k + rest
    near = deviance(k, n * p, excess) + deviance(rest, n * q, -excess)
    return stirling(n) - stirling(k) - stirling(rest) - near


def log_beta(a: Array, b: Array) -> Array:
    """Return log B(a, b). O(1)."""
    n, small, large = a + b, jnp.minimum(a, b), jnp.maximum(a, b)
    powers = small * jnp.log(small / n) - large * jnp.log1p(small / large)
    front = (math.log(2 * math.pi) - jnp.log(large / n) - jnp.log(small)) / 2
    return front + powers + remainder(a) + remainder(b) - remainder(n)


def log_gamma_ratio(z: Array) -> Array:
    """Return log Γ(z + 1/2) − log Γ(z) − log(z)/2, which goes to 0 as −1/(8 z). O(1)."""
    half = 1 / (2 * z)
    return z * log1p_less(half) + remainder(z + 0.5) - remainder(z)


def log_sum_of_squares(z: Array) -> Array:
    """Return log(1 + z²), also where z² is no number. O(1)."""
    is_far = jnp.abs(z) > 1 / jnp.finfo(z.dtype).eps
    far = 2 * jnp.log(jnp.where(is_far, jnp.abs(z), 1))
    return jnp.where(is_far, far, jnp.log1p(jnp.where(is_far, 0, z) ** 2))


def log1p_less(w: Array) -> Array:
    """Return log(1 + w) − w ≤ 0, with all digits near 0. O(1)."""
    is_near = (w > -0.5) & (w < 1)
    near_w, far = jnp.where(is_near, w, 0), jnp.where(is_near, 1, w)
    r = near_w / (2 + near_w)
    near = r * (2 * r**2 * _polynomial(r**2, _EVEN) - near_w)
    return jnp.where(is_near, near, jnp.log1p(far) - far)


def expm1_less(u: Array) -> Array:
    """Return eᵘ − 1 − u ≥ 0, with all digits near 0. O(1)."""
    is_near = jnp.abs(u) < 1
    near, far = jnp.where(is_near, u, 0), jnp.where(is_near, 1, u)
    return jnp.where(is_near, near**2 * _polynomial(near, _EXP), jnp.expm1(far) - far)


@jax.custom_jvp
def product_difference(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Return a b − c d, rounded about once, where the products cancel. O(1)."""
    ab, ab_error = _exact_product(a, b)
    cd, cd_error = _exact_product(c, d)
    return (ab - cd) + (ab_error - cd_error)


@product_difference.defjvp
def _product_difference_jvp(
    given: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[Array, Array]:
    (a, b, c, d), (da, db, dc, dd) = given, tangents
    return product_difference(a, b, c, d), a * db + b * da - c * dd - d * dc


def _exact_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the rounded product, and what rounding left of it (Dekker's, by masked halves)."""
    (a_head, a_tail), (b_head, b_tail) = _halves(a), _halves(b)
    product = a * b
    left = a_head * b_head - product
    left = left + a_head * b_tail + a_tail * b_head + a_tail * b_tail
    return product, jnp.where(jnp.isfinite(product), left, 0)


def _halves(x: Array) -> tuple[Array, Array]:
    """Return two floats of half as many digits, whose sum is x."""
    info = jnp.finfo(x.dtype)
    integer = jnp.dtype(f"int{info.bits}")
    mask = jnp.asarray(-(1 << (info.nmant // 2 + 1)), integer)
    head = jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, integer) & mask, x.dtype)
    return head, x - head


def _series(k: Array) -> Array:
    return _polynomial(1 / k**2, _BERNOULLI) / k


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """Return Σ cⱼ xʲ, by Horner's rule."""
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
