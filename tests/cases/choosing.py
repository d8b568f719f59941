"""What integrands look like; the oracles are NumPy's Chebyshev interpolation, SciPy and sums."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from numpy.polynomial import chebyshev
from scipy import signal

from mastery_jax.numerics.quadrature.choosing import box_features, features
from tests.contract import Case

MEASURED = "a fit above the rounding of each dtype, of places found by comparing: no derivative"


def bump(rate, x):
    return jnp.exp(-rate * (x - 0.4) ** 2) + jnp.cos(7 * x)


def bump_by_numpy(x):
    return np.exp(-3.0 * (x - 0.4) ** 2) + np.cos(7 * x)


def bend(rate, x):
    return rate * jnp.abs(x - 0.3) + jnp.where(x > 0.7, rate, 0)


def blend(rate, x):
    return jnp.exp(-rate * x[0]) + x[1] ** 2


def shape_of(fn, lower, upper):
    """Return what has a closed form or another code."""
    found, marks = features.measure(fn, lower, upper)
    return found.num_modes, found.num_turns, found.is_finite, marks.degrees[:12]


def shape_by_numpy(fn, lower, upper):
    x = np.linspace(lower, upper, 20_001)
    y = bump_by_numpy(x)
    tops, holes = (len(signal.find_peaks(s * y, prominence=0.01 * np.ptp(y))[0]) for s in (1, -1))
    half = (upper - lower) / 2
    found = chebyshev.chebinterpolate(lambda t: bump_by_numpy(lower + half * (t + 1)), 127)
    envelope = np.maximum.accumulate(np.abs(found)[::-1])[::-1]
    # Over the largest value at the nodes.
    share = (np.arange(128) + 0.5) / 128
    nodes = np.concatenate([(1 - np.cos(np.pi * share)) / 2, share])
    scale = np.abs(bump_by_numpy(lower + 2 * half * nodes)).max()
    return tops, tops + holes, 1.0, envelope[:12] / scale


def places_of(fn, lower, upper):
    found, marks = features.measure(fn, lower, upper)
    return found.num_jumps, found.num_kinks, marks.jumps[0], marks.kinks[0]


def axes_of(fn, lower, upper):
    """Return counts, and how the coefficients of x_1² fall: x² = 3/8 + T_1/2 + T_2/8 on [0, 1]."""
    found, marks = box_features.measure(fn, lower, upper)
    sizes = marks.degrees[1]
    return found.num_dims, found.num_active, found.is_finite, sizes[1] / sizes[2]


CASES: tuple[Case, ...] = (
    Case(
        "features.measure",
        shape_of,
        (Partial(bump, np.array(3.0)), np.array(-1.0), np.array(2.0)),
        oracle=shape_by_numpy,
        modes=(),
        because=MEASURED,
    ),
    Case(
        "features.measure places",
        places_of,
        (Partial(bend, np.array(0.8)), np.array(0.0), np.array(1.0)),
        oracle=lambda fn, a, b: (1.0, 1.0, 0.7, 0.3),
        modes=(),
        because=MEASURED,
    ),
    Case(
        "box_features.measure",
        axes_of,
        (Partial(blend, np.array(0.8)), np.zeros(2), np.ones(2)),
        oracle=lambda fn, a, b: (2.0, 2.0, 1.0, 4.0),
        modes=(),
        because=MEASURED,
    ),
)
