"""Energy: joules that scale, accuracies that are reached, and budgets that hold."""

import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature.energy import budget, devices
from mastery_jax.numerics.quadrature.energy.devices import DEVICES
from mastery_jax.numerics.quadrature.energy.operations import Operations
from tests.quadrature.integrands import KNOWN
from tests.quadrature.test_operations import polynomial

SQUARE = (lambda x: x * x, 0.0, 1.0, 1 / 3)
EXP = (jnp.exp, 0.0, 1.0, math.e - 1)
RUNGE = (KNOWN["runge"].fn, -1.0, 1.0, KNOWN["runge"].value)
KINK = (lambda x: jnp.abs(x - 1 / 3), 0.0, 1.0, 5 / 18)
LEVELS = {"square": SQUARE, "exp": EXP, "runge": RUNGE, "kink": KINK}


def test_joules_follow_operations_width_and_cache():
    iot = DEVICES["iot"]
    one = Operations(flops=10, transcendentals=1, bytes_moved=100, bytes_held=0)
    single = devices.joules(iot, one, dtype="single")
    assert single == pytest.approx(30 * iot.single_joules)
    twice = devices.joules(iot, one._replace(flops=20, transcendentals=2), dtype="single")
    assert twice == pytest.approx(2 * single)
    assert devices.joules(iot, one, dtype="double") == pytest.approx(30 * iot.double_joules)
    assert devices.joules(iot, one, dtype=jnp.bfloat16) == pytest.approx(30 * iot.half_joules)
    outgrown = one._replace(bytes_held=iot.cache_bytes + 1)
    moved = devices.joules(iot, outgrown, dtype="single") - single
    assert moved == pytest.approx(100 * iot.byte_joules)
    with pytest.raises(ValueError, match="dtype is int32, not a float of 2 to 8 bytes"):
        devices.joules(iot, one, dtype="int32")


def test_classes_are_in_order_and_say_their_sources():
    for name, device in DEVICES.items():
        assert device.name == name
        assert devices.find("here", device) is device
        assert device.half_joules <= device.single_joules <= device.double_joules
        assert any(year in device.source for year in ("2014", "2015", "2020", "2023"))
    for worse, better in itertools.pairwise(DEVICES.values()):
        assert worse.single_joules > better.single_joules
        assert worse.double_joules >= better.double_joules


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("toaster", "device is 'toaster', not one of iot, mobile, edge, server"),
        (DEVICES["iot"]._replace(single_joules=0.0), "device.single_joules is 0.0, not finite"),
        (DEVICES["iot"]._replace(byte_joules=math.nan), "device.byte_joules is nan, not finite"),
        (DEVICES["iot"]._replace(spread=0.5), "device.spread is 0.5, not finite and at least 1"),
    ],
)
def test_a_device_that_is_none_is_refused(device, said):
    with pytest.raises(ValueError, match=f"^budget.reach: {said}"):
        budget.reach(Partial(jnp.exp), 0.0, 1.0, device=device)


def error_of(known, given):
    estimate, report = given
    return abs(float(estimate) - known[3]), report


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("level", ["low", "medium"])
def test_a_level_is_reached_in_float32(name, level):
    known = LEVELS[name]
    error, report = error_of(known, budget.reach(Partial(known[0]), *known[1:3], accuracy=level))
    assert report.status is Status.CONVERGED
    assert report.dtype == "float32"
    assert error <= budget.ACCURACY[level] * abs(known[3])
    assert error <= report.error + 4e-7 * abs(known[3])


@pytest.mark.parametrize("name", LEVELS)
def test_the_highest_level_needs_float64(name):
    known = LEVELS[name]
    with jax.enable_x64(True):
        given = budget.reach(Partial(known[0]), *known[1:3], accuracy="high")
        cheap = budget.reach(Partial(known[0]), *known[1:3], accuracy="medium")[1]
    error, report = error_of(known, given)
    assert report.status is Status.CONVERGED
    assert (report.dtype, cheap.dtype) == ("float64", "float32")
    assert error <= 1e-10 * abs(known[3])
    assert report.joules > cheap.joules


def test_without_x64_the_highest_level_is_refused():
    said = "accuracy is 'high', a relative 1e-10, not at least 7.6e-06 as float32 allows; x64"
    with pytest.raises(ValueError, match=f"^budget.reach: {said}"):
        budget.reach(Partial(jnp.exp), 0.0, 1.0, accuracy="high")


def test_an_integral_that_is_zero_needs_an_absolute_tolerance():
    odd = Partial(jnp.sin)
    assert budget.reach(odd, -1.0, 1.0)[1].status is Status.STALLED
    assert budget.reach(odd, -1.0, 1.0, atol=1e-5)[1].status is Status.CONVERGED


