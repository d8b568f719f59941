"""Programs whose loops take as many turns whatever they are asked, and others."""

import jax
import jax.export
import jax.numpy as jnp
import pytest

from mastery_jax.workflow import turns
from mastery_jax.workflow.artifact import load
from tests.published import embed, put


def counted(state, x):
    return {"y": jax.lax.fori_loop(0, 20, lambda _, y: jnp.tanh(y), x["features"])}


def told_by_the_rows(state, x):
    def one(y, turns):
        return jax.lax.fori_loop(0, turns, lambda _, y: jnp.tanh(y), y)

    return {"y": jax.vmap(one)(x["features"], x["codes"])}


def until(state, x):
    def one(y):
        return jax.lax.while_loop(lambda y: jnp.abs(y).max() < 9, lambda y: 2 * y + 1, y)

    return {"y": jax.vmap(one)(x["features"])}


def nested(state, x):
    def again(_, y):
        return until(state, {"features": y})["y"]

    return {"y": jax.lax.fori_loop(0, 3, again, x["features"])}


def told_by_a_parameter(state, x):
    def one(_, y):
        return jnp.tanh(y)

    return {"y": jax.lax.fori_loop(0, state.params["scale"].astype(int), one, x["features"])}


def chosen(state, x):
    def one(y):
        return jax.lax.cond(y[0] > 0, lambda y: counted(state, {"features": y})["y"], jnp.sin, y)

    return {"y": jax.lax.map(one, x["features"])}


def a_row_at_a_time(state, x):
    return {"y": jax.lax.map(jnp.sin, x["features"])}


def drawn(state, x):
    keys = jax.vmap(jax.random.key)(x["codes"])
    return {"y": jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)}


@pytest.mark.parametrize(
    ("method", "is_counted"),
    [
        (counted, True),
        (told_by_the_rows, False),
        (until, False),
        (nested, False),
        (drawn, True),
        (told_by_a_parameter, True),
        (chosen, False),
        (a_row_at_a_time, True),
        (embed, True),
    ],
)
def test_loops_whose_turns_are_known(tmp_path, method, is_counted):
    assert load(put(tmp_path, {"method": method})).is_counted("method") is is_counted


def test_a_loop_that_is_not_seen_is_not_trusted():
    def opaque(y):
        return jax.lax.fori_loop(0, 3, lambda _, y: jnp.tanh(y), y)

    def counted_by(function):
        shape = jax.ShapeDtypeStruct((4,), jnp.float32)
        module = jax.export.export(jax.jit(function))(shape).mlir_module_serialized
        return turns.is_counted(module, 1)

    assert counted_by(opaque)
    assert not counted_by(jax.lax.composite(opaque, name="tests.opaque"))
