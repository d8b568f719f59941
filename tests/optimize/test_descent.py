"""Minimization by any rule: where it ends, what it says, and how its end moves with the data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import descent, landscapes, optimizers, schedules

pytestmark = pytest.mark.engine
few = settings(max_examples=5, deadline=None, derandomize=True, phases=(Phase.generate,))


def bowl(curvature, center, x):
    return ((x - center) * (curvature @ (x - center))).sum() / 2


def problem(seed):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(3, 3))
    curvature = half @ half.T / 3 + 0.3 * np.eye(3)
    return jnp.asarray(curvature / np.linalg.norm(curvature, 2)), jnp.asarray(rng.normal(size=3))


def sgd(rate):
    return Partial(optax.sgd, learning_rate=rate)


@few
@given(st.integers(0, 2**32 - 1))
def test_a_bowl_s_bottom_is_found_and_moves_with_its_center(seed):
    with jax.enable_x64(True):
        curvature, center = problem(seed)

        def bottom(center):
            fn = Partial(lambda A, c, x: bowl(A, jnp.sin(c), x), curvature, center)
            rule = Partial(optax.sgd, learning_rate=1.0, momentum=0.6)
            return descent.minimize(fn, jnp.zeros(3), rule=rule, max_steps=2000, gtol=1e-11)

        x, info = bottom(center)
        assert bool(info.is_done)
        np.testing.assert_allclose(x, np.sin(center), atol=1e-8)
        for mode in (jax.jacfwd, jax.jacrev):
            slope = mode(lambda c: bottom(c)[0])(center)
            np.testing.assert_allclose(slope, np.diag(np.cos(center)), atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "nadam", "rmsprop", "adagrad", "nesterov", "momentum"])
def test_every_rule_reaches_the_minimum_of_beale_s_function(name):
    rate = {"adagrad": 0.5, "nesterov": 0.003, "momentum": 0.003, "rmsprop": 0.01}.get(name, 0.05)
    schedule = schedules.make("cosine", {"init_value": rate, "decay_steps": 3000.0})
    x, info = descent.minimize(
        Partial(landscapes.beale),
        jnp.array([1.0, 1.0]),
        rule=optimizers.make(name, {"learning_rate": schedule}),
        max_steps=3000,
        gtol=1e-3,
    )
    assert bool(info.is_done)
    np.testing.assert_allclose(x, landscapes.PROBLEMS["beale"].minimizers[0], atol=0.02)


def test_a_tree_is_moved_and_learning_rates_are_mapped():
    fn = Partial(lambda x: (x["a"] ** 2).sum() + (x["b"] - 1) ** 2)
    start = {"a": jnp.ones(2), "b": jnp.zeros(())}
    found, info = jax.vmap(
        lambda rate: descent.minimize(fn, start, rule=sgd(rate), max_steps=50, gtol=1e-4)
    )(jnp.array([0.5, 0.3, 1e-3, 0.0, 1.5]))
    wanted = [Status.CONVERGED, Status.CONVERGED, Status.OUT_OF_STEPS, Status.BAD_INPUT]
    assert info.status.tolist()[:4] == wanted
    assert info.num_steps.tolist()[:4] == [1, info.num_steps[1], 50, 2]
    np.testing.assert_allclose(found["b"][:2], 1, atol=1e-4)


@pytest.mark.parametrize(
    ("fn", "start", "rate", "status"),
    [
        (lambda x: x**2, 0.0, 0.1, Status.CONVERGED),  # there already: no step is taken
        (lambda x: x**2, 1.0, 0.0, Status.BAD_INPUT),
        (lambda x: x**2, 1.0, 3.0, Status.DIVERGED),
        (lambda x: -x, 1.0, 1e6, Status.DIVERGED),
        (lambda x: jnp.log(x), 1.0, 2.0, Status.NOT_FINITE),
        (lambda x: x**2, np.nan, 0.1, Status.NOT_FINITE),
        (lambda x: x**2, 1.0, np.nan, Status.NOT_FINITE),
        (lambda x: x**2, 1.0, 1e-4, Status.OUT_OF_STEPS),
    ],
)
def test_how_a_search_ends(fn, start, rate, status):
    _, info = descent.minimize(Partial(fn), jnp.asarray(start), rule=sgd(rate), max_steps=100)
    assert int(info.status) == status
    assert bool(info.is_done) is (status == Status.CONVERGED)
    assert int(info.num_evals) == int(info.num_steps) + 1
    if start == 0:
        assert int(info.num_steps) == 0


def test_steps_that_are_too_short_end_a_search():
    fn = Partial(lambda x: x**2)
    _, info = descent.minimize(fn, jnp.ones(()), rule=sgd(1e-6), max_steps=9, xtol=1e-3)
    assert (int(info.status), int(info.num_steps)) == (Status.STALLED, 1)


def test_a_budget_below_one_step_is_refused():
    with pytest.raises(ValueError, match=r"descent\.minimize: max_steps is 0, not at least 1"):
        descent.minimize(Partial(lambda x: x**2), jnp.ones(()), rule=sgd(0.1), max_steps=0)