def test_joules_are_those_of_the_calls_and_double_with_the_integrand():
    device = DEVICES["edge"]._replace(name="mine")
    for degree in (10, 20):
        _, report = budget.reach(polynomial(degree), 0.0, 1.0, device=device)
        own = 6  # what the rule does with a value
        each = (2 * degree + own) * device.single_joules
        assert report.joules == pytest.approx(report.num_evals * each)
        assert report.device == "mine"
        assert report.watt_hours == pytest.approx(report.joules / 3600)


def test_a_better_device_is_cheaper_for_the_same_estimate():
    table = budget.compare(Partial(jnp.exp), 0.0, 1.0, accuracies=["low", 1e-4])
    assert [report.device for report in table] == [name for name in DEVICES for _ in range(2)]
    for worse, better in itertools.pairwise(table[::2]):
        assert worse.joules > better.joules
        assert worse.num_evals == better.num_evals
    assert all(a.joules <= b.joules for a, b in zip(table[::2], table[1::2], strict=True))


def climbed(known, budgets):
    """Return the true errors of a ladder of budgets, each of which must be kept."""
    errors = []
    for joules in budgets:
        given = budget.within(Partial(known[0]), *known[1:3], budget=float(joules))
        error, report = error_of(known, given)
        assert report.joules <= joules
        assert report.left == joules - report.joules
        errors.append(error)
    return errors


@pytest.mark.parametrize(
    ("known", "worse"), [(EXP, 1), (RUNGE, 1), (KINK, 5)], ids=["exp", "runge", "kink"]
)
def test_more_joules_are_never_much_worse(known, worse):
    # Each has twice the joules of the one before. Near a kink, chance decides how a node lies.
    errors = climbed(known, 4e-8 * 2.0 ** np.arange(8))
    best = math.inf
    for error in errors:
        assert error <= worse * best + 4e-7 * abs(known[3])
        best = min(best, error)
    assert best < 1e-3 * errors[0]


def test_a_budget_beyond_rounding_is_left():
    known = RUNGE
    with jax.enable_x64(True):
        error, report = error_of(known, budget.within(Partial(known[0]), *known[1:3], budget=1e-2))
    assert report.status is Status.CONVERGED
    assert report.dtype == "float64"
    assert error < 1e-14
    assert report.left == 1e-2 - report.joules > 0.9e-2
    assert "0.0099 J left of 0.01" in str(report)


def test_float64_begins_where_it_can_go_on():
    with jax.enable_x64(True):
        _, report = budget.within(Partial(jnp.exp), 0.0, 1.0, budget=2e-6)
        _, larger = budget.within(Partial(jnp.exp), 0.0, 1.0, budget=4e-5)
    assert (report.dtype, larger.dtype) == ("float32", "float64")
    assert report.joules < 1e-6  # nothing was spent on a try that could not help
    assert larger.error < 1e-8 * report.error


def test_what_converges_fast_is_not_cut():
    with jax.enable_x64(True):
        _, report = budget.reach(Partial(lambda x: 1 / (1 + 4 * x * x)), -1.0, 1.0, accuracy="high")
    assert report.rule.startswith("gauss_legendre")


@pytest.mark.parametrize("flops", range(1, 30))
def test_the_least_that_is_named_is_enough(flops):
    iot = DEVICES["iot"]._replace(single_joules=flops * 1e-9 / 6)
    nothing = Partial(lambda x: x)
    with pytest.raises(ValueError, match="which 1 call") as caught:
        budget.within(nothing, 0.0, 1.0, budget=1e-12, device=iot)
    (named,) = map(float, re.findall(r"at least (\S+) J", str(caught.value)))
    assert flops * 1e-9 * (1 - 1e-12) <= named <= flops * 1.11e-9
    assert budget.within(nothing, 0.0, 1.0, budget=named, device=iot)[1].joules <= named


def test_a_large_budget_cuts_where_the_integrand_bends():
    error, report = error_of(KINK, budget.within(Partial(KINK[0]), 0.0, 1.0, budget=1e-4))
    assert "gauss_kronrod" in report.rule
    assert error < 1e-6
    wave = (lambda x: jnp.cos(200 * x) + 1, 0.0, 1.0, 1 + math.sin(200) / 200)
    for joules in (3e-6, 1e-5):  # too little to cut, then enough
        _, report = error_of(wave, budget.within(Partial(wave[0]), 0.0, 1.0, budget=joules))
        assert report.joules > joules / 3


