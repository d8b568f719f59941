"""Normals from curvature: at the mode, and on the way there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import special

from mastery_jax.core.status import Status
from mastery_jax.inference.vi import elbo, full_rank, laplace, pathfinder, secant_normal, trust
from tests.vi.posteriors import COV, FUNNEL, KEY, LOG_EVIDENCE, MEAN, NORMAL, ORIGIN, numbers

FAR = {"a": jnp.array([5.0, 5.0]), "b": jnp.array(-4.0)}

pytestmark = pytest.mark.engine  # optax mixes integers and floats


def test_laplace_is_exact_for_a_normal():
    with jax.enable_x64(True):
        far = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), FAR)
        params, info = laplace.fit(far, log_density=NORMAL, gtol=1e-10)
        factor = np.asarray(full_rank.factor(params))
    assert info.is_done
    np.testing.assert_allclose(numbers(params.mean), MEAN, atol=1e-6)
    np.testing.assert_allclose(factor @ factor.T, COV, rtol=1e-5)
    np.testing.assert_allclose(info.log_evidence, LOG_EVIDENCE, rtol=1e-6)


def test_laplace_of_a_gamma_is_stirling():
    """∫ exp(a u − e^u) du = Γ(a): Laplace's approximation is Stirling's without its remainder."""
    density = Partial(lambda u: 50 * u - jnp.exp(u))
    _, info = laplace.fit(jnp.array(0.0), log_density=density)
    stirling = 50 * np.log(50) - 50 + np.log(2 * np.pi / 50) / 2
    np.testing.assert_allclose(info.log_evidence, stirling, rtol=1e-5)
    assert abs(info.log_evidence - special.gammaln(50)) < 1 / 500


@pytest.mark.parametrize(
    ("density", "status"),
    [
        (lambda x: -(x[0] ** 4) - x[1] ** 2, Status.SINGULAR),
        (lambda x: jnp.nan * x.sum(), Status.NOT_FINITE),
        (lambda x: -jnp.inf + 0 * x.sum(), Status.NOT_FINITE),
        # In this unit every slope is below the tolerance, three standard deviations from the mode.
        (lambda x: -((x / 1e6 - 3) ** 2).sum() / 2, Status.STALLED),
    ],
)
def test_laplace_says_where_there_is_no_normal(density, status):
    _, info = laplace.fit(jnp.zeros(2), log_density=Partial(density))
    assert info.status == status


def test_pathfinder_finds_a_normal():
    params, info = pathfinder.fit(KEY, FAR, log_density=NORMAL, num_draws=50)
    assert info.is_done
    np.testing.assert_allclose(numbers(params.mean), MEAN, atol=0.05)
    value, error = elbo.estimate(KEY, params, guide=secant_normal, log_density=NORMAL)
    assert LOG_EVIDENCE - 0.1 < value < LOG_EVIDENCE + 5 * error


def test_pathfinder_in_two_hundred_dimensions():
    scales = jnp.logspace(-0.5, 0.5, 200)
    density = Partial(lambda s, x: -((x / s) ** 2).sum() / 2, scales)
    params, info = pathfinder.fit(KEY, jnp.full(200, 3.0), log_density=density, num_steps=100)
    exact = 100 * np.log(2 * np.pi) + np.log(scales).sum()
    # The best normal of one scale is some 76 nats below; six pairs and a diagonal learn more.
    of_one_scale = 100 * np.log((scales**-2).mean()) + np.log(scales).sum()
    assert info.elbo > exact - 0.75 * of_one_scale
    assert np.corrcoef(np.log(scales), params.log_scale)[0, 1] > 0.7


def _two(x):
    return jnp.logaddexp(-((x - 4) ** 2).sum(), -((x + 4) ** 2).sum() + jnp.log(3.0)) * 2


def test_paths_from_several_starts_find_both_modes():
    starts = jnp.linspace(-8, 8, 6)[:, None] * jnp.ones((1, 2))
    draws, shape, info = pathfinder.sample_many(
        KEY, starts, log_density=Partial(_two), num_samples=2000
    )
    assert (info.status == Status.CONVERGED).all()
    assert shape < trust.LIMIT
    share = (draws[:, 0] < 0).mean()
    assert abs(share - 0.9) < 0.05  # 3² : 1


def _bell(scale, x):
    return -((x / scale - 3) ** 2).sum() / 2


@pytest.mark.parametrize(
    ("scale", "start", "status"),
    [
        (jnp.nan, 0.0, Status.NOT_FINITE),
        (0.01, 0.03, Status.STALLED),  # from the mode there is no path, and no curvature is met
        (1e-8, 0.0, Status.CONVERGED),  # what is learned has no unit
    ],
)
def test_a_path_that_meets_nothing_gives_nothing(scale, start, status):
    density = Partial(_bell, jnp.asarray(scale))
    _, info = pathfinder.fit(KEY, jnp.full(2, start), log_density=density)
    assert info.status == status
    if status == Status.CONVERGED:
        np.testing.assert_allclose(info.elbo, np.log(2 * np.pi * scale**2), atol=0.1)


def test_a_path_that_fails_does_not_touch_the_others():
    density = Partial(lambda x: jnp.where(x[0] > 50, jnp.nan, -((x - 1) ** 2).sum() / 2))
    starts = jnp.array([[100.0, 0.0], [0.0, 0.0]])
    draws, _, info = pathfinder.sample_many(KEY, starts, log_density=density, num_samples=500)
    np.testing.assert_array_equal(info.status, [Status.NOT_FINITE, Status.CONVERGED])
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.2)


def test_a_funnel_is_no_normal():
    params, _ = laplace.fit(jnp.array([0.0, 0.5]), log_density=Partial(lambda x: FUNNEL(x)))
    report = trust.assess(KEY, params, guide=full_rank, log_density=FUNNEL, num_draws=4000)
    assert report.pareto_shape > trust.LIMIT
    assert report.status == Status.DIVERGED


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_draws": 1}, "num_draws is 1, not at least 2"),
        ({"num_steps": 1}, "num_steps is 1, not at least 2"),
        ({"memory": 0}, "memory is 0, not at least 1"),
    ],
)
def test_counts_that_are_too_small_are_refused(options, said):
    with pytest.raises(ValueError, match=f"^pathfinder.fit: {said}"):
        pathfinder.fit(KEY, ORIGIN, log_density=NORMAL, **options)
