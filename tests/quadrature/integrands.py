"""Integrals whose value is known, and how close float64 and float32 come."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

INF = math.inf


class Known(NamedTuple):
    """An integrand and its integral."""

    fn: Any
    lower: float
    upper: float
    value: float
    rtol: float = 1e-12  # asked for in float64
    rtol32: float = 3e-6  # and in float32


KNOWN = {
    "polynomial": Known(lambda x: 5 * x**4 - 2 * x, -1.0, 2.0, 30.0),
    "exponential": Known(jnp.exp, 0.0, 1.0, math.e - 1),
    "runge": Known(lambda x: 1 / (1 + 25 * x * x), -1.0, 1.0, 0.4 * math.atan(5.0)),
    "wave": Known(lambda x: jnp.cos(30 * x) + 1, 0.0, 1.0, 1 + math.sin(30) / 30),
    "peak": Known(
        lambda x: 1e-3 / ((x - 0.3) ** 2 + 1e-6),
        0.0,
        1.0,
        math.atan(700) + math.atan(300),
        rtol32=1e-4,
    ),
    "bell": Known(lambda x: jnp.exp(-x * x), -INF, INF, math.sqrt(math.pi)),
    "cauchy": Known(lambda x: 1 / (1 + x * x), -INF, INF, math.pi),
    "decay": Known(lambda x: x * jnp.exp(-x), 0.0, INF, 1.0),
    "left": Known(lambda x: jnp.exp(2 * x), -INF, 1.0, math.exp(2) / 2),
    "planck": Known(lambda x: x**3 / jnp.expm1(x), 0.0, 80.0, math.pi**4 / 15),
    "bessel": Known(
        lambda x: jnp.cos(x - 2 * jnp.sin(x)) / math.pi, 0.0, math.pi, 0.5767248077568734
    ),
    "log": Known(jnp.log, 0.0, 1.0, -1.0, rtol=1e-10, rtol32=1e-5),
    "root": Known(jnp.sqrt, 0.0, 1.0, 2 / 3),
    "arcsine half": Known(lambda x: 1 / jnp.sqrt(x), 0.0, 1.0, 2.0, rtol=1e-8, rtol32=1e-3),
    "kink": Known(lambda x: jnp.abs(x - 0.3), 0.0, 1.0, 0.29, rtol=1e-12),
}
