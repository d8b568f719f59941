"""Adaptive Gauss-Kronrod: closed forms, ends, derivatives, and what it says of no integral."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy import integrate as peer

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_kronrod
from tests.quadrature.integrands import KNOWN

few = settings(max_examples=10, deadline=None, derandomize=True)
EASY = ("polynomial", "peak", "bell", "log")


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def integral(fn, lower, upper, **hyper):
    estimate, bound = gauss_kronrod.integrate(Partial(fn), lower, upper, **hyper)
    return estimate, bound.error, Status(int(bound.status))


def hold(name):
    known = KNOWN[name]
    estimate, error, status = integral(known.fn, known.lower, known.upper, rtol=known.rtol)
    assert status is Status.CONVERGED
    assert abs(estimate - known.value) <= max(error, 4e-16 * abs(known.value)) + 1e-15
    np.testing.assert_allclose(estimate, known.value, rtol=known.rtol)
    ends = (jnp.asarray(end, "float32") for end in (known.lower, known.upper))
    single, _, status = integral(known.fn, *ends, rtol=known.rtol32)
    assert single.dtype == "float32"
    assert status in (Status.CONVERGED, Status.STALLED)
    np.testing.assert_allclose(single, known.value, rtol=10 * known.rtol32)


@pytest.mark.parametrize("name", EASY)
def test_closed_forms(name):
    hold(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KNOWN if name not in EASY])
def test_more_closed_forms(name):
    hold(name)


@pytest.mark.parametrize("num_nodes", [15, 21, 61])
def test_the_nodes_are_exact_to_their_degree(num_nodes):
    x, weights, embedded = gauss_kronrod.nodes(num_nodes)
    for degree in range(3 * (num_nodes // 2) + 2):
        wanted = 2 / (degree + 1) if degree % 2 == 0 else 0
        assert abs(weights @ x**degree - wanted) < 1e-14
        if degree < 2 * (num_nodes // 2):
            assert abs(embedded @ x**degree - wanted) < 1e-14
    assert (weights > 0).all()


def line(p, x):
    return jnp.exp(-p * x) * jnp.sin(x)


@few
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.2, 2))
def test_parts_add_up_and_reversed_ends_turn_the_sign(a, b, p):
    def over(lower, upper):
        return gauss_kronrod.integrate(Partial(line, p), lower, upper, atol=1e-13)[0]

    np.testing.assert_allclose(over(a, b), -over(b, a), atol=1e-13)
    np.testing.assert_allclose(over(a, 0.5) + over(0.5, b), over(a, b), atol=1e-11)
    assert over(a, a) == 0
    wanted = peer.quad(lambda x: np.exp(-p * x) * np.sin(x), a, b, epsabs=1e-13)[0]
    np.testing.assert_allclose(over(a, b), wanted, atol=1e-11)


@pytest.mark.parametrize(
    "derive", [jax.grad, jax.jacfwd, pytest.param(jax.hessian, marks=pytest.mark.slow)]
)
def test_derivatives_of_every_kind(derive):
    def ours(p, a, b):
        return gauss_kronrod.integrate(Partial(line, p), a, b, rtol=1e-12)[0]

    def closed(p, a, b):
        def primitive(x):
            return -jnp.exp(-p * x) * (p * jnp.sin(x) + jnp.cos(x)) / (1 + p * p)

        return primitive(b) - primitive(a)

    found, wanted = derive(ours, (0, 1, 2))(0.7, 0.2, 1.9), derive(closed, (0, 1, 2))(0.7, 0.2, 1.9)
    np.testing.assert_allclose(np.array(found), np.array(wanted), rtol=1e-9, atol=1e-10)


def test_the_slope_of_a_tail():

    def tail(p, a):
        return gauss_kronrod.integrate(Partial(lambda p, x: jnp.exp(-p * x), p), a, jnp.inf)[0]

    slopes = jax.grad(tail, (0, 1))(2.0, 0.5)
    np.testing.assert_allclose(slopes, [-0.5 * math.exp(-1), -math.exp(-1)], rtol=1e-7)


def test_a_slope_at_an_end_where_the_integrand_is_infinite():
    def scaled(p):
        return gauss_kronrod.integrate(Partial(lambda p, x: p * jnp.log(x), p), 0.0, 1.0)[0]

    np.testing.assert_allclose(jax.grad(scaled)(2.0), -1, rtol=1e-7)


def test_many_at_once_are_each_as_if_alone():
    centers, widths = np.linspace(0.1, 0.9, 70), np.logspace(-3, 0, 70)

    def one(center, width):
        data = (center, width)
        return gauss_kronrod.integrate(
            Partial(lambda p, x: p[1] / ((x - p[0]) ** 2 + p[1] ** 2), data), 0.0, 1.0
        )

    found, bound = jax.vmap(one)(centers, widths)
    wanted = np.arctan((1 - centers) / widths) + np.arctan(centers / widths)
    np.testing.assert_allclose(found, wanted, rtol=1e-8)
    assert (bound.status == Status.CONVERGED).all()
    alone, one_bound = one(centers[3], widths[3])
    np.testing.assert_allclose(found[3], alone, rtol=1e-13)
    assert bound.num_evals[3] == one_bound.num_evals
    assert 3 * bound.num_evals.min() < bound.num_evals.max()  # the easy do not wait for the hard
    slopes = jax.vmap(jax.grad(lambda c, w: one(c, w)[0]))(centers[:3], widths[:3] * 100)
    assert jnp.isfinite(slopes).all()


def elsewhere(*args, cpu, default):
    """Choose as a device that is no CPU does."""
    return default(*args)


@pytest.mark.parametrize(
    ("room", "name", "other", "size"),
    [(gauss_kronrod, "POOL", 16, 71), (jax.lax, "platform_dependent", elsewhere, 72)],
)
def test_pools_and_devices_give_the_same(monkeypatch, room, name, other, size):
    centers, widths = np.linspace(0.1, 0.9, size), np.logspace(-3, 0, size)

    def both(data, x):
        peak = data[1] / ((x - data[0]) ** 2 + data[1] ** 2)
        return jnp.stack([peak, x * peak])

    def one(*data):
        return gauss_kronrod.integrate(Partial(both, data), 0.0, 1.0)

    here = jax.jit(jax.vmap(one))(np.append(centers, 0.5), np.append(widths, 0.5))
    monkeypatch.setattr(room, name, other)
    there = jax.jit(jax.vmap(one))(centers, widths)
    for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        np.testing.assert_allclose(a[:-1], b, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    ("fn", "lower", "upper", "wanted"),
    [
        (lambda x: 1 / x, 0.0, 1.0, {Status.DIVERGED}),
        (lambda x: 1 / x, -1.0, 1.0, {Status.DIVERGED, Status.OUT_OF_STEPS}),
        (lambda x: 1 / (x - 0.3), 0.0, 1.0, {Status.DIVERGED, Status.OUT_OF_STEPS}),
        (lambda x: 1 / x, 1.0, jnp.inf, {Status.DIVERGED}),
        (lambda x: x * jnp.nan, 0.0, 1.0, {Status.NOT_FINITE}),
        (lambda x: jnp.where(x > 0.5, jnp.nan, x), 0.0, 1.0, {Status.NOT_FINITE}),
        (lambda x: jnp.cos(1000 * x), 0.0, 10.0, {Status.OUT_OF_STEPS}),
        (jnp.sin, -1.0, 1.0, {Status.STALLED}),
        (jnp.exp, jnp.nan, 1.0, {Status.BAD_INPUT}),
        (jnp.exp, jnp.inf, jnp.inf, {Status.BAD_INPUT}),
    ],
)
def test_where_there_is_no_answer_it_says_so(fn, lower, upper, wanted):
    estimate, _, status = integral(fn, lower, upper)
    assert status in wanted
    if status in (Status.NOT_FINITE, Status.BAD_INPUT):
        assert jnp.isnan(estimate)


def test_breakpoints():
    def jump(x):
        return jnp.where(x > 0.3, jnp.exp(-x), 0.0)

    at = jnp.array([0.3])
    for upper, value in ((1.0, math.exp(-0.3) - math.exp(-1)), (jnp.inf, math.exp(-0.3))):
        estimate, _, status = integral(jump, 0.0, upper, breakpoints=at, rtol=1e-12)
        assert status is Status.CONVERGED
        np.testing.assert_allclose(estimate, value, rtol=1e-12)
    assert integral(jump, 0.0, 1.0, breakpoints=jnp.array([2.0]))[2] is Status.BAD_INPUT


@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_ends_at_infinity_are_seen_from_the_unit(unit):
    def half(p, a):
        fn = Partial(lambda p, x: jnp.exp(-p * x / unit), p)
        return gauss_kronrod.integrate(fn, a, jnp.inf, unit=unit)[0] / unit

    start = 0.5 * unit
    wanted = math.exp(-1) / 2
    np.testing.assert_allclose(half(2.0, start), wanted, rtol=1e-12)
    slopes = jax.grad(half, (0, 1))(2.0, start)
    np.testing.assert_allclose(slopes, [-wanted, -math.exp(-1) / unit], rtol=1e-8)

    def bell(x):
        return jnp.where(x < unit, 1.0, 2.0) * jnp.exp(-((x / unit) ** 2))

    at = jnp.array([unit])
    whole = math.sqrt(math.pi) / 2 * (2 + math.erfc(1))
    for lower, upper, sign in ((-jnp.inf, jnp.inf, 1), (jnp.inf, -jnp.inf, -1)):
        estimate, _, status = integral(bell, lower, upper, breakpoints=at, unit=unit)
        assert status is Status.CONVERGED
        np.testing.assert_allclose(estimate / unit, sign * whole, rtol=1e-12)
    left, _, _ = integral(bell, -jnp.inf, 0.0, unit=unit)
    np.testing.assert_allclose(left / unit, math.sqrt(math.pi) / 2, rtol=1e-12)
    assert integral(jnp.exp, 0.0, 1.0, unit=unit)[0] == integral(jnp.exp, 0.0, 1.0)[0]
    for wrong in (0.0, -unit, jnp.nan, jnp.inf):
        assert integral(bell, 0.0, jnp.inf, unit=wrong)[2] is Status.BAD_INPUT


def test_entries_of_an_array_are_integrated_together():
    estimate, error, status = integral(lambda x: jnp.stack([jnp.sin(x), x * x]), 0.0, 3.0)
    np.testing.assert_allclose(estimate, [1 - math.cos(3), 9], rtol=1e-12)
    assert error.shape == (2,)
    assert status is Status.CONVERGED


def test_what_is_known_to_be_wrong_while_tracing():
    with pytest.raises(ValueError, match=r"gauss_kronrod\.integrate: max_intervals is 1, not at"):
        integral(jnp.sin, 0.0, 1.0, max_intervals=1)
    with pytest.raises(ValueError, match=r"gauss_kronrod\.nodes: num_nodes is 16, not odd"):
        integral(jnp.sin, 0.0, 1.0, num_nodes=16)
