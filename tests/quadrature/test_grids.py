"""Product and sparse grids: exactness, merging, and refusal before anything is allocated."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import product_grid, sparse_grid


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("basis", ["clenshaw_curtis", "gauss_legendre", "gauss_hermite"])
def test_a_sparse_grid_is_exact_to_total_degree_2l_plus_1(basis):
    dim, level = 3, 2
    points, weights = sparse_grid.make(dim=dim, level=level, basis=basis)
    for powers in itertools.product(range(2 * level + 2), repeat=dim):
        if sum(powers) > 2 * level + 1:
            continue
        if basis == "gauss_hermite":
            moment = [math.prod(range(p - 1, 0, -2)) if p % 2 == 0 else 0 for p in powers]
        else:
            moment = [2 / (p + 1) if p % 2 == 0 else 0 for p in powers]
        found = weights[:, 0] @ np.prod(points ** np.array(powers), axis=1)
        assert abs(found - math.prod(moment)) < 1e-12
    assert len(np.unique(points.round(12), axis=0)) == len(points)
    assert len(points) <= sparse_grid.num_points(dim=dim, level=level, basis=basis)


def test_in_one_dimension_a_sparse_grid_is_its_rule():
    points, weights = sparse_grid.make(dim=1, level=3, basis="clenshaw_curtis")
    np.testing.assert_allclose(points[:, 0], -np.cos(np.pi * np.arange(9) / 8), atol=1e-15)
    assert abs(weights[:, 0] @ points[:, 0] ** 8 - 2 / 9) < 1e-14


def test_twenty_dimensions_at_a_low_level():
    fn = Partial(lambda x: jnp.exp(-0.05 * x.sum()))
    estimate, bound = sparse_grid.integrate(fn, jnp.zeros(20), jnp.ones(20), level=2)
    wanted = ((1 - math.exp(-0.05)) / 0.05) ** 20
    assert abs(estimate - wanted) <= bound.error
    np.testing.assert_allclose(estimate, wanted, rtol=1e-7)
    assert bound.num_evals == 841


def test_normal_expectations_of_correlated_variables():
    mean, cov = jnp.array([0.2, -0.4]), jnp.array([[1.0, 0.6], [0.6, 0.8]])
    tilt = jnp.array([0.5, -0.3])
    wanted = math.exp(tilt @ mean + tilt @ cov @ tilt / 2)
    fn = Partial(lambda tilt, x: jnp.exp(tilt @ x), tilt)
    for estimate, bound in (
        product_grid.expectation(fn, mean, cov, num_nodes=10),
        sparse_grid.expectation(fn, mean, cov, level=6),
    ):
        np.testing.assert_allclose(estimate, wanted, rtol=1e-8)
        assert abs(estimate - wanted) <= bound.error
    slope = jax.grad(lambda m: product_grid.expectation(fn, m, cov)[0])(mean)
    np.testing.assert_allclose(slope, wanted * tilt, rtol=1e-6)


def test_a_reversed_axis_turns_the_sign():
    fn = Partial(lambda x: x[0] * x[1] ** 2)
    low, high = jnp.array([0.0, 1.0]), jnp.array([2.0, 0.0])
    for found in (
        product_grid.integrate(fn, low, high, num_nodes=3)[0],
        sparse_grid.integrate(fn, low, high, level=2)[0],
    ):
        np.testing.assert_allclose(found, -2 / 3, rtol=1e-12)


def test_too_many_points_are_refused_by_name():
    ends = jnp.zeros(10), jnp.ones(10)
    with pytest.raises(ValueError, match=r"product_grid\.integrate: .* 1073741824 points in 10"):
        product_grid.integrate(Partial(jnp.sum), *ends)
    with pytest.raises(ValueError, match=r"sparse_grid\.integrate: level is 9.* not at most"):
        sparse_grid.integrate(Partial(jnp.sum), *ends, level=9)
    with pytest.raises(ValueError, match=r"sparse_grid\.integrate: level is 0"):
        sparse_grid.integrate(Partial(jnp.sum), *ends, level=0)
    with pytest.raises(ValueError, match=r"sparse_grid\.integrate: basis is 'gauss_hermite'"):
        sparse_grid.integrate(Partial(jnp.sum), *ends, basis="gauss_hermite")
    with pytest.raises(ValueError, match=r"product_grid\.expectation: num_nodes is 1"):
        product_grid.expectation(Partial(jnp.sum), jnp.zeros(2), jnp.eye(2), num_nodes=1)


def test_bad_input_gives_nan_and_says_so():
    zeros, ones = jnp.zeros(2), jnp.ones(2)
    for estimate, bound in (
        product_grid.integrate(Partial(jnp.sum), zeros, ones * jnp.inf),
        sparse_grid.integrate(Partial(jnp.sum), zeros * jnp.nan, ones),
        product_grid.expectation(Partial(jnp.sum), zeros, -jnp.eye(2)),
        sparse_grid.expectation(Partial(jnp.sum), zeros, -jnp.eye(2)),
    ):
        assert jnp.isnan(estimate)
        assert bound.status == Status.BAD_INPUT
