"""Searches: failures, constraints, whole numbers, batches, and one program for all sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.core.status import Status
from mastery_jax.inference.bayesopt import (
    batch,
    latin_hypercube,
    one_point,
    surrogate,
    thompson,
)

few = settings(max_examples=8, deadline=None, derandomize=True)
LOWER, UPPER = np.array([-2.0, 0.0]), np.array([2.0, 4.0])
QUICK = {"num_candidates": 64, "num_searches": 2, "num_starts": 1}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def bowl(x):
    return ((x - jnp.array([0.5, 1.0])) ** 2).sum()


def is_inside(X):
    return bool(((X >= LOWER) & (X <= UPPER)).all()) if X.ndim == 1 else all(map(is_inside, X))


def begun(capacity=16, num_points=5, *, fn=bowl, **options):
    state = surrogate.init(LOWER, UPPER, capacity=capacity, **options)
    for x in latin_hypercube.sample(jax.random.key(9), LOWER, UPPER, num_points=num_points):
        state = surrogate.tell(state, x, fn(x))
    return state


@few
@given(st.integers(0, 2**32 - 1))
def test_a_design_has_one_point_in_every_slice(seed):
    points = latin_hypercube.sample(jax.random.key(seed), LOWER, UPPER, num_points=8)
    slices = jnp.floor(8 * (points - LOWER[None, :]) / (UPPER - LOWER)[None, :]).astype(int)
    assert (jnp.sort(slices, axis=0) == jnp.arange(8)[:, None]).all()


def test_a_whole_search_is_one_program_and_finds_the_bowl():
    state = begun()
    before = one_point.ask._cache_size()
    for i in range(8):
        x, info = one_point.ask(jax.random.key(i), state, **QUICK)
        assert is_inside(x)
        state = surrogate.tell(state, x, bowl(x))
    assert one_point.ask._cache_size() == before + 1
    x, value = surrogate.best(state)
    assert value < 1e-2
    np.testing.assert_allclose(value, bowl(x))
    assert info.status in (Status.CONVERGED, Status.STALLED, Status.OUT_OF_STEPS)


def test_a_failure_is_told_and_kept_away_from():
    def half(x):
        return jnp.where(x[0] > 0, bowl(x), jnp.nan)

    state = begun(fn=half)
    assert jnp.isnan(state.y).any()
    x, info = one_point.ask(jax.random.key(0), state, **QUICK)
    assert jnp.isfinite(x).all()
    assert jnp.isfinite(info.acquisition)
    assert jnp.isfinite(surrogate.best(state)[1])


def test_only_failures_and_nothing_at_all_still_give_a_point():
    for state in (begun(fn=lambda x: jnp.array(jnp.nan)), begun(num_points=0)):
        x, _ = one_point.ask(jax.random.key(0), state, **QUICK)
        assert is_inside(x)
        assert jnp.isnan(surrogate.best(state)[1])


def test_more_than_there_is_room_for_is_said():
    state = begun(capacity=16, num_points=17)
    assert state.num_told == 17
    _, info = one_point.ask(jax.random.key(0), state, **QUICK)
    assert info.status == Status.BAD_INPUT


def test_outputs_may_have_any_unit():
    near = one_point.ask(jax.random.key(3), begun(), **QUICK)[0]
    far = one_point.ask(jax.random.key(3), begun(fn=lambda x: 1e6 * bowl(x) - 3e7), **QUICK)[0]
    np.testing.assert_allclose(far, near, atol=1e-3)


@pytest.mark.slow
def test_constraints_are_kept():
    state = surrogate.init(LOWER, UPPER, capacity=16, num_constraints=1)

    def tell(state, x):
        return surrogate.tell(state, x, bowl(x), constraints=(1.0 - x[:1]))  # x0 ≥ 1

    for x in latin_hypercube.sample(jax.random.key(9), LOWER, UPPER, num_points=5):
        state = tell(state, x)
    for i in range(9):
        state = tell(state, one_point.ask(jax.random.key(i), state, **QUICK)[0])
    x, value = surrogate.best(state)
    assert x[0] >= 1
    assert 0.25 <= value < 0.3


@pytest.mark.slow
def test_whole_numbers_stay_whole():
    state = begun(is_integer=jnp.array([False, True]))
    x, _ = one_point.ask(jax.random.key(0), state, **QUICK)
    assert x[1] == jnp.round(x[1])


@pytest.mark.slow
def test_batches_and_draws_are_of_different_points():
    state = begun()
    X, _ = batch.ask(jax.random.key(0), state, num_points=2, **QUICK)
    assert jnp.abs(X[0] - X[1]).max() > 1e-3
    assert is_inside(X)
    X, _ = thompson.ask(jax.random.key(0), state, num_points=3, num_candidates=64, num_starts=1)
    assert is_inside(X)
    assert jnp.unique(X, axis=0).shape[0] > 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: surrogate.init(LOWER, UPPER, capacity=0), "capacity is 0, not at least 1"),
        (lambda: surrogate.tell(begun(), LOWER[:1], jnp.array(1.0)), "surrogate.tell: x is"),
        (
            lambda: surrogate.tell(
                surrogate.init(LOWER, UPPER, capacity=2, num_constraints=1), LOWER, jnp.array(1.0)
            ),
            "constraints is None, not 1 values",
        ),
        (
            lambda: batch.ask(jax.random.key(0), begun(), num_points=0),
            "num_points is 0, not at least 1",
        ),
    ],
)
def test_what_is_wrong_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()
