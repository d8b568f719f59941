"""States on disk: what Orbax does not write, arrays without an entry, comes back all the same."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.workflow import checkpoint
from mastery_jax.workflow.errors import RunError


class State(NamedTuple):
    weights: Any
    nothing: Any
    empty: Any


def test_empty_arrays_and_none_come_back(tmp_path):
    state = State(jnp.arange(3.0), None, {"sets": jnp.zeros((4, 0), jnp.uint32)})
    checkpoint.save(tmp_path, 2, state)
    found = checkpoint.restore(tmp_path, 2, jax.eval_shape(lambda: state))
    assert found.nothing is None
    np.testing.assert_array_equal(found.weights, [0, 1, 2])
    assert found.empty["sets"].shape == (4, 0)
    assert found.empty["sets"].dtype == jnp.uint32


def test_another_shape_is_refused(tmp_path):
    checkpoint.save(tmp_path, 0, State(jnp.arange(3.0), None, jnp.zeros((2, 0))))
    other = State(jnp.arange(4.0), None, jnp.zeros((2, 0)))
    with pytest.raises(RunError, match=r"checkpoint of step 0 .* cannot be restored"):
        checkpoint.restore(tmp_path, 0, other)
