"""Implicit derivatives: both modes, second order, and where they do not hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from jax.tree_util import Partial

from mastery_jax.numerics.optimize import (
    gauss_newton,
    implicit,
    lbfgs,
    levenberg_marquardt,
    newton,
    newton_raphson,
)
from tests.optimize import problems


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


t = np.linspace(0.0, 3.0, 8)
y = 2 * np.exp(-0.7 * t) + 0.1 * np.cos(9 * t)


def cubic(a, x):
    return x**3 + x - a


def by_lbfgs(scale):
    return lbfgs.minimize(Partial(problems.rosenbrock, scale), jnp.zeros(2) + 0.3, gtol=1e-11)


def by_newton(scale):
    return newton.minimize(Partial(problems.logarithm, scale), jnp.ones(2), gtol=1e-11)


def by_newton_raphson(scale):
    return newton_raphson.solve(Partial(cubic, scale[None]), jnp.ones(1), atol=1e-12)


def by_gauss_newton(scale):
    return gauss_newton.minimize(Partial(problems.decay, t, scale * y), jnp.ones(2), gtol=1e-11)


def by_levenberg_marquardt(scale):
    return levenberg_marquardt.minimize(Partial(problems.decay, t, scale * y), jnp.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "solve", [by_lbfgs, by_newton, by_newton_raphson, by_gauss_newton, by_levenberg_marquardt]
)
def test_the_solution_moves_as_finite_differences_say(solve):
    def floats(scale):
        x, info = solve(scale)
        return x, info.value

    assert solve(jnp.array(1.3))[1].is_done
    check_grads(floats, (jnp.array(1.3),), order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-6)


def test_second_derivatives():
    def root(a):
        return by_newton_raphson(a)[0][0]

    a = jnp.array(1.7)
    x = root(a)
    slope = 1 / (3 * x**2 + 1)
    np.testing.assert_allclose(jax.grad(root)(a), slope, rtol=1e-9)
    np.testing.assert_allclose(jax.grad(jax.grad(root))(a), -6 * x * slope**3, rtol=1e-8)


@pytest.mark.slow
def test_under_vmap_each_has_its_own():
    scales = jnp.array([0.5, 1.0, 2.0])
    whole = jax.vmap(jax.grad(lambda a: by_newton_raphson(a)[0][0]))(scales)
    alone = [jax.grad(lambda a: by_newton_raphson(a)[0][0])(a) for a in scales]
    np.testing.assert_allclose(whole, jnp.stack(alone), rtol=1e-12)


@pytest.mark.slow
def test_where_it_is_not_a_root_the_derivative_is_that_of_another():
    def early(a):
        fn = Partial(cubic, a[None])
        return newton_raphson.solve(fn, jnp.ones(1), atol=1e-12, max_steps=1)[0][0]

    a = jnp.array(1.7)
    x = early(a)
    np.testing.assert_allclose(jax.grad(early)(a), 1 / (3 * x**2 + 1), rtol=1e-9)
    assert abs(jax.grad(early)(a) - (early(a + 1e-6) - early(a - 1e-6)) / 2e-6) > 1e-3


def test_a_singular_root_has_no_finite_derivative():
    def square(a, x):
        return x**2 - a

    slope = jax.grad(lambda a: implicit.attach(Partial(square, a), jnp.zeros(1))[0])(jnp.array(0.0))
    assert not jnp.isfinite(slope)


def test_no_derivative_goes_through_the_search():
    slope = jax.grad(lambda x: newton_raphson.solve(Partial(cubic, np.ones(1)), x)[0][0])
    assert slope(jnp.ones(1)) == 0
