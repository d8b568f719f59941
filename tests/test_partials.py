"""Functions handed on: what is no number is bound, equal options share a program."""

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import Partial

from mastery_jax.core import partials

traces = []


@partials.takes("model")
@jax.jit
def apply(x, *, model):
    traces.append(model)
    return model(x)


def power(x, *, degree, factor):
    return factor * (x**degree if isinstance(degree, int) else 0 * x)


def test_integers_are_fixed_and_floats_are_traced():
    traces.clear()
    x = jnp.arange(3.0)
    for factor in (2.0, 3.0):
        answer = apply(x, model=Partial(power, degree=2, factor=factor))
        assert answer.tolist() == [0, factor, 4 * factor]
    assert len(traces) == 1  # another factor is no other program
    apply(x, model=Partial(power, degree=3, factor=2.0))
    assert len(traces) == 2


def test_it_can_be_lowered_as_any_compiled_function():
    text = apply.lower(jnp.ones(2), model=Partial(power, degree=2, factor=1.0)).as_text()
    assert "tensor<2xf32>" in text


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (power, "apply: model is power, not a jax.tree_util.Partial"),
        (Partial(power, degree={1: 2}, factor=1.0), "the option degree of model is {1: 2}"),
    ],
)
def test_what_cannot_be_handed_on_is_refused(model, sentence):
    with pytest.raises(ValueError, match=sentence):
        apply(jnp.ones(2), model=model)
