"""Features answer to what they name, and to nothing else."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.numerics.quadrature.choosing import box_features, features
from tests.quadrature.shapes import bell, integrand, made

few = settings(max_examples=10, deadline=None, derandomize=True)


def look(name, p, **how):
    return features.measure(*made(name, p, **how))


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jumps_and_kinks_are_told_apart_and_placed(dtype):
    eps = float(jnp.finfo(dtype).eps)
    for p in (1 / 3, 0.1234, 0.55):
        found, marks = look("kink", p, dtype=dtype)
        assert (found.num_kinks, found.num_jumps) == (1, 0)
        assert abs(marks.kinks[0] - p) < 100 * eps
        found, marks = look("step", p, dtype=dtype)
        assert (found.num_kinks, found.num_jumps) == (0, 1)
        assert abs(marks.jumps[0] - p) < 4 * eps
        assert jnp.isnan(marks.jumps[1:]).all()
    found, marks = look("both", 0.3, dtype=dtype)
    assert (found.num_kinks, found.num_jumps) == (1, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "p"),
    [
        ("steep", 1e-3),
        ("steep", 3e-5),
        ("bell", 1e-3),
        ("runge", 1e4),
        ("exp", 40.0),
        ("wave", 90.0),
    ],
)
def test_what_is_only_steep_is_no_jump(name, p, dtype):
    found, _ = look(name, p, dtype=dtype)
    assert (found.num_kinks, found.num_jumps) == (0, 0)


def test_the_rate_is_that_of_the_nearest_singularity():
    for p in (1.0, 4.0, 25.0, 100.0):
        z = 1 / math.sqrt(p)
        wanted = 1 / (z + math.sqrt(1 + z * z))  # of the ellipse through ± i z
        assert look("runge", p)[0].chebyshev_rate == pytest.approx(wanted, rel=0.01)
    rates = [float(look("exp", p)[0].chebyshev_rate) for p in (1.0, 5.0, 20.0)]
    assert rates == sorted(rates)
    assert rates[2] < 0.5


def test_the_order_is_that_of_the_kink():
    assert look("step", 0.3)[0].chebyshev_order == pytest.approx(1, abs=0.25)
    assert look("kink", 0.3)[0].chebyshev_order == pytest.approx(2, abs=0.35)
    for p in (0.5, 1.5):  # a root at an end has twice the order there, and one more
        assert look("power", p)[0].chebyshev_order == pytest.approx(2 * p + 1, abs=0.5)


def test_exponents_of_the_ends():
    for p in (-0.9, -0.5, 0.25, 0.5, 1.5, 2.0):
        found, _ = look("power", p)
        assert found.lower_exponent == pytest.approx(p, abs=0.02)
        assert found.upper_exponent == pytest.approx(1, abs=0.02)
    assert look("log", 1.0)[0].lower_exponent == pytest.approx(0, abs=0.01)
    assert look("constant", 3.0)[0].lower_exponent == features.FLAT


def test_periods():
    for p in (0.5, 1.0, 3.0):
        assert look("periodic", p)[0].is_periodic == 1
    assert look("wave", 2 * math.pi)[0].is_periodic == 1
    for name, p in (("wave", 50.0), ("exp", 1.0), ("power", 2.0), ("kink", 0.3), ("runge", 25.0)):
        found, _ = look(name, p)
        assert found.is_periodic == 0, name
        assert found.trapezoid_order < 4, name
    # Of half a period of an even function the trapezoidal rule converges as fast.
    found, _ = look("wave", math.pi)
    assert (found.is_periodic, found.trapezoid_order > 6) == (0, True)
    assert look("power", 1.0)[0].is_periodic == 0


def test_modes_and_turns():
    for count in range(6):
        found, _ = look("bumps", float(count))
        assert found.num_modes == count
    for rate in (10.0, 30.0, 50.0, 100.0):
        assert look("wave", rate)[0].num_turns == math.floor(rate / math.pi)
    assert look("exp", 1.0)[0].num_turns == 0


def test_spread_is_the_share_that_holds_the_mass():
    for width in (0.1, 0.03, 0.01, 0.003, 0.001):
        wanted = 2 * 1.6449 * width  # 0.9 of a normal density
        assert look("bell", width)[0].spread == pytest.approx(wanted, rel=0.12)
    assert look("constant", 2.0)[0].spread == pytest.approx(0.9, abs=0.01)
    _, marks = look("two", 0.003)
    np.testing.assert_allclose(sorted(marks.peaks), [0.37, 0.77], atol=1e-5)


def test_balance_and_finiteness():
    assert look("wave", 2 * math.pi)[0].balance < 1e-3
    assert look("exp", 1.0)[0].balance == pytest.approx(1)
    found, _ = look("nan", 0.9)
    assert found.is_finite == 0
    assert all(jnp.isfinite(each) for each in found)


def vector(name, p, **how):
    found, marks = look(name, p, **how)
    return np.asarray(jnp.stack(found)), marks


@few
@given(
    st.sampled_from([("kink", 0.3), ("step", 0.6), ("runge", 25.0), ("wave", 40.0), ("log", 1.0)]),
    st.floats(-3, 3),
    st.floats(0.1, 1000),
    st.floats(0.01, 100),
)
def test_stretching_f_or_x_changes_no_feature(shape, log_height, stretch, height):
    plain, marks = vector(*shape)
    for how in ({"stretch": stretch}, {"height": height * 10**log_height}, {"height": -height}):
        other, moved = vector(*shape, **how)
        kept = [i for i, name in enumerate(features.Features._fields) if name != "num_modes"]
        kept = kept if how.get("height", 1) < 0 else range(len(plain))
        np.testing.assert_allclose(other[list(kept)], plain[list(kept)], rtol=0.02, atol=0.02)
        places = np.asarray(moved.kinks) / how.get("stretch", 1.0)
        np.testing.assert_allclose(places, marks.kinks, atol=1e-7)


def test_a_shift_moves_the_places():
    for shift in (-5.0, 3.0, 100.0):
        _, marks = look("both", 0.3, shift=shift)
        np.testing.assert_allclose(marks.jumps[0], shift + 0.3, rtol=1e-12)
        np.testing.assert_allclose(marks.kinks[0], shift + 0.7, rtol=1e-9)


@pytest.mark.slow
def test_many_at_once_are_each_as_if_alone():
    fn, lower, upper = made("kink", 0.3)
    index, data = fn.args
    spots = jnp.linspace(0.1, 0.9, 5)

    def place(p):
        return features.measure(Partial(integrand, index, (p, *data[1:])), lower, upper)[1].kinks[0]

    np.testing.assert_allclose(jax.vmap(place)(spots), spots, atol=1e-9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_samples": 8}, r"features\.measure: num_samples is 8, not at least 32"),
        ({"num_places": 0}, r"features\.measure: num_places is 0, not at least 1"),
    ],
)
def test_what_measuring_refuses(given, said):
    with pytest.raises(ValueError, match=said):
        features.measure(Partial(jnp.sin), 0.0, 1.0, **given)
    with pytest.raises(ValueError, match=r"features\.measure: fn\(x\) is .*, not a number"):
        features.measure(Partial(lambda x: jnp.stack([x, x])), 0.0, 1.0)


@pytest.mark.slow
def test_features_of_boxes():
    def spot(fn, dims=4, high=1.0):
        return box_features.measure(Partial(fn), jnp.zeros(dims), jnp.full(dims, high))[0]

    assert spot(lambda x: jnp.exp(x).sum()).mean_dimension == pytest.approx(1, abs=0.05)
    assert spot(lambda x: jnp.sin(2 * jnp.pi * x).prod()).mean_dimension > 3
    assert spot(lambda x: jnp.exp(x[1])).num_active == 1
    assert spot(lambda x: jnp.exp(-x.sum())).chebyshev_rate < 0.2
    assert spot(lambda x: jnp.abs(x - 0.4).sum()).chebyshev_order < 3
    wide, narrow = (spot(lambda x, w=w: bell(x, 0.5, w).prod()).spread for w in (0.5, 0.1))
    assert narrow < 0.3 * wide
    assert spot(lambda x: jnp.sin(1e7 * x.sum())).roughness == pytest.approx(1, abs=0.2)
    plain, stretched = (
        jnp.stack(spot(lambda x, h=h: jnp.exp(-(x / h).sum()), high=h)) for h in (1.0, 50.0)
    )
    np.testing.assert_allclose(plain, stretched, rtol=1e-3)
