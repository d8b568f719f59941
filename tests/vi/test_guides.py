"""A guide says of its own draws what it says of any position, and draws what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mastery_jax.inference.vi import flow_guide, full_rank, low_rank, mean_field, secant_normal
from mastery_jax.probability.flows import affine_coupling
from tests.vi.posteriors import COV, KEY, MEAN, ORIGIN, numbers

MOVED = {"a": jnp.array([0.3, -1.0]), "b": jnp.array(2.0)}
LAYERS = (affine_coupling,)


def flow():
    keys = jax.random.split(KEY, 4)
    init = lambda key: affine_coupling.init(key, dim=3, widths=(4,), scale=0.5)  # noqa: E731
    return flow_guide.init(MOVED, (jax.vmap(init)(keys),), scale=0.7)


GUIDES = {
    "mean_field": (mean_field, mean_field.init(MOVED, scale=0.4)),
    "full_rank": (
        full_rank,
        full_rank.from_factor(MOVED, jnp.asarray(np.linalg.cholesky(COV))),
    ),
    "low_rank": (low_rank, low_rank.init(KEY, MOVED, rank=2)._replace(directions=jnp.ones((3, 2)))),
    "secant_normal": (
        secant_normal,
        secant_normal.Params(
            MOVED, jnp.zeros(3), jnp.array([[0.5, 1.0, 0.0]]), jnp.array([[0.2, -0.4, 0.1]])
        ),
    ),
    "flow_guide": (flow_guide.Guide(LAYERS), flow()),
}


@pytest.mark.parametrize("name", GUIDES)
def test_a_draw_has_the_density_that_was_said(name):
    guide, params = GUIDES[name]
    position, log_q = guide.sample(KEY, params)
    assert jax.tree.structure(position) == jax.tree.structure(ORIGIN)
    np.testing.assert_allclose(guide.log_prob(params, position), log_q, rtol=1e-4)


@pytest.mark.parametrize("name", ["full_rank", "low_rank", "secant_normal"])
def test_draws_have_the_moments_of_the_density(name):
    """The Fisher information of a normal's log density is its precision."""
    guide, params = GUIDES[name]
    keys = jax.random.split(KEY, 20_000)
    draws = numbers(jax.vmap(lambda key: guide.sample(key, params)[0])(keys))
    curvature = jax.hessian(lambda x: guide.log_prob(params, x))(MOVED)
    rows = [
        np.concatenate([curvature[i]["a"].reshape(-1, 2), curvature[i]["b"].reshape(-1, 1)], axis=1)
        for i in ("a", "b")
    ]
    cov = np.linalg.inv(-np.concatenate(rows))
    error = 5 / np.sqrt(len(draws))  # five standard errors, of standardized numbers
    scale = np.sqrt(np.diag(cov))
    np.testing.assert_allclose(draws.mean(axis=0), numbers(MOVED), atol=error * scale.max())
    apart = (np.cov(draws.T) - cov) / np.outer(scale, scale)
    assert np.abs(apart).max() < error * np.sqrt(2)


def test_long_directions_cost_no_digits():
    _, params = GUIDES["low_rank"]
    W = 1e4 * jnp.array([[1.0, 0.5], [0.9, -0.3], [-0.4, 0.8]])
    position, log_q = low_rank.sample(KEY, params._replace(directions=W))
    unit, W = np.exp(np.asarray(params.log_scale, float)), np.asarray(W, float)
    cov = unit[:, None] * (np.eye(3) + W @ W.T) * unit
    exact = stats.multivariate_normal(numbers(MOVED), cov).logpdf(numbers(position))
    np.testing.assert_allclose(log_q, exact, atol=0.05)


def test_a_factor_comes_back():
    factor = jnp.asarray(np.linalg.cholesky(COV))
    params = full_rank.from_factor(ORIGIN, factor)
    np.testing.assert_allclose(full_rank.factor(params), factor, rtol=1e-6)


def test_secants_make_the_inverse_hessian_of_bfgs():
    """Two steps on a quadratic, against the rank-two formula with matrices."""
    points = np.array([[0.0, 0, 0], [1.0, -1, 0.5], [1.5, 0.5, -0.5]], np.float32)
    slopes = -(points - MEAN) @ np.linalg.inv(COV)
    normals = secant_normal.along(jnp.asarray(points), jnp.asarray(slopes), memory=2)
    last = jax.tree.map(lambda leaf: leaf[-1], normals)
    H = np.diag(np.exp(2 * np.asarray(last.log_scale)))
    for i in range(2):
        s, y = np.diff(points, axis=0)[i], -np.diff(slopes, axis=0)[i]
        V = np.eye(3) - np.outer(s, y) / (s @ y)
        H = V @ H @ V.T + np.outer(s, s) / (s @ y)
    R = jax.vmap(lambda z: secant_normal.root(last, z))(jnp.eye(3)).T
    np.testing.assert_allclose(R @ R.T, H, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(last.mean, points[-1] + H @ slopes[-1], rtol=1e-3)


@pytest.mark.parametrize("guide", [mean_field, full_rank])
@pytest.mark.parametrize(
    "position", [{"a": jnp.zeros(2, int)}, {}, {"a": jnp.zeros(2), "b": jnp.zeros(2, jnp.float16)}]
)
def test_a_position_is_of_floats_of_one_dtype(guide, position):
    with pytest.raises(ValueError, match=r"position has leaves of .* not of one floating dtype"):
        guide.init(position)


def test_a_rank_is_at_least_one():
    with pytest.raises(ValueError, match=r"^low_rank.init: rank is 0, not at least 1"):
        low_rank.init(KEY, ORIGIN, rank=0)
