"""Functions that the tests of this folder share."""

import jax.numpy as jnp


def rosenbrock(scale, x):
    return (scale * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def quadratic(matrix, target, x):
    return (x * (matrix * x[None, :]).sum(axis=1)).sum() / 2 - (target * x).sum()


def saddle(tilt, x):
    """Go down two valleys from a saddle at 0, where the Hessian is indefinite."""
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2 + tilt * x[1]


def logarithm(scale, x):
    """Be undefined for x ≤ 0, and least at x = scale."""
    return (x - scale * jnp.log(x)).sum()


def well(matrix, target, x):
    """Be strictly convex, and steeper than a quadratic."""
    return quadratic(matrix, target, x) + (x**4).sum() / 4


def disk(radius, x):
    """Be zero on a circle."""
    return (x**2).sum(keepdims=True) - radius**2


def decay(t, y, x):
    """Be the residuals of an exponential decay."""
    return x[0] * jnp.exp(-x[1] * t) - y
