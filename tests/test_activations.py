"""Activations: what holds for every input, and the ends of the number line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mastery_jax.numerics import activations

ELEMENTWISE = ("sigmoid", "tanh", "relu", "leaky_relu", "silu", "gelu")
ENDS = np.array([-1e30, -1e4, -200.0, -89.0, -1.0, -1e-8, 1e-8, 1.0, 89.0, 200.0, 1e4, 1e30])
vectors = arrays(np.float32, 5, elements=st.floats(-60, 60, width=32))
few = settings(max_examples=30, deadline=None, derandomize=True)


def close(a, b, rtol=2e-6, atol=1e-7):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def peer(name):
    if name == "tanh":
        return jnp.tanh
    if name == "gelu":
        return lambda x: jax.nn.gelu(x, approximate=False)
    return getattr(jax.nn, name)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values_and_slopes_are_those_of_jax_nn_up_to_the_ends(name):
    ours, theirs = getattr(activations, name), peer(name)
    x = jnp.asarray(np.concatenate([ENDS, np.linspace(-10, 10, 101)]), jnp.float32)
    close(ours(x), theirs(x))
    close(jax.vmap(jax.grad(ours))(x), jax.vmap(jax.grad(theirs))(x), atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_two_over_an_axis_are_those_of_jax_nn(name, axis):
    x = jnp.asarray(np.resize(ENDS[1:-1], (4, 5)), jnp.float32)
    close(getattr(activations, name)(x, axis=axis), peer(name)(x, axis=axis))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_slope_at_zero_is_no_accident(name):
    slope = {"sigmoid": 0.25, "tanh": 1, "relu": 0, "leaky_relu": 1, "silu": 0.5, "gelu": 0.5}
    assert jax.grad(getattr(activations, name))(0.0) == slope[name]


@few
@given(vectors)
def test_symmetries(x):
    close(activations.sigmoid(x) + activations.sigmoid(-x), 1)
    close(activations.tanh(x), -activations.tanh(-x), rtol=0, atol=0)
    close(activations.tanh(x), 2 * activations.sigmoid(2 * x) - 1, atol=1e-6)
    for gated in (activations.silu, activations.gelu):
        close(gated(x) - gated(-x), x, atol=1e-6)
    close(activations.relu(x) - activations.relu(-x), x)
    close(activations.leaky_relu(x, negative_slope=1.0), x)
    close(activations.leaky_relu(x, negative_slope=0.0), activations.relu(x))


@few
@given(vectors, st.floats(-1e3, 1e3, width=32))
def test_softmax_is_a_distribution_blind_to_a_shift(x, shift):
    probs = activations.softmax(x)
    close(probs.sum(), 1)
    close(activations.softmax(x + np.float32(shift)), probs, rtol=1e-3, atol=1e-4)
    close(jnp.exp(activations.log_softmax(x)), probs, rtol=1e-5)
    pair = activations.softmax(np.stack([0 * x, x]), axis=0)
    close(pair[1], activations.sigmoid(x), rtol=1e-5)


@few
@given(arrays(np.float32, 50, elements=st.floats(-30, 30, width=32)))
def test_the_tanh_formula_of_gelu_is_as_near_as_documented(x):
    exact, near = activations.gelu(x), activations.gelu(x, approximate=True)
    assert jnp.abs(exact - near).max() <= 5e-4
    close(near, jax.nn.gelu(x, approximate=True), atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_masked_entry_gets_nothing_and_no_slope(name):
    fn, x = getattr(activations, name), jnp.array([1.0, 2.0, -jnp.inf])
    close(fn(x)[:2], fn(x[:2]))
    assert fn(x)[2] == (0 if name == "softmax" else -jnp.inf)
    slope = jax.grad(lambda x: fn(x)[0])(x)
    close(slope, jnp.append(jax.grad(lambda x: fn(x)[0])(x[:2]), 0), atol=1e-6)
    assert jnp.isnan(fn(jnp.full(3, -jnp.inf))).all()


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax", "log_softmax"])
def test_any_rank_and_floats_only(name):
    fn, x = getattr(activations, name), np.linspace(-1, 1, 8, dtype=np.float32)
    close(fn(x.reshape(2, 1, 4, 1))[0, 0, 1, 0], fn(x.reshape(2, 4, 1))[0, 1, 0])
    with pytest.raises(ValueError, match=rf"^activations\.{name}: x is int32\[2\]"):
        fn(np.arange(2, dtype=np.int32))
