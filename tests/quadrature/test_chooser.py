"""Choices reach their tolerance, or say that they do not; reasons name what was measured."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_kronrod
from mastery_jax.numerics.quadrature.choosing import chooser
from mastery_jax.numerics.quadrature.monte_carlo import genz
from tests.quadrature.integrands import KNOWN
from tests.quadrature.shapes import integrand, made

KEY = jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def attempt(fn, lower, upper, **how):
    estimate, bound, choice = chooser.evaluate(fn, lower, upper, **how)
    return float(estimate), Status(int(bound.status)), choice, int(bound.num_evals)


def known(index, x):
    return jax.lax.switch(index, [known.fn for known in KNOWN.values()], x)


CHOSEN = {
    "polynomial": "gauss_legendre",
    "exponential": "gauss_legendre",
    "wave": "gauss_legendre",
    "bessel": "trapezoid",
}


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_no_known_integral_is_missed_in_silence(dtype):
    for index, (name, one) in enumerate(KNOWN.items()):
        ends = (jnp.asarray(end, dtype) for end in (one.lower, one.upper))
        rtol = 1e-8 if dtype == "float64" else 1e-4
        fn = Partial(known, jnp.asarray(index, jnp.int32))
        estimate, status, choice, _ = attempt(fn, *ends, rtol=rtol)
        assert status is Status.CONVERGED, name
        assert abs(estimate / one.value - 1) <= rtol, name
        if name != "planck":
            assert choice.method == CHOSEN.get(name, "gauss_kronrod"), name


def test_reasons_name_what_was_measured():
    for name, p, parts in (
        ("exp", 1.0, ["fall by 0.037 per degree", "5 nodes reach 1.0e-08"]),
        ("kink", 0.3, ["bends at 0.3"]),
        ("step", 0.3, ["jumps or has a pole at 0.3"]),
        ("power", -0.5, ["grows like d^-0.50 at the lower end"]),
        ("power", -1.0, ["where it has no integral"]),
        ("bell", 0.001, ["0.9 of its mass in 0.0036 of the range, around 0.37"]),
        ("periodic", 1.0, ["the odd derivatives agree at both ends"]),
        ("nan", 0.9, ["is not finite everywhere"]),
    ):
        choice = chooser.choose(*made(name, p), rtol=1e-8)
        assert all(part in choice.reason for part in parts), choice.reason
        assert str(choice) == f"{choice.method}: {choice.reason}"


@pytest.mark.slow
def test_two_peaks_that_the_search_alone_misses():
    """Both halves of the search agree that there is one peak; the samples saw two."""
    fn, *ends = made("two", 0.001)
    exact = 0.0015 * math.sqrt(2 * math.pi)
    alone, bound = gauss_kronrod.integrate(fn, *ends, rtol=1e-8)
    assert bound.status == Status.CONVERGED
    assert abs(alone / exact - 1) > 0.3
    estimate, status, _, _ = attempt(fn, *ends, rtol=1e-8)
    assert status is Status.CONVERGED
    assert estimate == pytest.approx(exact, rel=1e-8)


@pytest.mark.slow
def test_a_choice_is_used_again_inside_a_program():
    fn, *ends = made("kink", 0.3)
    choice = chooser.choose(fn, *ends)
    index, data = fn.args

    def area(p):
        return choice.integrate(Partial(integrand, index, (p, *data[1:])), *ends)[0]

    spots = jnp.linspace(0.2, 0.8, 4)
    exact = (spots**2 + (1 - spots) ** 2) / 2
    np.testing.assert_allclose(jax.jit(jax.vmap(area))(spots), exact, rtol=1e-7)
    # Intervals are refined for f, not for its derivative, which jumps.
    assert jax.grad(area)(0.4) == pytest.approx(-0.2, abs=1e-4)
    beyond, bound = choice.integrate(fn, 0.5, 2.0)  # the breakpoint is moved to the end
    assert bound.status == Status.CONVERGED
    assert beyond == pytest.approx((1.7**2 - 0.2**2) / 2)


def test_reversed_ends_turn_the_sign():
    fn, lower, upper = made("both", 0.3)
    there, back = attempt(fn, lower, upper)[0], attempt(fn, upper, lower)[0]
    assert there == pytest.approx(-back, rel=1e-12)


def test_what_has_no_integral_ends_in_a_status():
    for name, p in (("power", -1.0), ("nan", 0.9)):
        _, status, _, _ = attempt(*made(name, p))
        assert status in (Status.DIVERGED, Status.NOT_FINITE, Status.OUT_OF_STEPS)


@pytest.mark.slow
def test_what_is_nothing():
    """An empty interval, an integrand that is 0, and one that is not finite in half a box."""
    estimate, status, choice, _ = attempt(Partial(jnp.exp), 2, 2)
    assert (estimate, status) == (0, Status.CONVERGED)
    assert "nan" not in choice.reason
    estimate, status, _, evals = attempt(Partial(lambda x: 0 * x), 0, 1)
    assert (estimate, status, evals) == (0, Status.CONVERGED, 3)
    box = jnp.zeros(2), jnp.ones(2)
    estimate, status, choice, _ = attempt(Partial(lambda x: 0 * x.sum()), *box)
    assert (estimate, status, choice.method) == (0, Status.CONVERGED, "product_grid")
    half = Partial(lambda x: jnp.where(x[0] > 0.5, jnp.nan, 1.0))
    assert attempt(half, *box, key=KEY)[1] is Status.NOT_FINITE


def test_no_more_calls_than_allowed():
    fn, box, _ = of_genz("continuous", 3)
    for most in (20_000, 100_000):
        choice = chooser.choose(fn, *box, rtol=1e-6, key=KEY, max_evals=most)
        assert choice.options["num_samples"] <= most
        assert f"{choice.options['num_samples']} are planned" in choice.reason
    with pytest.raises(ValueError, match=r"chooser\.choose: max_evals is 10, not at least 20000"):
        chooser.choose(fn, *box, key=KEY, max_evals=10)


def test_a_second_run_is_said():
    fn, *ends = made("wave", 900.0)  # more waves than samples
    estimate, status, choice, _ = attempt(fn, *ends, rtol=1e-6)
    if status is Status.CONVERGED:
        assert estimate == pytest.approx(math.sin(900) / 900, rel=1e-6)
    assert "so gauss_kronrod was run" in choice.reason


@pytest.mark.parametrize(
    ("fn", "lower", "upper", "given", "said"),
    [
        (jnp.sin, 0.0, 1.0, {}, "fn is a PjitFunction, not a jax.tree_util.Partial"),
        (Partial(jnp.sin), math.nan, 1.0, {}, "lower is nan, not a number"),
        (Partial(jnp.sin), math.inf, math.inf, {}, "lower and upper are both inf"),
        (Partial(jnp.sin), 0.0, 1.0, {"rtol": 0.0}, "rtol is 0.0, not greater than 0"),
        (Partial(jnp.sin), 0.0, 1.0, {"atol": -1.0}, "atol is -1.0, not at least 0"),
        (Partial(jnp.sin), np.zeros(2), 1.0, {}, r"lower and upper have shapes \(2,\) and \(\)"),
        (Partial(jnp.sin), np.zeros(2), np.ones(2), {}, r"fn\(x\) is .*, not one number"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(fn, lower, upper, given, said):
    with pytest.raises(ValueError, match=rf"chooser\.choose: {said}"):
        chooser.choose(fn, lower, upper, **given)


FAMILIES = {
    "oscillatory": 9.0,
    "product_peak": 7.25,
    "corner_peak": 1.85,
    "gaussian": 7.03,
    "continuous": 20.4,
    "discontinuous": 4.3,
}


def of_genz(family, dims):
    """Return an integrand of Genz's difficulty, its box and its integral."""
    rng = np.random.default_rng(dims)
    a = rng.uniform(size=dims)
    a, u = jnp.asarray(a * FAMILIES[family] / a.sum()), jnp.asarray(rng.uniform(size=dims))
    box = jnp.zeros(dims), jnp.ones(dims)
    return Partial(getattr(genz, family), a, u), box, float(genz.integral(a, u, family=family))


