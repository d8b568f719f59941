"""Quantiles of continuous families that NumPyro leaves to another library, or takes roughly.

    gamma    F(x) = P(a, r x)        beta     F(x) = I(a, b; x)        Student  by P(|T| > t)
    Cauchy   cot and Laplace  log of the nearer tail, half-normal  erf⁻¹(q): no digit of a small q
             is lost to q − 1/2

F without a closed inverse is inverted by bisection of the bits of a positive float, whose order is
theirs: 32 or 64 evaluations find the float at which the lesser tail, as computed, passes q.
Derivatives are those of the inverse, dQ = (dq − ∂F/∂a da) / f(Q), of any order.

Source: Johnson, Kotz & Balakrishnan (1994, 1995), *Continuous Univariate Distributions*, vol. 1,
ch. 16, 17 and 21, vol. 2, ch. 24, 25 and 28.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.scipy.special import erfinv
from jaxtyping import Array

from mastery_jax.core import loop
from mastery_jax.probability import densities
from mastery_jax.probability.incomplete import Tails

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


class _Standard(NamedTuple):
    """A family without unit: how it is inverted, and what its inverse is differentiated by."""

    solve: Callable[[Params, Array], Array]
    tails: Callable[[Params, Array], Tails]
    log_prob: Callable[[Params, Array], Array]


def gamma_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    a = p["concentration"]
    return _inverse(_GAMMA, {"concentration": a, "rate": jnp.ones_like(a)}, q) / p["rate"]


def beta_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    return _inverse(_BETA, p, q)


def student_t_quantile(p: Params, q: Array) -> Array:
    """Return x with F(x) = q. O(1)."""
    df = p["df"]
    standard = {"df": df, "loc": jnp.zeros_like(df), "scale": jnp.ones_like(df)}
    return p["loc"] + p["scale"] * _inverse(_STUDENT, standard, q)


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


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _inverse(of: _Standard, p: Params, q: Array) -> Array:
    return of.solve(p, q)


def _inverse_jvp(
    of: _Standard, given: tuple[Params, Array], tangents: tuple[Any, Any]
) -> tuple[Array, Array]:
    (p, q), (dp, dq) = given, tangents
    x = _inverse(of, p, q)
    risen = jnp.zeros_like(q) if isinstance(dq, SymbolicZero) else dq
    moved = {name: d for name, d in dp.items() if not isinstance(d, SymbolicZero)}
    if moved:
        names = {name: p[name] for name in moved}
        _, by_shape = jax.jvp(lambda some: of.tails({**p, **some}, x).lower, (names,), (moved,))
        risen = risen - by_shape
    return x, risen * jnp.exp(-of.log_prob(p, x))


_inverse.defjvp(_inverse_jvp, symbolic_zeros=True)


def _nearer(q: Array) -> Array:
    """Return the lesser of q and 1 − q; at the median its slope is that from above."""
    return jnp.where(q < 0.5, q, 1 - q)


def _by_tails(tails: Callable[[Params, Array], Tails], top: float) -> Callable[..., Array]:
    """Return what finds x in (0, top) with tails q and 1 − q, by the lesser of the two."""

    def solve(p: Params, q: Array) -> Array:
        def rises(x: Array) -> Array:
            both = tails(p, x)
            return jnp.where(q < 0.5, both.lower - q, (1 - q) - both.upper)

        return jnp.where(q < 1, jnp.where(q > 0, _positive_root(rises, q), 0), top)

    return solve


def _student_t(p: Params, q: Array) -> Array:
    tail, middle = 2 * _nearer(q), jnp.abs(2 * q - 1)

    def rises(t: Array) -> Array:
        outside, inside = densities.student_t_sides(p["df"], t)
        return jnp.where(tail < 0.5, tail - outside, inside - middle)

    distance = jnp.where(middle > 0, _positive_root(rises, q), 0)
    distance = jnp.where(tail > 0, distance, jnp.inf)
    return jnp.where(q < 0.5, -distance, distance)


def _positive_root(rises: Callable[[Array], Array], like: Array) -> Array:
    """Return the positive float at which an increasing function passes 0, to its last bit."""
    integer = jnp.dtype(f"int{jnp.finfo(like.dtype).bits}")

    def step(bounds: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        lower, upper = bounds
        middle = lower + (upper - lower) // 2
        is_below = rises(jax.lax.bitcast_convert_type(middle, like.dtype)) < 0
        return (jnp.where(is_below, middle, lower), jnp.where(is_below, upper, middle)), None

    last = jax.lax.bitcast_convert_type(jnp.full_like(like, jnp.inf), integer)
    bounds = jnp.zeros_like(last), last
    (_, upper), _ = loop.scan(step, bounds, num_steps=jnp.finfo(like.dtype).bits)
    return jax.lax.bitcast_convert_type(upper, like.dtype)


_GAMMA = _Standard(
    _by_tails(densities.gamma_scaled_tails, float("inf")),
    densities.gamma_scaled_tails,
    densities.gamma_log_prob,
)
_BETA = _Standard(
    _by_tails(densities.beta_unit_tails, 1.0),
    densities.beta_unit_tails,
    densities.beta_log_prob,
)
_STUDENT = _Standard(_student_t, densities.student_t_tails, densities.student_t_log_prob)
