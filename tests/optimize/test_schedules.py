"""Schedules and optimizers by name: optax's numbers, traced, and a sentence for a wrong name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from mastery_jax.numerics.optimize import optimizers, schedules
from mastery_jax.numerics.optimize.rules import adam, lion

steps = np.arange(0, 13)
OPTAX = {
    "exponential": (
        {"init_value": 0.3, "decay_rate": 0.7, "transition_steps": 4},
        lambda: optax.exponential_decay(0.3, 4, 0.7),
    ),
    "step_decay": (
        {"init_value": 0.3, "decay_rate": 0.7, "transition_steps": 4},
        lambda: optax.exponential_decay(0.3, 4, 0.7, staircase=True),
    ),
    "cosine": (
        {"init_value": 0.3, "decay_steps": 10, "end_value": 0.03},
        lambda: optax.cosine_decay_schedule(0.3, 10, alpha=0.1),
    ),
    "warmup_cosine": (
        {
            "init_value": 0.01,
            "peak_value": 0.3,
            "warmup_steps": 4,
            "decay_steps": 10,
            "end_value": 0.03,
        },
        lambda: optax.warmup_cosine_decay_schedule(0.01, 0.3, 4, 10, 0.03),
    ),
}


@pytest.mark.engine
@pytest.mark.parametrize("name", OPTAX)
def test_a_schedule_is_optax_s(name):
    numbers, theirs = OPTAX[name]
    with jax.enable_x64(True):
        ours = jax.vmap(schedules.make(name, numbers))(steps)
        np.testing.assert_allclose(ours, [theirs()(t) for t in steps], rtol=1e-12)


def test_a_warm_up_s_numbers_are_swept():
    """optax's own tests its peak with a Python ``if``, and so cannot be traced."""

    def rate(peak, warm):
        numbers = {"peak_value": peak, "warmup_steps": warm, "decay_steps": 10.0}
        return schedules.make("warmup_cosine", numbers)(3)

    rates = jax.vmap(rate)(jnp.array([0.1, 0.2, 0.2]), jnp.array([4.0, 4.0, 0.0]))
    cosine = 0.1 * (1 + np.cos(np.pi * 0.3))
    np.testing.assert_allclose(rates, [0.075, 0.15, cosine], rtol=1e-6)


@pytest.mark.engine
def test_an_optimizer_takes_a_schedule():
    schedule = schedules.make("step_decay", {"init_value": 0.4, "transition_steps": 2})
    rule = optimizers.make("gradient_descent", {"learning_rate": schedule})
    state, lengths = rule().init(1.0), []
    for _ in range(5):
        update, state = rule().update(jnp.ones(()), state, 1.0)
        lengths.append(-float(update))
    np.testing.assert_allclose(lengths, [0.4, 0.4, 0.2, 0.2, 0.1], rtol=1e-6)


@pytest.mark.engine
@pytest.mark.parametrize("name", ["adam", "lion"])
def test_an_optimizer_by_name_takes_the_numbers_of_its_white_box(name):
    white = {"adam": adam, "lion": lion}[name]
    numbers = {"learning_rate": 0.1, "b1": 0.8, "b2": 0.9}
    params, grads = jnp.array([1.0, -2.0]), jnp.array([0.3, 3.0])
    rule = optimizers.make(name, numbers)()
    updates, _ = rule.update(grads, rule.init(params), params)
    wanted, _ = white.step(white.init(params), grads, params, **numbers)
    np.testing.assert_allclose(updates, wanted, rtol=1e-5)


@pytest.mark.engine
@pytest.mark.parametrize("name", sorted({"adagrad", "momentum", "nadam", "nesterov", "rmsprop"}))
def test_a_sweep_over_an_optimizer_by_name_is_traced_once(name):
    count = 0

    @jax.jit
    def first_step(rule):
        nonlocal count
        count += 1
        params = jnp.ones(2)
        return rule().update(params, rule().init(params), params)[0]

    lengths = [first_step(optimizers.make(name, {"learning_rate": r}))[0] for r in (0.1, 0.2)]
    assert count == 1
    np.testing.assert_allclose(lengths[1], 2 * lengths[0], rtol=1e-5)


@pytest.mark.engine
def test_lbfgs_by_name_descends():
    from mastery_jax.numerics.optimize import descent, landscapes

    found, info = descent.minimize(
        Partial(landscapes.rosenbrock),
        jnp.array([-1.2, 1.0]),
        rule=optimizers.make("lbfgs", {}),
        max_steps=100,
        gtol=1e-3,
    )
    assert bool(info.is_done)
    np.testing.assert_allclose(found, 1, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "numbers", "said"),
    [
        ("adamm", {"learning_rate": 0.1}, "name is 'adamm', not 'adam' or another of adagrad"),
        ("sgd", {"learning_rate": 0.1}, "name is 'sgd', not one of adagrad"),
        ("Adam", {"learning_rate": 0.1}, "name is 'Adam', not 'adam'"),
        ("adam", {"lr": 0.1}, "adam has no 'lr', but learning_rate, b1, b2, eps"),
        ("adam", {}, "adam needs 'learning_rate'"),
        ("lbfgs", {"learning_rate": 0.1}, "lbfgs has no 'learning_rate'"),
    ],
)
def test_what_is_misnamed_is_refused(name, numbers, said):
    with pytest.raises(ValueError, match=f"optimizers.make: {said}"):
        optimizers.make(name, numbers)


def test_a_misnamed_schedule_is_refused():
    with pytest.raises(ValueError, match="name is 'cosin', not 'cosine'"):
        schedules.make("cosin", {})
