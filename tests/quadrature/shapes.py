"""Integrands of one program: which of them, and its parameter, are data."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial


def bell(x, at, width):
    return jnp.exp(-0.5 * ((x - at) / width) ** 2)


def bumps(p, x):
    return sum(jnp.where(i < p, bell(x, (i + 0.5) / 5, 0.02), 0) for i in range(5))


SHAPES = {
    "kink": lambda p, x: jnp.abs(x - p),
    "step": lambda p, x: jnp.where(x > p, 1.0, 0.0) + x * x,
    "both": lambda p, x: jnp.where(x > p, 1.0, 0.0) + jnp.abs(x - 0.7),
    "runge": lambda p, x: 1 / (1 + p * (2 * x - 1) ** 2),
    "exp": lambda p, x: jnp.exp(p * x),
    "power": lambda p, x: x**p,
    "log": lambda p, x: p * jnp.log(x),
    "bell": lambda p, x: bell(x, 0.37, p),
    "bumps": bumps,
    "wave": lambda p, x: jnp.cos(p * x),
    "periodic": lambda p, x: jnp.exp(p * jnp.sin(2 * jnp.pi * x)),
    "steep": lambda p, x: jnp.tanh((x - 0.4) / p),
    "nan": lambda p, x: jnp.where(x > p, jnp.nan, x),
    "constant": lambda p, x: p + 0 * x,
    "lorentz": lambda p, x: p / ((x - 0.37) ** 2 + p * p),
    "two": lambda p, x: bell(x, 0.37, p) + bell(x, 0.77, p) / 2,
}
NAMES = list(SHAPES)


def integrand(index, data, x):
    p, stretch, shift, height = data
    cast = [lambda p, x, f=f: jnp.asarray(f(p, x), x.dtype) for f in SHAPES.values()]
    return height * jax.lax.switch(index, cast, p, (x - shift) / stretch)


def made(name, p, *, stretch=1.0, shift=0.0, height=1.0, dtype="float64"):
    """Return an integrand and its ends: [0, 1], stretched and shifted."""
    data = tuple(jnp.asarray(each, dtype) for each in (p, stretch, shift, height))
    fn = Partial(integrand, jnp.asarray(NAMES.index(name), jnp.int32), data)
    return fn, data[2], data[2] + data[1]
