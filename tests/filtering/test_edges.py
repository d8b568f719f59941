"""Series of no step, and beliefs that are none."""

import jax
import jax.numpy as jnp
import pytest

from mastery_jax.inference.filtering import (
    associative,
    factored,
    information,
    kalman,
    rts,
    square_root,
    two_filter,
)
from mastery_jax.inference.filtering.linear_gaussian import Model, State

MODEL = Model(
    transition=jnp.array([[1.0, 1.0], [0.0, 1.0]]),
    process_cov=0.1 * jnp.eye(2),
    emission=jnp.array([[1.0, 0.0]]),
    emission_cov=jnp.ones((1, 1)),
)
START = State(jnp.zeros(2), jnp.eye(2))
NONE = jnp.zeros((0, 1))


@pytest.mark.parametrize("form", [kalman, associative])
def test_of_no_step_there_is_nothing_to_say(form):
    beliefs, info = form.filter(START, NONE, model=MODEL)
    assert (beliefs.mean.shape, info.log_likelihood.shape) == ((0, 2), (0,))
    for smooth in (rts.smooth, associative.smooth):
        assert smooth(beliefs, model=MODEL).cov.shape == (0, 2, 2)
    assert rts.sample(jax.random.key(0), beliefs, model=MODEL).shape == (0, 2)


def test_nor_is_there_in_other_forms():
    roots = factored.from_linear(MODEL)
    beliefs, _ = square_root.filter(factored.init(*START), NONE, model=roots)
    assert square_root.smooth(beliefs, model=roots).factor.shape == (0, 2, 2)
    beliefs, _ = information.filter(information.init(*START), NONE, model=MODEL)
    assert two_filter.smooth(beliefs, NONE, model=MODEL).precision.shape == (0, 2, 2)


@pytest.mark.parametrize("smooth", [rts.smooth, associative.smooth])
def test_what_is_no_covariance_is_not_smoothed(smooth):
    beliefs, _ = kalman.filter(START, jnp.ones((4, 1)), model=MODEL)
    bad = beliefs._replace(cov=beliefs.cov.at[-1].set(jnp.array([[1.0, 2.0], [2.0, 1.0]])))
    assert jnp.isfinite(smooth(beliefs, model=MODEL).cov).all()
    assert jnp.isnan(smooth(bad, model=MODEL).cov).all()
