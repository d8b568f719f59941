"""Every kernel leaves its target as it is: the moments of a skewed target, and exact answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import integrate, stats

from mastery_jax.inference.mcmc import (
    chains,
    elliptical_slice,
    ensemble,
    kernel,
    metropolis,
    sample_adaptive,
)
from tests.mcmc.targets import KERNELS, MEAN, SKEWED, VARIANCE, starts
from tests.statistics import assert_mean


def run(which, *, num_chains=48, num_samples=400, seed=1):
    return chains.sample(
        jax.random.key(seed),
        starts(num_chains),
        log_density=SKEWED,
        kernel=which,
        num_warmup=200,
        num_samples=num_samples,
        thin=2,
        lockstep=True,
    )


def moments(draws):
    x, y = draws["x"], draws["y"]
    yield x[..., 0], MEAN
    yield x[..., 1], MEAN
    yield y, 2 * MEAN
    yield (x[..., 1] - MEAN) ** 2, VARIANCE
    yield (y - 2 * MEAN) ** 2, 2 * VARIANCE
    yield (x[..., 0] - MEAN) * (y - 2 * MEAN), VARIANCE


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.slow
def test_moments_of_a_skewed_target(name):
    found = run(KERNELS[name])
    for values, expected in moments(found.draws):
        assert_mean(values, expected)
    assert found.draws["x"].std(axis=1).min() > 0, "no chain stands still"
    density = jax.vmap(jax.vmap(SKEWED))(found.draws)
    np.testing.assert_allclose(found.log_density, density, rtol=1e-4, atol=1e-4)


def unfair(key, state, *, log_density):
    """Metropolis that forgets that its walk leans to the right."""
    return metropolis.step(
        key,
        state._replace(position=jax.tree.map(lambda x: x + 0.2, state.position)),
        log_density=log_density,
        step_size=1.0,
    )


def test_a_kernel_that_is_not_fair_is_caught():
    biased = kernel.Kernel(kernel.bind(metropolis, step_size=1.0).init, Partial(takes(unfair)))
    found = run(biased)
    values, expected = next(moments(found.draws))
    with pytest.raises(AssertionError):
        assert_mean(values, expected)


def takes(step):
    return lambda key, state, *, log_density, num_warmup: step(key, state, log_density=log_density)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "thin"), [(ensemble, 1), (sample_adaptive, 8)])
def test_a_set_of_points_measures_the_target_by_itself(module, thin):
    walkers = jax.random.normal(jax.random.key(0), (16, 8, 3))
    position = {"x": walkers[..., :2], "y": walkers[..., 2]}
    found = chains.sample(
        jax.random.key(1),
        position,
        log_density=SKEWED,
        kernel=kernel.bind(module),
        num_warmup=200 * thin,
        num_samples=300,
        thin=thin,
        lockstep=True,
    )
    together = jax.tree.map(lambda x: x.reshape(16, 300 * 8, *x.shape[3:]), found.draws)
    for values, expected in moments(together):
        assert_mean(values, expected)


def test_an_ensemble_is_blind_to_an_affine_map():
    f = Partial(lambda x: -jnp.sum(x * x) / 2 - x[0] ** 4)
    matrix, shift = jnp.array([[3.0, 1.0], [-0.5, 0.2]]), jnp.array([5.0, -1.0])
    mapped = Partial(lambda y: f(jnp.linalg.solve(matrix, y - shift)))
    walkers = jax.random.normal(jax.random.key(0), (8, 2))
    plain = ensemble.init(walkers, log_density=f)
    other = ensemble.init(walkers @ matrix.T + shift[None], log_density=mapped)
    for key in jax.random.split(jax.random.key(1), 5):
        plain, _ = ensemble.step(key, plain, log_density=f)
        other, _ = ensemble.step(key, other, log_density=mapped)
    np.testing.assert_allclose(
        plain.position @ matrix.T + shift[None], other.position, rtol=1e-4, atol=1e-4
    )


def count(y, x):
    """Log likelihood of counts whose log rate is x: skewed, and no normal."""
    return jnp.sum(y * x - jnp.exp(x))


PRIOR_MEAN, PRIOR_SD, COUNTS = 0.5, 1.5, np.array([0.0, 1.0, 0.0])


def exact(power):
    """Return E x^power of the posterior by quadrature."""

    def weight(x):
        return stats.norm.pdf(x, PRIOR_MEAN, PRIOR_SD) * np.exp(COUNTS.sum() * x - 3 * np.exp(x))

    total, _ = integrate.quad(weight, -12, 8)
    return integrate.quad(lambda x: x**power * weight(x), -12, 8)[0] / total


def posterior(y, x):
    return count(y, x) - jnp.sum((x - PRIOR_MEAN) ** 2) / (2 * PRIOR_SD**2)


@pytest.mark.parametrize(
    ("density", "which"),
    [
        (count, kernel.bind(elliptical_slice, prior_mean=PRIOR_MEAN, factor=PRIOR_SD)),
        (posterior, kernel.bind(metropolis, step_size=1.8)),
    ],
    ids=["elliptical_slice", "metropolis"],
)
def test_one_dimension_against_quadrature(density, which):
    found = chains.sample(
        jax.random.key(0),
        jnp.zeros((48, 1)),
        log_density=Partial(density, jnp.asarray(COUNTS, jnp.float32)),
        kernel=which,
        num_warmup=50,
        num_samples=800,
        lockstep=True,
    )
    for power in (1, 2, 3):
        assert_mean(found.draws[..., 0] ** power, exact(power))


def test_elliptical_slices_know_the_prior_of_many_coordinates():
    mean, lower = jnp.array([1.0, -2.0]), jnp.array([[2.0, 0.0], [-1.0, 0.5]])
    which = kernel.bind(elliptical_slice, prior_mean=mean, factor=lower)
    flat = Partial(lambda x: 0 * x.sum())
    found = chains.sample(
        jax.random.key(0),
        jnp.zeros((48, 2)),
        log_density=flat,
        kernel=which,
        num_warmup=30,
        num_samples=300,
        lockstep=True,
    )
    away = found.draws - mean[None, None]
    assert_mean(found.draws[..., 0], 1.0)
    assert_mean(found.draws[..., 1], -2.0)
    assert_mean(away[..., 0] ** 2, 4.0)
    assert_mean(away[..., 0] * away[..., 1], -2.0)
    assert (found.info.num_evals == 1).all()


def test_a_warm_up_sees_the_shape_of_the_target():
    lower = jnp.array([[10.0, 0.0], [9.0, 0.1]])
    f = Partial(partial(normal, lower))
    found = chains.sample(
        jax.random.key(0),
        jnp.ones((8, 2)),
        log_density=f,
        kernel=KERNELS["adaptive"],
        num_warmup=3000,
        num_samples=2000,
        lockstep=True,
    )
    learned = found.state.factor @ jnp.swapaxes(found.state.factor, 1, 2)
    np.testing.assert_allclose(learned[:, 0, 0], 100, rtol=0.6)
    correlation = learned[:, 0, 1] / jnp.sqrt(learned[:, 0, 0] * learned[:, 1, 1])
    assert (correlation > 0.999).all()
    assert 0.15 < found.info.accept_prob.mean() < 0.45
    assert (found.info.step_size == found.info.step_size[:, :1]).all(), "frozen"


def normal(lower, x):
    z = jax.scipy.linalg.solve_triangular(lower, x, lower=True)
    return -z @ z / 2
