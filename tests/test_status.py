"""The words for how an iteration ended."""

import jax
import jax.numpy as jnp
import pytest

from mastery_jax.core.status import Status, describe


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_sentence_of_its_own(status):
    assert describe(int(status)) == describe(status)
    assert [describe(other) for other in Status].count(describe(status)) == 1


def test_a_status_lives_in_a_program():
    ended = jax.jit(lambda x: jnp.where(x > 0, Status.CONVERGED, Status.DIVERGED))
    assert describe(ended(1.0)) == "converged"
    assert Status(int(ended(-1.0))) is Status.DIVERGED


def test_no_other_number_is_a_status():
    with pytest.raises(ValueError, match="17"):
        describe(17)
