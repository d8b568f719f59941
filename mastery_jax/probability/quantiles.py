"""Quantiles of continuous families that NumPyro leaves to another library, or takes roughly.

    gamma    F(x) = P(a, r x)        beta     F(x) = I_x(a, b)
    Student  P(|T| > t) = I_{ν/(ν + t²)}(ν/2, 1/2), near the center 1 − I_{t²/(ν + t²)}(1/2, ν/2)
    Cauchy   cot and Laplace  log of the nearer tail, half-normal  erf⁻¹(q): no digit of a small q
             is lost to q − 1/2

F without a closed inverse is inverted by bisection of the bits of a positive float, whose order is
theirs: 32 or 64 evaluations find the nearest float; derivatives by the implicit function theorem.

Source: Johnson, Kotz & Balakrishnan (1994, 1995), *Continuous Univariate Distributions*, vol. 1,
ch. 16, 17 and 21, vol. 2, ch. 24, 25 and 28.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, erfinv, gammainc
from jaxtyping import Array

from mastery_jax.core import loop

__all__ = [
    "beta_quantile",
    "cauchy_quantile",
    "gamma_quantile",
    "half_normal_quantile",
    "laplace_quantile",
    "student_t_quantile",
    "weibull_quantile",
]

Params = dict[str, Array]


def gamma_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""

    def rises(x: Array) -> Array:
        return gammainc(p["concentration"], x) - q

    return jnp.where(q < 1, _positive_root(rises, q), jnp.inf) / p["rate"]


def beta_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""

    def rises(x: Array) -> Array:
        return betainc(p["concentration1"], p["concentration0"], jnp.minimum(x, 1)) - q

    return jnp.where(q < 1, _positive_root(rises, q), 1)


def student_t_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    df, tail, inside = p["df"], 2 * _nearer(q), jnp.abs(2 * q - 1)
    half = jnp.full_like(df, 0.5)

    def rises(t: Array) -> Array:
        square = t / df * t
        is_near = square < 1
        near = betainc(half, df / 2, jnp.where(is_near, square / (1 + square), 0.5)) - inside
        far = tail - betainc(df / 2, half, jnp.where(is_near, 0.5, 1 / (1 + square)))
        return jnp.where(is_near, near, far)

    distance = jnp.where(tail > 0, _positive_root(rises, q), jnp.inf)
    return p["loc"] + p["scale"] * jnp.where(q < 0.5, -distance, distance)


def cauchy_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    tail = _nearer(q)
    distance = jnp.where(tail > 0, 1 / jnp.tan(jnp.pi * jnp.where(tail > 0, tail, 0.5)), jnp.inf)
    return p["loc"] + p["scale"] * jnp.where(q < 0.5, -distance, distance)


def laplace_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    distance = -jnp.log(2 * _nearer(q))
    return p["loc"] + p["scale"] * jnp.where(q < 0.5, -distance, distance)


def half_normal_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    return p["scale"] * 2**0.5 * erfinv(q)


def weibull_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    return p["scale"] * (-jnp.log1p(-q)) ** (1 / p["concentration"])


def _nearer(q: Array) -> Array:
    """Return the lesser of q and 1 − q; at the median its slope is that from above."""
    return jnp.where(q < 0.5, q, 1 - q)


def _positive_root(rises: Callable[[Array], Array], like: Array) -> Array:
    """Return the positive float at which an increasing function passes 0, to its last bit."""
    integer = jnp.dtype(f"int{jnp.finfo(like.dtype).bits}")

    def solve(f: Callable[[Array], Array], _: Array) -> Array:
        def step(bounds: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            lower, upper = bounds
            middle = lower + (upper - lower) // 2
            is_below = f(jax.lax.bitcast_convert_type(middle, like.dtype)) < 0
            return (jnp.where(is_below, middle, lower), jnp.where(is_below, upper, middle)), None

        last = jax.lax.bitcast_convert_type(jnp.full_like(like, jnp.inf), integer)
        bounds = jnp.zeros_like(last), last
        (_, upper), _ = loop.scan(step, bounds, num_steps=jnp.finfo(like.dtype).bits)
        return jax.lax.bitcast_convert_type(upper, like.dtype)

    return jax.lax.custom_root(
        rises, jnp.ones_like(like), solve, lambda slope, y: y / slope(jnp.ones_like(y))
    )
