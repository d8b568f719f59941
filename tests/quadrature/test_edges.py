"""Where integrals meet the edges of numbers: units, infinite slopes, equal ends, other dtypes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import (
    gauss_hermite,
    gauss_kronrod,
    gauss_laguerre,
    gauss_legendre,
    newton_cotes,
    product_grid,
    sparse_grid,
)
from mastery_jax.numerics.quadrature.monte_carlo import (
    antithetic,
    control_variates,
    importance,
    plain,
    quasi,
    stratified,
    vegas,
)

KEY = jax.random.key(0)
ZERO, ONE = jnp.zeros(2), jnp.ones(2)
HALF_IN_X = {
    "controls": Partial(lambda x: x[:1]),
    "integrals": jnp.full(1, 0.5),
}
UNIFORM = {
    "sample": Partial(lambda key: jax.random.uniform(key, (2,))),
    "log_density": Partial(lambda x: 0 * x[0]),
}
RULES = {
    "plain": partial(plain.integrate, num_samples=4096),
    "plain in parts": partial(plain.integrate, num_samples=5000, max_bytes=2**13),
    "antithetic": partial(antithetic.integrate, num_samples=4096),
    "stratified": partial(stratified.integrate, num_samples=4096),
    "quasi": partial(quasi.integrate, num_samples=4096),
    "control variates": partial(control_variates.integrate, num_samples=4096, **HALF_IN_X),
    "importance": partial(importance.integrate, num_samples=4096, **UNIFORM),
    "vegas": partial(vegas.integrate, num_samples=4000),
}


def scaled(c, x):
    return c * jnp.exp(x.sum())


@pytest.mark.parametrize("rule", RULES)
def test_an_error_bar_follows_the_unit_of_the_integrand(rule):
    """In float32, where squares of 2^±80 are no numbers."""
    call = jax.jit(lambda c: RULES[rule](KEY, Partial(scaled, c), ZERO, ONE)[:2])
    estimate, info = call(jnp.float32(1))
    assert info.std_error > 0
    for power in (-80, 80):
        unit = jnp.float32(2.0**power)
        there, said = call(unit)
        assert said.status == info.status == Status.CONVERGED
        np.testing.assert_allclose(there / unit, estimate, rtol=1e-6)
        np.testing.assert_allclose(said.std_error / unit, info.std_error, rtol=1e-5)


def test_an_expectation_has_its_unit_too():
    call = {**UNIFORM, "log_target": Partial(lambda x: x[0]), "num_samples": 2000}
    found = [
        importance.expectation(KEY, Partial(scaled, jnp.float32(c)), **call) for c in (1, 2.0**80)
    ]
    (one, info), (large, said) = found
    np.testing.assert_allclose(large / 2.0**80, one, rtol=1e-6)
    np.testing.assert_allclose(said.std_error / 2.0**80, info.std_error, rtol=1e-5)


def test_a_volume_beyond_the_dtype_does_not_spoil_a_value_of_zero():
    def normal(x):
        return jnp.exp(-0.5 * (x * x).sum() - len(x) * 0.9189385332)

    whole = jnp.full(20, jnp.inf)
    estimate, info = plain.integrate(KEY, Partial(normal), -whole, whole, num_samples=2**14)
    assert np.isfinite(estimate)
    assert info.status == Status.CONVERGED


@pytest.mark.slow
def test_a_narrow_peak_has_one_slope_in_both_modes():
    def of(width):
        fn = Partial(lambda w, x: jnp.exp(-(((x - 0.3) / w) ** 2).sum()), width)
        return vegas.integrate(KEY, fn, ZERO, ONE, num_samples=100_000)[0]

    back, ahead = jax.grad(of)(0.05), jax.jvp(of, (0.05,), (1.0,))[1]
    np.testing.assert_allclose(back, ahead, rtol=1e-4)
    np.testing.assert_allclose(back, 2 * np.pi * 0.05, rtol=0.01)


@pytest.mark.slow
def test_an_integrand_without_values_outside_of_the_box_has_a_slope():
    def of(p):
        fn = Partial(lambda p, x: p * jnp.sqrt(x[0]), p)
        proposal = {
            "sample": Partial(lambda key: jax.random.normal(key, (1,))),
            "log_density": Partial(lambda x: -(x[0] ** 2 + jnp.log(2 * jnp.pi)) / 2),
        }
        return importance.integrate(
            KEY, fn, jnp.zeros(1), jnp.ones(1), num_samples=2000, **proposal
        )[0]

    np.testing.assert_allclose(jax.grad(of)(2.0), of(2.0) / 2, rtol=1e-5)


def root(p, x):
    return p / jnp.sqrt(x)


def test_a_parameter_has_its_slope_beside_an_end_where_the_integrand_is_infinite():
    def area(p, a, b):
        return gauss_kronrod.integrate(Partial(root, p), a, b)[0]

    for jacobian in (jax.jacfwd, jax.jacrev):
        p, lower, upper = jacobian(area, (0, 1, 2))(2.0, 0.0, 1.0)
        np.testing.assert_allclose([p, upper], 2.0, rtol=1e-4)
        assert lower < -1e30


@pytest.mark.slow
def test_a_parameter_has_both_slopes_beside_an_infinite_end():
    def tail(p, b):
        return gauss_kronrod.integrate(Partial(lambda p, x: p * p / x**2, p), 1.0, b)[0]

    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            (twice, mixed), (_, end) = outer(inner(tail, (0, 1)), (0, 1))(2.0, jnp.inf)
            np.testing.assert_allclose([twice, mixed, end], [2.0, 0.0, 0.0], atol=1e-4)


def test_equal_ends_have_slopes_of_both_orders():
    def area(p, a, b):
        return gauss_kronrod.integrate(Partial(lambda p, x: jnp.sin(p * x), p), a, b)[0]

    found = np.array(jax.hessian(area, (0, 1, 2))(2.0, 1.0, 1.0))
    there = float(np.cos(2.0))
    ends = [[-2 * there, 0], [0, 2 * there]]
    np.testing.assert_allclose(found[0], [0, -there, there], atol=1e-6)
    np.testing.assert_allclose(found[1:, 0], [-there, there], atol=1e-6)
    np.testing.assert_allclose(found[1:, 1:], ends, atol=1e-6)


@pytest.mark.parametrize("grid", [product_grid, sparse_grid])
def test_only_the_triangle_that_is_read_has_a_slope(grid):
    def second(cov):
        return grid.expectation(Partial(lambda x: x[1] ** 2), jnp.zeros(2), cov)[0]

    slope = jax.grad(second)(jnp.array([[2.0, 1.0], [1.0, 3.0]]))
    np.testing.assert_allclose(slope, [[0, 0], [0, 1]], atol=1e-5)


def test_nodes_whose_weights_the_dtype_loses_are_left_out():
    found = gauss_laguerre.integrate(Partial(lambda x: jnp.exp(0.5 * x)), 0.0, num_nodes=64)[0]
    np.testing.assert_allclose(found, 2.0, rtol=1e-5)
    fn = Partial(lambda x: jnp.exp(x * x / 3))
    found = gauss_hermite.expectation(fn, 0.0, 1.0, num_nodes=128)[0]
    np.testing.assert_allclose(found, 3**0.5, rtol=1e-4)


def test_a_grid_is_counted_before_it_is_made():
    fn = Partial(lambda x: x[0])
    with pytest.raises(ValueError, match=r"sparse_grid.integrate: level is 30, which makes \d+"):
        sparse_grid.integrate(fn, jnp.zeros(5), jnp.ones(5), level=30)
    estimate, _ = sparse_grid.integrate(fn, jnp.zeros(1), jnp.ones(1), level=16)
    np.testing.assert_allclose(estimate, 0.5, rtol=1e-5)


def turning(x):
    return jax.lax.complex(jnp.cos(x), jnp.sin(x)).sum()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (partial(gauss_kronrod.integrate, Partial(turning), 0.0, 1.0), r"complex64, not real"),
        (partial(gauss_legendre.integrate, Partial(turning), 0.0, 1.0), r"complex64, not real"),
        (partial(RULES["plain"], KEY, Partial(turning), ZERO, ONE), r"plain.*complex64, not real"),
        (
            partial(RULES["vegas"], KEY, Partial(scaled, 1.0), *jnp.float16([[0, 0], [1, 1]])),
            r"vegas.integrate: lower is float16, whose numbers end at 65504",
        ),
        (
            partial(newton_cotes.integrate_samples, jnp.arange(4.0), jnp.ones(4), rule="boole"),
            r"rule is 'boole', not 'trapezoid' or 'simpson'",
        ),
        (partial(gauss_laguerre.nodes, 5, 200.0), r"alpha is 200.0, not above -1 and at most 170"),
    ],
)
def test_what_has_no_answer_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