QUICK = (("oscillatory", 2), ("gaussian", 3), ("oscillatory", 8))
REST = [(f, d) for d in range(2, 9) for f in FAMILIES if (f, d) not in QUICK]


@pytest.mark.parametrize(
    ("family", "dims"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in REST)]
)
@pytest.mark.slow
def test_no_integral_of_genz_is_missed_in_silence(family, dims):
    fn, box, exact = of_genz(family, dims)
    for rtol in (1e-3, 1e-5):
        estimate, status, choice, _ = attempt(fn, *box, rtol=rtol, key=KEY)
        assert abs(estimate / exact - 1) <= rtol or status is not Status.CONVERGED, str(choice)


@pytest.mark.slow
def test_methods_over_boxes():
    """Smooth in few dimensions, smooth in many, peaked, and rough."""
    fn, box, _ = of_genz("gaussian", 2)
    assert chooser.choose(fn, *box).method == "product_grid"
    line = jnp.zeros(12), jnp.ones(12)
    total = Partial(lambda x: jnp.exp(-0.1 * x.sum()))
    choice = chooser.choose(total, *line)
    assert choice.method == "sparse_grid"
    assert "mean dimension 0.98 of 12" in choice.reason
    narrow = Partial(lambda x: jnp.exp(-((jnp.abs(x - 0.3) / 0.02) ** 1.0).sum()))
    choice = chooser.choose(narrow, *(end[:4] for end in line), rtol=1e-2, key=KEY)
    assert choice.method == "vegas"
    rough = Partial(lambda x: 2 + jnp.sin(1e7 * x.sum()))
    choice = chooser.choose(rough, *(end[:4] for end in line), rtol=1e-2, key=KEY)
    assert choice.method == "plain"
    assert "nothing in common" in choice.reason
    with pytest.raises(
        ValueError, match=r"chooser\.choose: key is None, not a key, which a random"
    ):
        chooser.choose(rough, *(end[:4] for end in line))


def test_boxes_in_float32():
    box = jnp.zeros(3, "float32"), jnp.ones(3, "float32")
    fn = Partial(lambda rate, x: jnp.exp(-rate * (x * x).sum()), jnp.ones((), "float32"))
    estimate, status, choice, _ = attempt(fn, *box, key=KEY)
    assert estimate == pytest.approx((math.sqrt(math.pi) / 2 * math.erf(1)) ** 3, rel=1e-3)
    assert status is Status.CONVERGED
    assert choice.features.spread.dtype == "float32"
