"""Paths drawn backwards have the law that Kalman's smoother knows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.inference.filtering import (
    additive_noise,
    kalman,
    nonlinear,
    particle,
    particle_smoother,
    rts,
)
from tests.nonlinear_filtering.models import as_functions, linear

STATE, MODEL, _, _, SEEN = linear(3, n=2, m=2, num_steps=5)
MODEL = MODEL._replace(emission_cov=4 * MODEL.emission_cov)
PARTICLES = additive_noise.model_of(as_functions(MODEL))
YS = nonlinear.simulate(
    jax.random.key(9), STATE, model=as_functions(MODEL), num_steps=5
).observations


def run(key, num_particles=1000, num_paths=200):
    first, second, third = jax.random.split(key, 3)
    draws = jax.random.multivariate_normal(first, STATE.mean, STATE.cov, (num_particles,))
    filtered, _ = particle.filter(
        second, particle.init(draws), YS, model=PARTICLES, is_observed=SEEN, keep_particles=True
    )
    return particle_smoother.sample(third, filtered, model=PARTICLES, num_paths=num_paths)


@pytest.mark.slow
def test_paths_have_the_smoothers_means_and_the_covariances_between_times():
    exact, _ = kalman.filter(STATE, YS, model=MODEL, is_observed=SEEN)
    smoothed = rts.smooth(exact, model=MODEL)
    paths = jax.jit(lambda keys: jax.lax.map(run, keys))(jax.random.split(jax.random.key(0), 40))
    means = np.asarray(paths.mean(axis=1), np.float64)
    errors = (means.mean(axis=0) - smoothed.mean) / (means.std(axis=0, ddof=1) / np.sqrt(40))
    assert abs(errors).max() < stats.t.isf(1e-6 / 2 / errors.size, df=39)
    away = np.asarray(paths) - np.asarray(smoothed.mean)
    found = np.einsum("rpti,rptj->tij", away, away) / away[..., 0, 0].size
    np.testing.assert_allclose(found, smoothed.cov, atol=0.1 * float(smoothed.cov.max()))
    # Cov(x_t, x_{t+1}) = G P_{t+1}, with the gain of the smoother.
    ahead = MODEL.transition @ exact.cov[1] @ MODEL.transition.T + MODEL.process_cov
    gain = exact.cov[1] @ MODEL.transition.T @ np.linalg.inv(ahead)
    lagged = np.einsum("rpi,rpj->ij", away[:, :, 1], away[:, :, 2]) / away[..., 0, 0].size
    expected = gain @ smoothed.cov[2]
    np.testing.assert_allclose(lagged, expected, atol=0.1 * float(smoothed.cov.max()))
    assert abs(expected).max() > 0.2 * smoothed.cov.max()


def test_where_nobody_can_have_led_it_is_nan():
    filtered = particle.Beliefs(
        mean=jnp.zeros((3, 1)),
        cov=jnp.ones((3, 1, 1)),
        particles=jnp.arange(12.0).reshape(3, 4, 1),
        log_weights=jnp.full((3, 4), -jnp.log(4.0)),
    )
    near = Partial(lambda later, x: jnp.where(jnp.abs(later - x).sum() < 4.5, 0.0, -jnp.inf))
    model = particle.Model(Partial(jnp.positive), Partial(jnp.positive), near)
    paths = particle_smoother.sample(jax.random.key(0), filtered, model=model, num_paths=100)
    assert jnp.isfinite(paths).all()
    assert (jnp.abs(jnp.diff(paths, axis=1)) < 4.5).all()
    far = model._replace(log_transition=Partial(lambda later, x: jnp.array(-jnp.inf)))
    paths = particle_smoother.sample(jax.random.key(0), filtered, model=far, num_paths=5)
    assert jnp.isfinite(paths[:, -1]).all()
    assert jnp.isnan(paths[:, :-1]).all()


def test_what_is_not_there_is_refused():
    key = jax.random.key(0)
    filtered, _ = particle.filter(key, particle.init(jnp.zeros((5, 2))), YS, model=PARTICLES)
    with pytest.raises(ValueError, match=r"particle_smoother.sample: filtered.particles is None"):
        particle_smoother.sample(key, filtered, model=PARTICLES, num_paths=3)
    kept, _ = particle.filter(
        key, particle.init(jnp.zeros((5, 2))), YS, model=PARTICLES, keep_particles=True
    )
    blind = PARTICLES._replace(log_transition=None)
    with pytest.raises(ValueError, match=r"particle_smoother.sample: model.log_transition is None"):
        particle_smoother.sample(key, kept, model=blind, num_paths=3)
    with pytest.raises(ValueError, match=r"particle_smoother.sample: num_paths is 0, not at least"):
        particle_smoother.sample(key, kept, model=PARTICLES, num_paths=0)
