"""Resampling: nobody dead is drawn, and everybody as often as the weight says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.inference.filtering import resampling
from tests.statistics import assert_mean

few = settings(deadline=None, max_examples=15, derandomize=True)
seeds = st.integers(0, 2**31)
SCHEMES = ("systematic", "stratified", "residual", "multinomial")
by_scheme = pytest.mark.parametrize("scheme", SCHEMES)
MANY = 100_000


def draw(scheme, key, log_weights, num):
    return getattr(resampling, scheme)(key, log_weights, num=num)


@by_scheme
@pytest.mark.slow
def test_a_particle_of_weight_zero_is_never_drawn(scheme):
    rng = np.random.default_rng(0)
    log_weights = rng.normal(size=MANY)
    dead = rng.random(MANY) < 0.5
    dead[:100] = dead[-100:] = True
    log_weights = jnp.asarray(np.where(dead, -np.inf, log_weights), jnp.float32)
    for key in jax.random.split(jax.random.key(0), 20):
        drawn = np.asarray(draw(scheme, key, log_weights, MANY))
        assert not dead[drawn].any()


def test_a_cumulative_sum_of_floats_leaves_room_for_the_dead():
    """The saboteur: sums that end below 1, and a uniform draw above them."""
    highest, drawn = np.nextafter(np.single(1), np.single(0)), []
    for seed in range(20):
        log_weights = jax.random.normal(jax.random.key(seed), (MANY,)).at[-100:].set(-jnp.inf)
        sums = jnp.cumsum(jax.nn.softmax(log_weights))
        drawn.append(int(jnp.searchsorted(sums, highest, side="right")))
    assert max(drawn) >= MANY - 100


@by_scheme
def test_the_only_one_alive_is_drawn_wherever_it_stands(scheme):
    for place in (0, 17, MANY - 1):
        log_weights = jnp.full(MANY, -jnp.inf).at[place].set(-1e4)
        assert (draw(scheme, jax.random.key(1), log_weights, 50) == place).all()


def test_equal_weights_are_drawn_once_each():
    log_weights = jnp.full(MANY, -7.3)
    for scheme in ("systematic", "stratified", "residual"):
        drawn = draw(scheme, jax.random.key(0), log_weights, MANY)
        np.testing.assert_array_equal(drawn, np.arange(MANY))


@few
@given(seeds)
def test_copies_differ_from_what_is_expected_by_less_than_one(seed):
    rng = np.random.default_rng(seed)
    log_weights = jnp.asarray(3 * rng.normal(size=1000), jnp.float32)
    weights = np.exp(np.asarray(log_weights, np.float64))
    expected = 500 * weights / weights.sum()
    counts = {
        scheme: np.bincount(
            np.asarray(draw(scheme, jax.random.key(seed), log_weights, 500)), minlength=1000
        )
        for scheme in SCHEMES
    }
    assert all(count.sum() == 500 for count in counts.values())
    assert abs(counts["systematic"] - expected).max() < 1 + 1e-3
    assert abs(counts["stratified"] - expected).max() < 2 + 1e-3
    assert (counts["residual"] - np.floor(expected - 1e-3)).min() >= 0
    assert abs(counts["multinomial"] - expected).max() > 2


@by_scheme
def test_the_expected_number_of_copies_is_the_weights_share(scheme):
    log_weights = jnp.log(jnp.array([0.31, 0.02, 0.0, 0.17, 0.5]))
    keys = jax.random.split(jax.random.key(2), 20_000)
    drawn = jax.vmap(lambda key: draw(scheme, key, log_weights, 3))(keys)
    counts = (drawn[:, :, None] == jnp.arange(5)[None, None, :]).sum(axis=1)
    for i, share in enumerate((0.31, 0.02, 0.0, 0.17, 0.5)):
        if share:
            assert_mean(np.asarray(counts[:, i : i + 1]), 3 * share)
        else:
            assert not counts[:, i].any()
    with pytest.raises(AssertionError):
        assert_mean(np.asarray(counts[:, 4:]), 3 * 0.47)


@by_scheme
@pytest.mark.slow
def test_indices_are_the_same_in_both_precisions(scheme):
    log_weights = np.log(np.random.default_rng(3).integers(0, 9, size=4096) + 1e-300)
    single = draw(scheme, jax.random.key(4), jnp.asarray(log_weights, jnp.float32), 300)
    with jax.enable_x64(True):
        double = draw(scheme, jax.random.key(4), jnp.asarray(log_weights), 300)
    assert single.dtype == double.dtype
    assert (np.asarray(single) == np.asarray(double)).mean() > 0.99  # shares round otherwise


@by_scheme
@pytest.mark.parametrize("bad", [[-np.inf, -np.inf], [0.0, np.nan], [0.0, np.inf]])
def test_where_there_is_nobody_to_draw_it_is_said(scheme, bad):
    assert (draw(scheme, jax.random.key(0), jnp.array(bad), 4) == -1).all()
    assert jnp.isnan(resampling.effective_size(jnp.array(bad)))


@by_scheme
def test_no_draw_is_refused(scheme):
    with pytest.raises(ValueError, match=rf"resampling.{scheme}: num is 0, not from 1"):
        draw(scheme, jax.random.key(0), jnp.zeros(3), 0)


@by_scheme
def test_it_runs_inside_a_loop_a_branch_and_a_map(scheme):
    """Wide integers live in these functions alone."""

    def step(log_weights, key):
        new = jax.lax.cond(
            log_weights[0] < 0,
            lambda: draw(scheme, key, log_weights, 4).astype(log_weights.dtype),
            lambda: jnp.zeros(4),
        )
        return -1 - new, new

    keys = jax.random.split(jax.random.key(0), (3, 5))
    run = jax.jit(jax.vmap(lambda keys: jax.lax.scan(step, -jnp.ones(4), keys)[1]))
    assert run(keys).dtype == jnp.float32
    assert run(keys).shape == (3, 5, 4)
