"""A set of points that adapts to itself: who leaves it, and with which chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.inference.mcmc import sample_adaptive

NORMAL = Partial(lambda x: -x @ x / 2)
POINTS = jax.random.normal(jax.random.key(0), (7, 2))
KEYS = jax.random.split(jax.random.key(1), 4000)


@jax.jit
def moved(log_density, points, keys):
    start = sample_adaptive.init(points, log_density=log_density)
    walk = jax.vmap(lambda key: sample_adaptive.step(key, start, log_density=log_density))
    return walk(keys)


def test_a_point_leaves_with_the_chance_of_the_definition():
    """Given the new point, whose chance to stay is told, each other leaves by its own."""
    state, info = moved(NORMAL, POINTS, KEYS)
    is_new = np.asarray((state.position != POINTS[None]).any(axis=2))
    np.testing.assert_array_equal(is_new.sum(axis=1), info.is_accepted)
    chances = []
    for at in np.flatnonzero(info.is_accepted)[:400]:
        new = np.asarray(state.position[at])[is_new[at]]
        every = np.concatenate([POINTS, new]).astype(float)
        rates = []
        for x, n in zip(every, range(8), strict=True):
            rest = np.delete(every, n, axis=0)
            expected = stats.multivariate_normal(rest.mean(axis=0), np.cov(rest.T))
            rates.append(expected.pdf(x) / np.exp(-x @ x / 2))
        chances.append(np.array(rates) / sum(rates))
        np.testing.assert_allclose(info.accept_prob[at], 1 - chances[-1][7], atol=1e-4)
    # Of those that were accepted, the chance of each to have left is that over all but the new.
    chances = np.array([chance[:7] / chance[:7].sum() for chance in chances])
    seen = is_new[np.flatnonzero(info.is_accepted)[:400]]
    away = (seen - chances).sum(axis=0) / np.sqrt((chances * (1 - chances)).sum(axis=0))
    assert abs(away).max() < stats.norm.isf(1e-6 / 2 / 7)


def test_what_cannot_be_leaves_first_and_never_comes():
    half = Partial(lambda x: jnp.where(x[0] > -1, -x @ x / 2, jnp.nan))
    points = POINTS.at[3].set(-5.0).at[:3, 0].set(0.1)
    state, info = moved(half, points, KEYS)
    assert (state.position[:, 3] != points[3][None]).any(axis=1).sum() == info.is_accepted.sum()
    assert 0 < info.is_accepted.sum() < len(KEYS)
    arrived = state.position[info.is_accepted, 3]
    assert (arrived[:, 0] > -1).all()
    flat = points.at[:, 1].set(0.0)
    state, info = moved(half, flat, KEYS)
    assert (state.position == flat[None]).all()
    assert not info.is_accepted.any()


def test_refuses():
    with pytest.raises(ValueError, match="position has 3 points, not at least 4"):
        sample_adaptive.init(jnp.zeros((3, 2)), log_density=NORMAL)
    with pytest.raises(ValueError, match=r"log_density has shape \(2,\), not of a scalar"):
        sample_adaptive.init(POINTS, log_density=Partial(jnp.sin))
    start = sample_adaptive.init(POINTS, log_density=NORMAL)
    fewer = start._replace(position=POINTS[:5])
    with pytest.raises(ValueError, match="position has 5 points, not 7"):
        sample_adaptive.step(KEYS[0], fewer, log_density=NORMAL)
