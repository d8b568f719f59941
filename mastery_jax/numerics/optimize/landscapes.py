"""Test functions of optimization: valleys, plateaus and many minima, with bounds and known answers.

    rosenbrock   Σ 100 (x_i+1 − x_i²)² + (1 − x_i)²
    ackley       −20 exp(−0.2 √(Σ x_i²/n)) − exp(Σ cos(2π x_i)/n) + 20 + e
    rastrigin    Σ x_i² − 10 cos(2π x_i) + 10
    branin       (x₂ − 5.1 x₁²/4π² + 5 x₁/π − 6)² + 10 (1 − 1/8π) cos x₁ + 10
    hartmann3    −Σ_k a_k exp(−Σ_i A_ki (x_i − P_ki)²)
    six_hump_camel, beale, himmelblau: polynomials of two variables

Rosenbrock, Ackley and Rastrigin take any n; the others say theirs in ``PROBLEMS``.

Source: Rosenbrock (1960), *The Computer Journal* 3, 175-184; Ackley (1987), *A Connectionist
Machine for Genetic Hillclimbing*; Rastrigin (1974), *Systems of Extremal Control*; Dixon & Szegö
(1978), *Towards Global Optimization 2* (Branin, Hartmann, six-hump camel); Beale (1958), *On an
Iterative Method for Finding a Local Minimum*; Himmelblau (1972), *Applied Nonlinear Programming*,
problem 11.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = [
    "PROBLEMS",
    "Problem",
    "ackley",
    "beale",
    "branin",
    "hartmann3",
    "himmelblau",
    "rastrigin",
    "rosenbrock",
    "six_hump_camel",
]


class Problem(NamedTuple):
    """What is known of a test function; its bounds and minimizers are tuples of floats."""

    lower: tuple[float, ...]  # of each variable; one entry where n is free: the same for all
    upper: tuple[float, ...]
    minimum: float  # value at every minimizer
    minimizers: tuple[tuple[float, ...], ...]  # one entry each where n is free


PROBLEMS = {
    "ackley": Problem((-32.768,), (32.768,), 0.0, ((0.0,),)),
    "beale": Problem((-4.5, -4.5), (4.5, 4.5), 0.0, ((3.0, 0.5),)),
    "branin": Problem(
        (-5.0, 0.0),
        (10.0, 15.0),
        5 / (4 * math.pi),
        ((-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)),
    ),
    "hartmann3": Problem(
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        -3.862779787332663,
        ((0.1145888793, 0.5556488953, 0.8525469855),),
    ),
    "himmelblau": Problem(
        (-5.0, -5.0),
        (5.0, 5.0),
        0.0,
        (
            (3.0, 2.0),
            (-2.8051180869, 3.1313125183),
            (-3.7793102534, -3.2831859913),
            (3.5844283403, -1.8481265270),
        ),
    ),
    "rastrigin": Problem((-5.12,), (5.12,), 0.0, ((0.0,),)),
    "rosenbrock": Problem((-5.0,), (10.0,), 0.0, ((1.0,),)),
    "six_hump_camel": Problem(
        (-3.0, -2.0),
        (3.0, 2.0),
        -1.0316284534898774,
        ((0.0898420131, -0.7126564030), (-0.0898420131, 0.7126564030)),
    ),
}
"""Bounds and minima by the function's name."""


@jax.jit
@checked
def rosenbrock(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Return a curved valley with a flat floor, n ≥ 2; 0 at (1, …, 1). O(n).

    Example:
        >>> rosenbrock(jnp.array([-1.0, 1.0, 1.0]))
        Array(4., dtype=float32)
    """
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@jax.jit
@checked
def ackley(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Return a cone under ripples; 0 at the origin, where it has no gradient (NaN). O(n)."""
    spread, ripples = jnp.sqrt((x**2).mean()), jnp.cos(2 * jnp.pi * x).mean()
    return -20 * jnp.expm1(-0.2 * spread) - jnp.exp(1.0) * jnp.expm1(ripples - 1)


@jax.jit
@checked
def rastrigin(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Return a bowl with a minimum at nearly every integer point; 0 at the origin. O(n)."""
    return (x**2 - 10 * jnp.cos(2 * jnp.pi * x) + 10).sum()


@jax.jit
@checked
def branin(x: Float[Array, "2"]) -> Float[Array, ""]:
    """Return a function with three equal minima of 5/4π."""
    a, b = x
    bend = b - 5.1 / (4 * jnp.pi**2) * a**2 + 5 / jnp.pi * a - 6
    return bend**2 + 10 * (1 - 1 / (8 * jnp.pi)) * jnp.cos(a) + 10


@jax.jit
@checked
def hartmann3(x: Float[Array, "3"]) -> Float[Array, ""]:
    """Return minus four bumps in the unit cube; -3.86278 at the deepest of four minima."""
    weights = jnp.array([1.0, 1.2, 3.0, 3.2], x.dtype)
    narrow = jnp.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]], x.dtype)
    centers = jnp.array(
        [
            [0.3689, 0.1170, 0.2673],
            [0.4699, 0.4387, 0.7470],
            [0.1091, 0.8732, 0.5547],
            [0.0381, 0.5743, 0.8828],
        ],
        x.dtype,
    )
    return -(weights * jnp.exp(-(narrow * (x[None, :] - centers) ** 2).sum(axis=1))).sum()


@jax.jit
@checked
def six_hump_camel(x: Float[Array, "2"]) -> Float[Array, ""]:
    """Return a polynomial with six minima, two of them the least, of -1.0316."""
    a, b = x
    return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (4 * b**2 - 4) * b**2


@jax.jit
@checked
def beale(x: Float[Array, "2"]) -> Float[Array, ""]:
    """Return a plateau with sharp corners; 0 at (3, 1/2)."""
    a, b = x
    return (1.5 - a * (1 - b)) ** 2 + (2.25 - a * (1 - b**2)) ** 2 + (2.625 - a * (1 - b**3)) ** 2


@jax.jit
@checked
def himmelblau(x: Float[Array, "2"]) -> Float[Array, ""]:
    """Return a polynomial with four minima of 0."""
    a, b = x
    return (a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2
