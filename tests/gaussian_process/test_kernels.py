"""Kernels: slopes where points meet, the algebra, and coordinates that are left out or many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.probability.gaussian_process import gp_regression, kernels, marginal_likelihood


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "wanted"), [(kernels.Matern32, -3.0), (kernels.Matern52, -5 / 3)])
def test_the_curvature_at_distance_zero_is_that_of_the_series(kind, wanted):
    """k = 1 − 3 t²/2 + … and 1 − 5 t²/6 + …: a plain root would give NaN, a guarded one 0."""

    def along(t):
        return kernels.cross(kind(1.0), t[None, None], jnp.zeros((1, 1)))[0, 0]

    close(jax.hessian(along)(jnp.array(0.0)), wanted)
    close(jax.grad(along)(jnp.array(0.0)), 0.0)


def test_a_kernel_of_ones_own_joins_the_algebra():
    def brownian(scale, x, z, is_same):
        return scale * jnp.minimum(x, z)[..., 0]

    kernel = kernels.Sum((Partial(brownian, 2.0), kernels.White(0.1)))
    close(kernels.gram(kernel, jnp.array([[0.5], [2.0]])), [[1.1, 1.0], [1.0, 4.1]])


def test_a_lengthscale_without_end_leaves_a_coordinate_out():
    X = np.random.default_rng(0).normal(size=(6, 2))
    part = kernels.gram(kernels.RBF(0.7), X[:, :1])
    close(kernels.gram(kernels.RBF(jnp.array([0.7, jnp.inf])), X), part)


def test_many_coordinates_are_summed_along_an_axis():
    X = np.random.default_rng(1).normal(size=(6, 11))
    distance2 = ((X[:, None] - X[None]) ** 2).sum(axis=-1)
    close(kernels.gram(kernels.RBF(2.0), X), np.exp(-distance2 / 8))


def test_the_likelihood_is_the_chain_of_predictions():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(5, 2)), rng.normal(size=5)
    kernel, total = kernels.Matern32(jnp.array([0.7, 1.6])), 0.0
    for i in range(5):
        before = gp_regression.fit(kernel, X, y, noise=0.3, is_observed=np.arange(5) < i)
        mean, variance = (
            leaf[0] + more
            for leaf, more in zip(
                gp_regression.predict(before, X[i : i + 1]), (0.0, 0.3), strict=True
            )
        )
        total -= (y[i] - mean) ** 2 / variance / 2 + jnp.log(2 * jnp.pi * variance) / 2
    close(marginal_likelihood.log_prob(kernel, X, y, noise=0.3), total)


@pytest.mark.parametrize(
    "kind", [kernels.RBF, kernels.Matern12, kernels.Matern32, kernels.Matern52]
)
@pytest.mark.parametrize("unit", [2.0**-100, 2.0**100])
def test_no_unit_of_x_is_out_of_range_in_single_precision(kind, unit):
    with jax.enable_x64(False):
        x = jnp.array([[0.0], [1.0], [3.0]])

        def both(unit):
            def total(log_length):
                return kernels.gram(kind(jnp.exp(log_length) * unit), x * unit).sum()

            return kernels.gram(kind(jnp.float32(unit)), x * unit), jax.grad(total)(0.0)

        for ours, wanted in zip(both(unit), both(1.0), strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-6)


def test_the_slope_is_finite_where_a_coordinate_is_left_out():
    def fn(length):
        X = jnp.array([[0.0, 1.0], [1.0, -2.0], [2.5, 0.5]])
        return marginal_likelihood.log_prob(kernels.RBF(length), X, jnp.ones(3), noise=0.1)

    slope = jax.grad(fn)(jnp.array([1.0, jnp.inf]))
    assert jnp.isfinite(slope).all()
    assert slope[1] == 0
