"""Backpropagation by hand equals that of JAX to rounding, and its parts mean what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.numerics.calculus import backpropagation

few = settings(max_examples=10, deadline=None, derandomize=True)


def problem(seed, width):
    rng = np.random.default_rng(seed)
    shapes = backpropagation.Params(W1=(4, 5), b1=(5,), W2=(5, 3), b2=(3,))
    params = backpropagation.Params(*(rng.normal(size=shape) for shape in shapes))
    X, labels = 2 * rng.normal(size=(6, 4)), rng.integers(0, 3, size=6, dtype=np.int32)
    return jax.tree.map(lambda a: jnp.asarray(a, width), (params, X)), jnp.asarray(labels)


@pytest.mark.parametrize("width", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_by_hand_is_what_jax_gives_to_rounding(width):
    @few
    @given(st.integers(0, 2**31))
    def compare(seed):
        with jax.enable_x64(True):
            (params, X), labels = problem(seed, width)
            loss, by_hand = backpropagation.backward(params, X, labels)
            wanted = jax.value_and_grad(backpropagation.loss)(params, X, labels)
        eps = float(jnp.finfo(width).eps)
        np.testing.assert_allclose(loss, wanted[0], rtol=8 * eps)
        for a, b in zip(by_hand, wanted[1], strict=True):
            np.testing.assert_allclose(a, b, atol=16 * eps * np.abs(b).max())

    compare()


@pytest.mark.slow
def test_a_step_down_the_gradient_lowers_the_loss():
    (params, X), labels = problem(0, "float32")
    loss, gradient = backpropagation.backward(params, X, labels)
    moved = jax.tree.map(lambda w, g: w - 0.01 * g, params, gradient)
    fall = loss - backpropagation.loss(moved, X, labels)
    wanted = 0.01 * sum((g**2).sum() for g in gradient)
    np.testing.assert_allclose(fall, wanted, rtol=0.1)


def test_a_label_that_is_no_code_has_no_loss_and_no_gradient():
    (params, X), labels = problem(0, "float32")
    loss, gradient = backpropagation.backward(params, X, jnp.full_like(labels, 7))
    assert loss == 0
    assert all((g == 0).all() for g in gradient)


def test_shapes_must_agree():
    (params, X), labels = problem(0, "float32")
    with pytest.raises(ValueError, match=r"backpropagation\.backward: labels is int32\[5\]"):
        backpropagation.backward(params, X, labels[:5])
    with pytest.raises(ValueError, match=r"backpropagation\.forward: X is float32\[6,3\]"):
        backpropagation.forward(params, X[:, :3])
