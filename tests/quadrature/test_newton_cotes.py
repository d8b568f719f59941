"""Newton-Cotes: orders of convergence, exactness, samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy import integrate as peer

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import newton_cotes

few = settings(max_examples=10, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(("rule", "order"), [("trapezoid", 2), ("simpson", 4), ("boole", 6)])
def test_halving_the_steps_gains_two_to_the_order(rule, order):
    def error(num_intervals):
        estimate, bound = newton_cotes.integrate(
            Partial(jnp.exp), 0.0, 2.0, rule=rule, num_intervals=num_intervals
        )
        off = abs(estimate - (np.exp(2) - 1))
        assert off <= bound.error
        return off

    assert abs(np.log2(error(8) / error(16)) - order) < 0.2


@pytest.mark.parametrize(("rule", "degree"), [("trapezoid", 1), ("simpson", 3), ("boole", 5)])
def test_it_is_exact_to_its_degree(rule, degree):
    fn = Partial(lambda x: x**degree)
    estimate, _ = newton_cotes.integrate(fn, -1.0, 2.0, rule=rule, num_intervals=8)
    wanted = (2 ** (degree + 1) - (-1) ** (degree + 1)) / (degree + 1)
    np.testing.assert_allclose(estimate, wanted, rtol=1e-13)


def test_romberg_reaches_the_last_digits_from_33_values():
    estimate, bound = newton_cotes.integrate(
        Partial(jnp.exp), 0.0, 1.0, rule="romberg", num_intervals=32
    )
    np.testing.assert_allclose(estimate, np.e - 1, rtol=1e-14)
    assert bound.num_evals == 33


@few
@given(st.integers(3, 9), st.integers(0, 2**32 - 1))
def test_samples_are_added_as_scipy_adds_them(n, seed):
    rng = np.random.default_rng(seed)
    x, y = np.cumsum(0.1 + rng.random(n)), rng.normal(size=(n, 2))
    for rule, theirs in (("trapezoid", peer.trapezoid), ("simpson", peer.simpson)):
        ours = newton_cotes.integrate_samples(x, y, rule=rule)
        np.testing.assert_allclose(ours, theirs(y, x=x, axis=0), rtol=1e-11, atol=1e-12)


def test_bad_input():
    for upper in (jnp.inf, jnp.nan):
        estimate, bound = newton_cotes.integrate(Partial(jnp.exp), 0.0, upper)
        assert jnp.isnan(estimate)
        assert bound.status == Status.BAD_INPUT
    _, bound = newton_cotes.integrate(Partial(lambda x: 1 / x), 0.0, 1.0)
    assert bound.status == Status.NOT_FINITE
    _, bound = newton_cotes.integrate(Partial(jnp.sqrt), 0.0, 1.0, num_intervals=8, rtol=1e-9)
    assert bound.status == Status.OUT_OF_STEPS
    with pytest.raises(ValueError, match=r"newton_cotes\.integrate: num_intervals is 6, not a"):
        newton_cotes.integrate(Partial(jnp.exp), 0.0, 1.0, num_intervals=6)
    with pytest.raises(ValueError, match=r"newton_cotes\.integrate: rule is 'milne', not one of"):
        newton_cotes.integrate(Partial(jnp.exp), 0.0, 1.0, rule="milne")
    with pytest.raises(ValueError, match=r"newton_cotes\.integrate_samples: x has 2 samples"):
        newton_cotes.integrate_samples(jnp.ones(2), jnp.ones(2), rule="simpson")
