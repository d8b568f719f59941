"""The check agrees with right derivatives, and names the entry of a planted mistake."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.numerics.calculus import backpropagation, gradient_check

few = settings(max_examples=10, deadline=None, derandomize=True)
widths = pytest.mark.parametrize(
    "width", [pytest.param("float32", marks=pytest.mark.slow), "float64"]
)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@jax.custom_jvp
def spoiled(x):
    """Return the sines of a vector, with a slope that is off by 1 % at one entry."""
    return jnp.sin(x)


@spoiled.defjvp
def spoiled_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    wrong = jnp.ones_like(x).at[2].set(1.01)
    return spoiled(x), jnp.cos(x) * wrong * dx


def uneven(W, x):
    return jnp.tanh(W @ (x / 10)) * (x**2).sum()


@widths
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_it_agrees_with_what_is_right_and_names_what_is_not(width, mode):
    x = jnp.asarray([0.1, 0.5, 1.0, -2.0], width)
    assert gradient_check.check(jnp.sin, x, mode=mode).is_close
    report = gradient_check.check(spoiled, x, mode=mode)
    assert (report.is_close, report.entry) == (False, (2, 2))
    np.testing.assert_allclose(report.autodiff, 1.01 * np.cos(1), rtol=1e-6)
    np.testing.assert_allclose(report.finite_difference, np.cos(1), rtol=1e-4)
    assert report.error > 3 * report.allowed
    assert str(report).startswith("autodiff does not agree with finite differences: at (2, 2) 0.5")


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 1e4]))
def test_it_does_not_cry_wolf(seed, size):
    rng = np.random.default_rng(seed)
    W, x = rng.normal(size=(3, 3)), size * rng.normal(size=3)
    report = gradient_check.check(Partial(uneven, W), x)
    assert report.is_close, str(report)


@pytest.mark.slow
def test_it_checks_a_network_by_its_flat_parameters():
    params = backpropagation.init(jax.random.key(0), dim=2, hidden=3, classes=2)
    flat, rebuild = jax.flatten_util.ravel_pytree(params)
    X, labels = jax.random.normal(jax.random.key(1), (5, 2)), jnp.array([0, 1, 1, 0, 1])
    assert gradient_check.check(
        lambda w: backpropagation.loss(rebuild(w), X, labels), flat
    ).is_close


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"step_size": 0.0}, "step_size is 0.0, not greater than 0"),
        ({"step_size": float("nan")}, "step_size is nan, not greater than 0"),
        ({"x": [1.0, float("nan")]}, "x\\[1\\] is nan, not finite"),
        ({"x": 1.0}, "x is float64\\[\\], not a vector of floats"),
        ({"x": [1, 2]}, "x is int64\\[2\\], not a vector of floats"),
        ({"mode": "both"}, "mode is 'both', not 'rev' or 'fwd'"),
        ({"x": [-1.0]}, "fn is not finite at x"),
        ({"x": [0.0]}, "the derivative of fn is not finite at x"),
        ({"x": [1e-9]}, "fn a step away is not finite at x"),
    ],
)
def test_what_cannot_be_checked_is_refused(given, said):
    given = {"x": [1.0], **given}
    with pytest.raises(ValueError, match=f"gradient_check.check: {said}"):
        gradient_check.check(lambda x: jnp.sqrt(x).sum(), **{**given, "x": jnp.array(given["x"])})


def test_a_large_output_excuses_no_small_one():
    def fn(x):
        return jnp.stack([1e12 + x[0], jax.lax.stop_gradient(1e-3 * x[0]) + 1e-3 * x[1]])

    report = gradient_check.check(fn, jnp.array([1.0, 2.0]))
    assert not report.is_close
    assert report.entry == (1, 0)
