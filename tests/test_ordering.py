"""Floats sorted as integers stand in NumPy's order: signed zeros, infinities and NaN too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.core import ordering


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_the_order_is_numpys(width):
    rng = np.random.default_rng(0)
    tiny = np.finfo(width).tiny
    special = [-np.inf, -tiny, -0.0, 0.0, tiny, np.inf, np.nan, -np.nan, 1.0, 1.0, -1.0]
    values = rng.permutation(np.array([*special, *rng.normal(size=50)], width))
    with jax.enable_x64(True):
        order = np.asarray(ordering.order(jnp.asarray(values)))
        in_order, moved = ordering.sort(jnp.asarray(values), jnp.arange(len(values)))
    np.testing.assert_array_equal(order, np.argsort(values, kind="stable"))
    np.testing.assert_array_equal(in_order, np.sort(values))
    np.testing.assert_array_equal(moved, order)
