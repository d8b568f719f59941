"""Sobol's and Halton's points: equal to SciPy's, even after scrambling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from mastery_jax.numerics.quadrature.monte_carlo import halton, joe_kuo, sobol

KEY = jax.random.key(3)


def test_sobol_is_scipys_in_every_dimension():
    dims = joe_kuo.MAX_DIMS
    wanted = qmc.Sobol(dims, scramble=False).random(2**9)
    found = sobol.sequence(jnp.zeros(dims), jnp.ones(dims), num_points=2**9)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def test_the_last_direction_numbers_are_scipys():
    wanted = qmc.Sobol(40, scramble=False, bits=30).fast_forward(2**16 - 1).random(2)
    found = sobol.sequence(jnp.zeros(40), jnp.ones(40), num_points=2**16 + 1)[-2:]
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def test_halton_is_scipys():
    wanted = qmc.Halton(12, scramble=False).random(500)
    found = halton.sequence(jnp.zeros(12), jnp.ones(12), num_points=500)
    np.testing.assert_allclose(found, wanted, atol=2e-6)  # 23 bits hold 4 digits of base 37


@pytest.mark.parametrize("scramble", ["owen", "matrix"])
def test_a_scrambled_net_hits_every_cell_once(scramble):
    points = sobol.sample(KEY, jnp.zeros(2), jnp.ones(2), num_points=64, scramble=scramble)
    for split in range(7):  # every shape of 64 cells in the plane
        cells = np.floor(np.asarray(points) * [2**split, 2 ** (6 - split)]).astype(int)
        assert len(np.unique(cells, axis=0)) == 64


@pytest.mark.parametrize(
    "sample",
    [
        lambda key: sobol.sample(key, *BOX, num_points=8),
        lambda key: sobol.sample(key, *BOX, num_points=8, scramble="matrix"),
        lambda key: halton.sample(key, *BOX, num_points=8),
    ],
)
def test_every_scrambled_point_is_uniform(sample):
    draws = np.asarray(jax.vmap(sample)(jax.random.split(KEY, 2000)))
    for point in (0, 3, 7):
        for axis in range(3):
            assert stats.kstest(draws[:, point, axis], "uniform").pvalue > 1e-6
        assert abs(np.corrcoef(draws[:, point].T)[np.triu_indices(3, 1)]).max() < 5 / 2000**0.5


BOX = jnp.zeros(3), jnp.ones(3)


def test_scrambling_is_needed_for_this_test_to_pass():
    """The unscrambled point is a constant: the test above sees it."""
    point = np.full(2000, np.asarray(sobol.sequence(*BOX, num_points=8))[3, 0])
    assert stats.kstest(point, "uniform").pvalue < 1e-6


def test_a_box_is_filled_between_its_bounds():
    lower, upper = jnp.array([-1.0, 2.0]), jnp.array([3.0, 2.5])
    for points in (
        sobol.sample(KEY, lower, upper, num_points=256),
        halton.sample(KEY, lower, upper, num_points=256),
    ):
        assert (points > lower[None]).all()
        assert (points < upper[None]).all()
        np.testing.assert_allclose(points.mean(axis=0), [1, 2.25], atol=0.05)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sobol.sample(KEY, *BOX, num_points=12), "num_points is 12, not a power of two"),
        (
            lambda: sobol.sample(KEY, *BOX, num_points=8, scramble="no"),
            "scramble is 'no', not 'matrix' or 'owen'",
        ),
        (lambda: sobol.sequence(*BOX, num_points=0), "num_points is 0, not at least 1"),
        (lambda: halton.sequence(*BOX, num_points=0), "num_points is 0, not at least 1"),
        (
            lambda: sobol.sequence(jnp.zeros(200), jnp.ones(200), num_points=1),
            "sobol.sequence: 200 dimensions, not at most 128",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
