"""Differences: exact on polynomials, as accurate as promised elsewhere, and honest at the edge."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.numerics.calculus import complex_step, finite_difference

few = settings(max_examples=10, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def power(p, x):
    return x**p


def tangled(a, x):
    return jnp.exp(jnp.sin(a.astype(x.dtype) * x).sum()) + (x**3).sum() * x[0]


def test_the_weights_are_the_published_ones():
    assert finite_difference.coefficients((-1, 1)) == (-1 / 2, 1 / 2)
    wanted = (1 / 12, -2 / 3, 0, 2 / 3, -1 / 12)
    np.testing.assert_allclose(finite_difference.coefficients(range(-2, 3)), wanted, rtol=1e-15)
    wanted = (-49 / 18, 3 / 2, -3 / 20, 1 / 90)
    found = finite_difference.coefficients(range(-3, 4), degree=2)[3:]
    np.testing.assert_allclose(found, wanted, rtol=1e-15)
    assert finite_difference.coefficients((0, 1, 2)) == (-3 / 2, 2, -1 / 2)


@pytest.mark.parametrize("degree", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "order"),
    [*itertools.product(["central"], [2, 4, 6, 8]), ("forward", 1), ("forward", 3)],
)
def test_a_rule_is_exact_up_to_its_order_and_not_beyond(kind, order, degree):
    def error(p):
        static = {"degree": degree, "order": order, "kind": kind}
        found = finite_difference.derivative(
            Partial(power, p), jnp.array(0.5), step_size=0.5, **static
        )
        wanted = np.polynomial.Polynomial([0] * p + [1]).deriv(degree)(0.5)
        return abs(found - wanted) / max(abs(wanted), 1)

    assert max(error(p) for p in (degree, degree + order - 1)) < 1e-11
    assert error(degree + order) > 1e-4


@pytest.mark.parametrize("width", ["float32", "float64"])
@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_the_chosen_step_keeps_the_digits_that_are_promised(order, width):
    x = jnp.asarray([-0.7, 0.2, 1.3, 2.0], width)
    found = jax.vmap(lambda x: finite_difference.derivative(Partial(jnp.sin), x, order=order))(x)
    error = np.abs(np.asarray(found, float) - np.cos(np.asarray(x, float))).max()
    promised = float(jnp.finfo(width).eps) ** (order / (order + 1))
    assert promised / 100 < error < 5 * promised


@pytest.mark.parametrize("order", [2, *(pytest.param(p, marks=pytest.mark.slow) for p in (4, 6))])
def test_no_step_is_much_better_than_the_chosen_one(order):
    x = jnp.array(1.0)
    fn = Partial(lambda x: jnp.exp(jnp.sin(x)))
    wanted = jax.grad(fn)(x)

    def error(h):
        return jnp.abs(finite_difference.derivative(fn, x, order=order, step_size=h) - wanted)

    steps = 2.0 ** -jnp.arange(1, 30, dtype=x.dtype)
    # Of a single step the error may vanish by luck: what is compared is the worst of three.
    errors = jax.vmap(error)(steps)
    best = jnp.stack([errors[:-2], errors[1:-1], errors[2:]]).max(axis=0).min()
    assert error(finite_difference.step_size(x, order=order)) < 20 * best


@pytest.mark.slow
@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
def test_derivatives_of_vectors_are_those_of_autodiff(seed, n):
    rng = np.random.default_rng(seed)
    a, x = rng.normal(size=(2, n))
    fn = Partial(tangled, a)
    of_gradient = Partial(lambda fn, x: jax.grad(fn)(x), fn)
    scale = 1 + np.abs(jax.hessian(fn)(x)).max()
    for found, wanted, atol in (
        (finite_difference.gradient(fn, x, order=6), jax.grad(fn)(x), 1e-10),
        (finite_difference.gradient(fn, x, order=2, kind="forward"), jax.grad(fn)(x), 1e-7),
        (finite_difference.jacobian(of_gradient, x, order=6), jax.hessian(fn)(x), 1e-10),
        (finite_difference.hessian(fn, x, order=6), jax.hessian(fn)(x), 1e-8),
        (complex_step.jacobian(fn, x), jax.grad(fn)(x), 1e-14),
    ):
        np.testing.assert_allclose(found, wanted, atol=10 * atol * scale)
    curvature = finite_difference.hessian(fn, x)
    np.testing.assert_array_equal(curvature, curvature.T)


@pytest.mark.slow
def test_a_jacobian_has_the_axes_of_the_value_first():
    x = jnp.arange(3.0)
    fn = Partial(lambda x: {"a": x[:2], "b": x.sum()}["a"][:, None] * x[None, :])
    assert finite_difference.jacobian(fn, x).shape == jax.jacobian(fn)(x).shape == (2, 3, 3)
    assert complex_step.jacobian(fn, x).shape == (2, 3, 3)


def test_each_entry_has_a_step_of_its_own_size():
    x = jnp.array([1e-3, 1.0, 1e6])
    steps = finite_difference.step_size(x, order=2)
    np.testing.assert_array_equal(steps[0], steps[1])
    np.testing.assert_array_equal(steps[2], steps[1] * 2.0**20)
    found = finite_difference.gradient(Partial(lambda x: jnp.log(x[2]) + x[0]), x)
    np.testing.assert_allclose(found, [1, 0, 1e-6], rtol=1e-9, atol=1e-11)


def test_forward_differences_never_look_below():
    found = finite_difference.derivative(
        Partial(lambda x: jnp.sqrt(x) ** 3), jnp.array(0.0), order=1, kind="forward"
    )
    assert 0 <= found < 1e-3
    central = finite_difference.derivative(Partial(jnp.sqrt), jnp.array(0.0))
    assert jnp.isnan(central)


def test_a_step_of_zero_and_a_nan_give_nan():
    fn = Partial(lambda x: (x**2).sum())
    assert jnp.isnan(finite_difference.gradient(fn, jnp.ones(2), step_size=0.0)).all()
    assert jnp.isnan(finite_difference.gradient(fn, jnp.array([1.0, jnp.nan]))).all()
    assert jnp.isnan(finite_difference.hessian(fn, jnp.ones(2), step_size=0.0)).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda d, f, x: d.jacobian(f, x, order=3),
            "jacobian: order is 3, not 2, 4, 6, … \\(centr",
        ),
        (lambda d, f, x: d.jacobian(f, x, order=0, kind="forward"), "order is 0, not 1, 2, 3, …"),
        (lambda d, f, x: d.jacobian(f, x, kind="backward"), "jacobian: kind is 'backward', not"),
        (
            lambda d, f, x: d.derivative(f, x[0], degree=0),
            "derivative: degree is 0, not at least 1",
        ),
        (lambda d, f, x: d.gradient(f, x), "gradient: fn gives float64\\[2\\], not one number"),
        (lambda d, f, x: d.hessian(f, x), "hessian: fn gives float64\\[2\\], not one number"),
        (
            lambda d, f, x: d.coefficients((0, 0)),
            "offsets are \\(0, 0\\), not more than 1 different",
        ),
        (lambda d, f, x: d.gradient(f, x[0]), "gradient: x is float64\\[\\], not Float"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(ValueError, match=f"finite_difference.*{said}"):
        call(finite_difference, Partial(lambda x: x**2), jnp.ones(2))


@pytest.mark.parametrize("width", [jnp.float32, jnp.float64])
def test_a_complex_step_follows_the_size_of_each_entry(width):
    x = jnp.asarray([1e-4, 1.0, 1e4, 0.0], width)
    found = complex_step.jacobian(Partial(lambda x: (x**3).sum() / 3), x)
    eps = float(jnp.finfo(width).eps)
    np.testing.assert_allclose(found, x**2, rtol=8 * eps, atol=eps**2)
