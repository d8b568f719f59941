"""Sums in bounded memory that do not depend on the machine, and the generator that feeds them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.numerics.quadrature.monte_carlo import (
    antithetic,
    chunks,
    control_variates,
    counter_hash,
    importance,
    plain,
    quasi,
    stratified,
)

KEY = jax.random.key(11)
BOX = jnp.zeros(3), jnp.ones(3)
FN = Partial(lambda rate, x: jnp.exp(-rate * (x**2).sum()), jnp.array(1.5))
RULES = {
    "plain": (plain.integrate, {"num_samples": 100_003}),
    "hash": (plain.integrate, {"num_samples": 70_000, "generator": "hash"}),
    "antithetic": (antithetic.integrate, {"num_samples": 50_000}),
    "stratified": (stratified.integrate, {"num_samples": 50_000}),
    "lattice": (quasi.integrate, {"num_samples": 16 * 2**13}),
    "sobol": (quasi.integrate, {"num_samples": 16 * 2**10, "points": "sobol"}),
    "three copies": (quasi.integrate, {"num_samples": 3 * 2**15, "num_randomizations": 3}),
    "controls": (
        control_variates.integrate,
        {
            "num_samples": 50_000,
            "controls": Partial(lambda x: x),
            "integrals": jnp.full(3, 0.5),
        },
    ),
    "importance": (
        importance.integrate,
        {
            "num_samples": 20_000,
            "sample": Partial(lambda key: jax.random.uniform(key, (3,))),
            "log_density": Partial(lambda x: 0 * x[0]),
        },
    ),
}


def mesh_of(count):
    return jax.make_mesh(
        (count,),
        ("chunk",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:count],
    )


@pytest.mark.parametrize(
    "name", [n if n == "lattice" else pytest.param(n, marks=pytest.mark.slow) for n in RULES]
)
def test_bits_do_not_depend_on_the_number_of_devices(name):
    integrate, options = RULES[name]
    one, four = (integrate(KEY, FN, *BOX, mesh=mesh_of(count), **options) for count in (1, 4))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("generator", ["threefry", pytest.param("hash", marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_number_of_points(generator):
    def bytes_of(num_samples):
        lowered = plain.integrate.lower(KEY, FN, *BOX, num_samples=num_samples, generator=generator)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    few, many = bytes_of(2**17), bytes_of(2**30)
    assert many <= 1.1 * few  # the chunks are not of quite the same size
    assert many <= 1.1 * chunks.MAX_BYTES


@pytest.mark.slow
def test_quasi_memory_does_not_grow_either():
    def bytes_of(num_samples):
        lowered = quasi.integrate.lower(KEY, FN, *BOX, num_samples=num_samples, points="sobol")
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(2**30) <= bytes_of(2**18) + 65536


def test_a_sum_of_single_precision_keeps_its_digits():
    """A plain running sum of as many numbers is off by 1e-4."""
    value = jnp.float32(0.1)

    def step(state, _):
        held, naive = state
        return (chunks.add(held, chunks.exact(value)), naive + value), None

    zero = jnp.float32(0)
    (held, naive), _ = jax.lax.scan(step, (chunks.exact(zero), zero), length=2_000_000)
    truth = 2_000_000 * float(value)
    assert abs(float(held.high) + float(held.low) - truth) / truth < 1e-7
    assert abs(float(naive) - truth) / truth > 1e-3


@pytest.mark.parametrize("num_points", [2, 3, 255, 257, 1000, 65_537, 10**6, 2**31 - 1])
@pytest.mark.parametrize("max_bytes", [200, 5000, 2**20])
def test_a_plan_covers_every_point_once(num_points, max_bytes):
    plan = chunks.plan("here", num_points, bytes_each=72, max_bytes=max_bytes)
    assert 72 * plan.size <= max(max_bytes, 144)
    assert (plan.num_chunks - 1) * plan.size < num_points <= plan.num_chunks * plan.size
    assert plan.num_groups <= 64
    assert (plan.num_groups - 1) * plan.per_group < plan.num_chunks
    assert plan.num_chunks <= plan.num_groups * plan.per_group


def test_a_ragged_end_is_not_counted():
    """The integral of 1 is 1, whatever does not divide what."""
    for num_samples in (5, 300, 1000, 12_345):
        estimate, info = plain.integrate(
            KEY, Partial(lambda x: 1 + 0 * x[0]), *BOX, num_samples=num_samples, max_bytes=5000
        )
        assert float(estimate) == pytest.approx(1, abs=1e-6)
        assert info.std_error == 0
        assert info.num_evals == num_samples


def uniform(generator="hash", shape=(8, 2**15), key=KEY):
    digits = counter_hash.digits(key, shape=shape, generator=generator)
    return np.asarray(digits), np.asarray(counter_hash.to_unit(digits, jnp.float32))


def serious_flaws(u):
    """Return which of four tests reject at 1e-6: level, pairs in a row, across rows, low bits."""
    count, found = u.size, []
    cells = np.bincount((u.ravel() * 256).astype(int), minlength=256)
    if stats.chisquare(cells).pvalue < 1e-6:
        found.append("level")
    for name, a, b in (("row", u[:, :-1], u[:, 1:]), ("across", u[:-1], u[1:])):
        pairs = (a * 16).astype(int) * 16 + (b * 16).astype(int)
        if stats.chisquare(np.bincount(pairs.ravel(), minlength=256)).pvalue < 1e-6:
            found.append(name)
    low = (u * 2**23).astype(int) % 16
    if stats.chisquare(np.bincount(low.ravel(), minlength=16)).pvalue < 1e-6:
        found.append("low")
    assert count > 2**16
    return found


def test_the_hash_passes_and_planted_flaws_do_not():
    _, u = uniform()
    assert serious_flaws(u) == []
    assert "level" in serious_flaws(u**1.05)
    assert "row" in serious_flaws(np.where(np.arange(u.shape[1]) % 20 == 0, np.roll(u, 1, 1), u))
    twice = np.where(np.arange(u.shape[1]) % 20 == 0, np.repeat(u[::2], 2, axis=0), u)
    assert "across" in serious_flaws(twice)
    assert "low" in serious_flaws(np.floor(u * 2**20) / 2**20 + 2.0**-24)


def test_keys_that_are_neighbors_have_streams_of_their_own():
    streams = np.concatenate(
        [uniform(shape=(1, 2**14), key=jax.random.fold_in(KEY, i))[1] for i in range(16)]
    )
    assert serious_flaws(streams) == []
    assert abs(np.corrcoef(streams)[np.triu_indices(16, 1)]).max() < 6 / 2**7


def test_no_number_of_a_stream_comes_twice_and_every_bit_is_fair():
    digits, _ = uniform(shape=(2, 2**16))
    assert len(np.unique(digits[0])) == 2**16
    bits = (digits[..., None] >> np.arange(32)) & 1
    z = (bits.mean(axis=(0, 1)) - 0.5) * 2 * math.sqrt(digits.size)
    assert abs(z).max() < 5.5


def test_units_are_strictly_inside_and_symmetric():
    ends = jnp.array([[0, 2**32 - 1]], jnp.uint32)
    for is_double in (False, True):
        with jax.enable_x64(is_double):
            dtype = jnp.float64 if is_double else jnp.float32
            low, high = np.asarray(counter_hash.to_unit(ends, dtype))[0]
            assert 0 < low < 1e-6
            assert high == 1 - low
