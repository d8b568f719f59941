"""Mean embeddings, where lengthscales are long: no digits are lost, and infinity is a limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.probability import bayesian_quadrature
from mastery_jax.probability.gaussian_process import embedding, kernels

KINDS = [kernels.Matern12, kernels.Matern32, kernels.Matern52, kernels.RBF]
LENGTHS = [0.03, 0.4, 0.51, 1.0, 3.0, 1e2, 1e5]  # on both sides of where the series takes over


def by_gauss(kernel):
    """Return ∫ k(x, 0.3) dx and ∬ k over the unit interval, piece by piece."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    nodes, weights = (nodes + 1) / 2, weights / 2

    def along(lengths):
        return np.asarray(kernels.cross(kernel, jnp.asarray(lengths)[:, None], jnp.zeros((1, 1))))

    pieces = sum(width * (weights @ along(width * nodes)[:, 0]) for width in (0.3, 0.7))
    return pieces, 2 * (weights * (1 - nodes)) @ along(nodes)[:, 0]


def ours(kernel):
    box = embedding.Box(jnp.zeros(1), jnp.ones(1))
    return embedding.mean(kernel, box, jnp.full((1, 1), 0.3))[0], embedding.energy(kernel, box)


@pytest.mark.parametrize("kind", KINDS)
def test_long_lengthscales_keep_every_digit(kind):
    for length in LENGTHS:
        with jax.enable_x64(True):
            wanted = by_gauss(kind(length))
            np.testing.assert_allclose(ours(kind(length)), wanted, rtol=1e-12)
        np.testing.assert_allclose(ours(kind(length)), wanted, rtol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [2.0**100, jnp.inf])
def test_an_infinite_lengthscale_is_a_constant(kind, length):
    np.testing.assert_allclose(ours(kind(length)), 1.0, rtol=1e-6)
    for part in range(2):
        assert jnp.isfinite(jax.grad(lambda length, i=part: ours(kind(length))[i])(length))


def test_a_normal_measure_leaves_a_coordinate_out():
    both = embedding.Normal(jnp.zeros(2), jnp.array([1.0, 3.0]))
    first = embedding.Normal(jnp.zeros(1), jnp.ones(1))
    without, X = kernels.RBF(jnp.array([0.7, jnp.inf])), jnp.array([[0.4, -8.0]])
    mean = embedding.mean(kernels.RBF(0.7), first, X[:, :1])
    np.testing.assert_allclose(embedding.mean(without, both, X), mean, rtol=1e-6)
    energy = embedding.energy(kernels.RBF(0.7), first)
    np.testing.assert_allclose(embedding.energy(without, both), energy, rtol=1e-6)


def test_the_variance_of_an_integral_is_not_negative():
    box = embedding.Box(jnp.zeros(1), jnp.ones(1))
    state = bayesian_quadrature.fit(
        kernels.Matern52(200.0), box, jnp.array([[0.2], [0.8]]), jnp.ones(2), noise=1e-3
    )
    _, variance = bayesian_quadrature.integrate(state)
    np.testing.assert_allclose(variance, 1e-3 / (2 + 1e-3), rtol=1e-3)
