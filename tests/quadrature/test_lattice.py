"""The lattice, and the error bar of randomized quasi-Monte Carlo over 1000 seeds."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.numerics.quadrature.monte_carlo import lattice, quasi

KEY = jax.random.key(5)


def korobov(x):
    """Return a periodic integrand of mean 1 whose variance a good lattice removes."""
    return (1 + 2 * jnp.pi**2 * (x**2 - x + 1 / 6) / 4).prod()


def errors_of(fn, truth, num_dims, num_samples, points="lattice", seeds=32):
    box = jnp.zeros(num_dims), jnp.ones(num_dims)
    found, info = jax.vmap(
        lambda key: quasi.integrate(key, fn, *box, num_samples=num_samples, points=points)
    )(jax.random.split(KEY, seeds))
    return np.asarray(found, np.float64) - truth, info


def test_every_dimension_is_a_permutation():
    points = np.asarray(
        lattice.sequence(jnp.zeros(lattice.MAX_DIMS), jnp.ones(lattice.MAX_DIMS), num_points=256)
    )
    assert (np.sort(256 * points, axis=0) == np.arange(256)[:, None]).all()
    whole = 256 * points[1]
    assert len(set(whole.tolist())) > 60  # in no dimension the same as in most others


def test_a_shift_keeps_differences_and_a_fold_mirrors():
    box = jnp.zeros(3), jnp.ones(3)
    rule = np.asarray(lattice.sequence(*box, num_points=16))
    shifted = np.asarray(lattice.sample(KEY, *box, num_points=16))
    folded = np.asarray(lattice.sample(KEY, *box, num_points=16, is_folded=True))
    np.testing.assert_allclose((shifted - rule - shifted[0]) % 1 % 0.999999, 0, atol=2e-6)
    np.testing.assert_allclose(folded, 1 - abs(2 * shifted - 1), atol=1e-6)


def test_a_vector_of_ones_is_worse_by_far():
    """The quality of the generating vector, beside a planted bad one."""
    with jax.enable_x64(True):
        box = jnp.zeros(6), jnp.ones(6)
        good = np.asarray(lattice.sequence(*box, num_points=2**12))
    bad = np.repeat(good[:, :1], 6, axis=1)
    errors = [abs(float(jax.vmap(korobov)(jnp.asarray(x)).mean()) - 1) for x in (good, bad)]
    assert errors[0] < 0.02 < 1 < errors[1]


@pytest.mark.parametrize("points", ["lattice", pytest.param("sobol", marks=pytest.mark.slow)])
def test_the_error_falls_faster_than_that_of_independent_points(points):
    fn, truth = Partial(lambda x: jnp.exp(-(x**2).sum())), (math.sqrt(math.pi) / 2 * math.erf(1))
    with jax.enable_x64(True):
        few, many = (
            errors_of(fn, truth**4, 4, n, points)[0].std() for n in (16 * 2**5, 16 * 2**11)
        )
    assert few / many > 2**6.3  # at least n^−1.05 over six doublings; n^−1/2 gives 8


@pytest.mark.slow
@pytest.mark.parametrize("points", ["lattice", "sobol", "halton"])
@pytest.mark.parametrize("kind", ["smooth", "kink"])
def test_intervals_cover_as_often_as_they_say(points, kind):
    """95 % of 1000 intervals, ± 3 points: 4.4 deviations of a binomial."""
    rate = math.log(2.0)
    fns = {
        "smooth": (lambda x: jnp.exp(rate * x.sum()), (1 / rate) ** 3),
        "kink": (lambda x: jnp.abs(x - 1 / 3).prod() * 8, 8 * (5 / 18) ** 3),
    }
    fn, truth = fns[kind]
    with jax.enable_x64(True):
        errors, info = errors_of(Partial(fn), truth, 3, 16 * 2**8, points, seeds=1000)
    covered = np.mean(abs(errors) < np.asarray(info.half_width))
    assert 0.92 < covered < 0.98, covered
    too_short = np.mean(abs(errors) < np.asarray(info.half_width) / 2)
    assert too_short < 0.92  # the same count sees an error bar of half the length


@pytest.mark.parametrize(
    ("num_points", "num_dims", "sentence"),
    [
        (12, 2, "12 points in a lattice, not a power of two up to 1048576"),
        (2**21, 2, "2097152 points in a lattice"),
        (4, 101, "101 dimensions, not at most 100"),
    ],
)
def test_bad_arguments_are_refused_by_name(num_points, num_dims, sentence):
    with pytest.raises(ValueError, match=sentence):
        lattice.sequence(jnp.zeros(num_dims), jnp.ones(num_dims), num_points=num_points)
