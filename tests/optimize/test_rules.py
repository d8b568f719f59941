"""Rules and optimizers: each is optax's, step for step, and any tree of arrays will do."""

from functools import partial
from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxpr_as_fun

from mastery_jax.core import loop
from mastery_jax.numerics.optimize.rules import (
    adagrad,
    adam,
    adamw,
    gradient_descent,
    lion,
    momentum,
    nadam,
    nesterov,
    rmsprop,
)

RATE = 0.03
BETAS = {"b1": 0.9, "b2": 0.95, "decay": 0.9, "weight_decay": 0.01}
PAIRS = {
    "gradient_descent": (gradient_descent, optax.sgd, {}, ()),
    "momentum": (momentum, optax.sgd, {"momentum": 0.9}, ("trace",)),
    "nesterov": (nesterov, optax.sgd, {"momentum": 0.9, "nesterov": True}, ("trace",)),
    "adam": (adam, optax.adam, {}, ("count", "mu", "nu")),
    "adamw": (adamw, optax.adamw, {}, ("count", "mu", "nu")),
    "nadam": (nadam, optax.nadam, {}, ("count", "mu", "nu")),
    "rmsprop": (rmsprop, optax.rmsprop, {}, ("nu",)),
    "adagrad": (adagrad, optax.adagrad, {}, ("sum_of_squares",)),
    "lion": (lion, optax.lion, {}, ("mu",)),
}


def tree(seed, dtype):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(np.exp(3 * rng.normal(size=shape)), dtype)  # noqa: E731
    return {"w": draw(3, 2), "b": [-draw(4)]}


def ours_from(rule, state, names):
    """Return optax's state as the rule's own."""
    found = [optax.tree.get(state, name) for name in names]
    return rule.State(*found)


def op_by_op(fn):
    """Return a function as its traced operations, one after the other, none of them fused."""

    def run(*args):
        traced, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
        with jax.disable_jit():
            leaves = jaxpr_as_fun(traced)(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return run


def worst_ulp(a, b):
    """Return the largest distance between two trees, in units of b's last place."""
    apart = jax.tree.map(lambda x, y: np.max(np.abs(x - y) / np.spacing(np.abs(y))), a, b)
    return max(jax.tree.leaves(apart))


@pytest.mark.engine
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_step_is_optax_s_given_its_state(name, dtype):
    rule, make, options, names = PAIRS[name]
    with jax.enable_x64(dtype == "float64"):
        # The numbers are traced in ours: 1 - b is rounded as an array's would be, not as Python's.
        betas = {key: value for key, value in BETAS.items() if key in signature(make).parameters}
        betas, rate = jax.tree.map(lambda b: jnp.asarray(b, dtype), (betas, RATE))
        theirs = make(rate, **betas, **options)
        our_step = op_by_op(partial(rule.step, learning_rate=rate, **betas))
        their_step = op_by_op(theirs.update)
        params = tree(0, dtype)
        state = theirs.init(params)
        for seed in range(1, 11):
            grads = tree(seed, dtype)
            given = ours_from(rule, state, names)
            updates, after = our_step(given, grads, params)
            wanted, state = their_step(grads, state, params)
            assert worst_ulp((updates, after), (wanted, ours_from(rule, state, names))) <= 2
            params = optax.apply_updates(params, wanted)


@pytest.mark.engine
@pytest.mark.parametrize("name", PAIRS)
def test_a_hundred_free_steps_end_where_optax_ends(name):
    rule, make, options, _ = PAIRS[name]
    with jax.enable_x64(True):
        theirs = make(RATE, **options)
        scales = tree(5, "float64")

        def grads_of(params):
            return jax.tree.map(lambda x, s: jnp.sin(x / s) + 0.1 * x / s, params, scales)

        def our_step(carry):
            params, state = carry
            updates, state = rule.step(state, grads_of(params), params, learning_rate=RATE)
            return (optax.apply_updates(params, updates), state), None

        def their_step(carry):
            params, state = carry
            updates, state = theirs.update(grads_of(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        start = tree(0, "float64")
        run = jax.jit(
            lambda step, state: loop.scan(step, (start, state), num_steps=100)[0][0],
            static_argnames="step",
        )
        ours, wanted = run(our_step, rule.init(start)), run(their_step, theirs.init(start))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), ours, wanted)


def test_hyperparameters_are_traced_and_take_the_dtype_of_the_leaf():
    params = {"a": jnp.ones(2, "float32"), "b": jnp.ones((), "float16")}
    rates = jnp.array([0.1, 0.2, 0.3])
    updates, state = jax.vmap(
        lambda rate: adamw.step(adamw.init(params), params, params, learning_rate=rate)
    )(rates)
    assert updates["a"].dtype == "float32"
    assert updates["b"].dtype == "float16"
    np.testing.assert_allclose(updates["a"][:, 0], -rates * (1 + 1e-4), rtol=1e-5)
    assert state.num_steps.shape == (3,)


def test_a_sweep_is_traced_once():
    count = 0

    @jax.jit
    def counted(rate):
        nonlocal count
        count += 1
        params = jnp.ones(2)
        return lion.step(lion.init(params), params, params, learning_rate=rate)

    for rate in (0.1, 0.2, 0.3):
        counted(rate)
    assert count == 1


@pytest.mark.parametrize("rule", [adam, adamw, nadam], ids=lambda rule: rule.__name__[-5:])
def test_a_decay_of_0_999_is_not_1_in_bfloat16(rule):
    found = []
    for dtype in (jnp.bfloat16, jnp.float32):
        params, grads = (jnp.full(3, value, dtype) for value in (1.0, 0.5))
        state = rule.init(params)
        for _ in range(3):
            updates, state = rule.step(state, grads, params, learning_rate=0.1)
        assert updates.dtype == dtype
        found.append(updates.astype(jnp.float32))
    np.testing.assert_allclose(*found, rtol=0.02)
