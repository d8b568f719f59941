"""Fields that several tests follow, and NumPy's answer to them."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.integrate import solve_ivp

RATES = np.array([1.0, 0.5, 0.3, 0.8])
ANIMALS = np.array([1.0, 2.0])
TIMES = np.array([0.0, 0.5, 0.51, 0.9, 2.0, 3.0])


def lotka_volterra(rates, t, y):
    """Return the slopes of prey and predators, in a year that has seasons."""
    prey, predators = y[0], y[1]
    season = 1 + 0.1 * jnp.sin(t)
    return season * jnp.stack(
        [
            rates[0] * prey - rates[1] * prey * predators,
            rates[2] * prey * predators - rates[3] * predators,
        ]
    )


def exact(times=TIMES, rates=RATES, y=ANIMALS):
    """Return where DOP853 finds the animals, at a tolerance of 1e-12."""

    def slope(t, y):
        a, b, c, d = rates
        return (1 + 0.1 * np.sin(t)) * np.array(
            [a * y[0] - b * y[0] * y[1], c * y[0] * y[1] - d * y[1]]
        )

    ends = (times[0], times[-1])
    found = solve_ivp(slope, ends, y, method="DOP853", rtol=1e-12, atol=1e-12, t_eval=times)
    return found.y.T


ANIMAL_FIELD = Partial(lotka_volterra, RATES)


def linear(matrix, t, y):
    return matrix @ y


def growth(t, y):
    return y


def pole(t, y):
    """Return the slope of 1 / (1/y_0 − t)."""
    return y**2


def fall(gravity, t, y):
    """Return the slopes of a height and a speed."""
    return jnp.stack([y[1], -gravity])


def spring(t, y):
    return jnp.stack([y[1], -y[0]])


def along(loss, point, way):
    """Return the central difference of a loss, at a point, along a way."""
    ahead, behind = (
        loss(*(x + e * v for x, v in zip(point, way, strict=True))) for e in (1e-5, -1e-5)
    )
    return float(ahead - behind) / 2e-5


def directions(point, count):
    rng = np.random.default_rng(1)
    return [tuple(jnp.asarray(rng.normal(size=x.shape)) for x in point) for _ in range(count)]