@pytest.mark.parametrize("width", [1e-2, 1e-3, 1e-4, 1e-5])
def test_a_narrow_peak_is_not_lost_to_a_rule_that_missed_it(width):
    peak = Partial(lambda width, x: width / ((x - 0.3) ** 2 + width**2), jnp.asarray(width))
    value = math.atan(0.7 / width) + math.atan(0.3 / width)
    error, report = error_of((None, 0, 1, value), budget.reach(peak, 0.0, 1.0, accuracy="low"))
    assert report.status is Status.CONVERGED
    assert error <= 1e-2 * value


@pytest.mark.parametrize("joules", [math.nan, math.inf, 0.0, -1e-6])
def test_a_budget_that_is_none_is_refused(joules):
    with pytest.raises(ValueError, match=f"budget is {joules}, not joules, finite and above 0"):
        budget.within(Partial(jnp.exp), 0.0, 1.0, budget=joules)


def test_a_budget_below_one_call_names_the_least():
    # exp is 20 operations, and the rule does 6.
    said = r"budget is 2\.5e-08 J, not at least 2\.6e-08 J, which 1 call of fn costs on iot"
    with pytest.raises(ValueError, match=said):
        budget.within(Partial(jnp.exp), 0.0, 1.0, budget=2.5e-8)
    estimate, report = budget.within(Partial(jnp.exp), 0.0, 1.0, budget=2.6e-8)
    assert estimate == pytest.approx(math.exp(0.5))
    assert (report.num_evals, report.error) == (1, math.inf)
    with pytest.raises(ValueError, match="which 42 calls of fn cost on iot"):
        budget.within(Partial(lambda x: jnp.exp(-x * x)), -math.inf, math.inf, budget=1e-9)


def bell(x):
    return jnp.exp(-(x * x).sum())


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_boxes(dim):
    value = (math.sqrt(math.pi) / 2 * math.erf(1)) ** dim
    key = jax.random.key(0)
    estimate, report = budget.reach(Partial(bell), np.zeros(dim), np.ones(dim), key=key)
    assert report.status is Status.CONVERGED
    assert ("quasi" if dim > 3 else "product_grid") in report.rule
    assert estimate == pytest.approx(value, rel=1e-5)
    estimate, report = budget.within(
        Partial(bell), np.zeros(dim), np.ones(dim), budget=1e-4, key=key
    )
    assert report.joules <= 1e-4
    assert abs(estimate - value) <= 2 * report.error


def test_ends_may_be_reversed_or_infinite_and_values_arrays():
    assert budget.reach(Partial(jnp.exp), 1.0, 0.0)[0] == pytest.approx(1 - math.e)
    estimate, _ = budget.reach(Partial(lambda x: jnp.exp(-x * x)), -math.inf, math.inf)
    assert estimate == pytest.approx(math.sqrt(math.pi), rel=1e-5)
    pair = Partial(lambda scale, x: jnp.stack([scale * x, jnp.exp(x)]), jnp.asarray(2.0))
    np.testing.assert_allclose(budget.reach(pair, 0.0, 1.0)[0], [1, math.e - 1], rtol=1e-6)


def test_what_has_no_integral_says_so():
    assert budget.reach(Partial(lambda x: 1 / x), 0.0, 1.0)[1].status is Status.DIVERGED
    nowhere, report = budget.reach(Partial(lambda x: jnp.log(x - 2)), 0.0, 1.0)
    assert report.status is Status.NOT_FINITE
    assert math.isnan(nowhere)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"accuracy": "best"}, "accuracy is 'best', not one of low, medium, high, or a number"),
        ({"accuracy": math.nan}, "accuracy is nan, not between 0 and 1"),
        ({"accuracy": -1e-3}, "accuracy is -0.001, not between 0 and 1"),
        ({"accuracy": 0.0}, "accuracy is 0.0, not between 0 and 1"),
        ({"atol": math.nan}, "atol is nan, not finite and at least 0"),
        ({"lower": math.nan}, "lower is nan, not a number or a vector of numbers"),
        ({"upper": [1.0, 1.0]}, r"lower and upper have shapes \(\) and \(2,\), not the same"),
        ({"lower": np.zeros(4), "upper": np.ones(4)}, "key is None, not a key, which random"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, said):
    ends = {"lower": 0.0, "upper": 1.0}
    with pytest.raises(ValueError, match=f"^budget.reach: {said}"):
        budget.reach(Partial(bell), **(ends | given))


def test_a_report_says_what_is_modelled():
    _, report = budget.reach(Partial(jnp.exp), 0.0, 1.0, device="server")
    said = "3.9e-09 J modelled on server, within a factor of 3: error "
    assert str(report).startswith(said)
    assert not report.is_measured
    assert report.left is None
