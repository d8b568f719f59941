"""Sums over the rows of large arrays are right: some releases of jaxlib, left out, add wrongly.

The rows are odd in length, so that the parts into which a library cuts them begin within a row.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ROWS = 40_000
PROGRAMS = {
    "of squares": lambda A, w, x: ((A @ x) ** 2).sum(),
    "of products": lambda A, w, x: x - A[0] * (w * x).sum(),
    "of deviations": lambda A, w, x: (x - x.mean()) / x.std(),
    "of powers": lambda A, w, x: jax.nn.softmax(x),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PROGRAMS)
def test_many_rows_are_summed_as_one_is(name, dtype):
    rng = np.random.default_rng(0)
    A, w, x = (rng.normal(size=s).astype(dtype) for s in ((3, 3), 3, (ROWS, 3)))
    with jax.enable_x64(True):
        many = jax.jit(jax.vmap(PROGRAMS[name], (None, None, 0)))(A, w, x)
        picked = np.arange(0, ROWS, 997)
        one = jnp.stack([PROGRAMS[name](jnp.asarray(A), jnp.asarray(w), x[i]) for i in picked])
    np.testing.assert_allclose(many[picked], one, rtol=1e-3, atol=1e-4)
