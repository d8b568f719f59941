"""Equality constraints: multipliers as prices, and constraints that cannot all be met."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import lagrange
from tests.optimize import problems

few = settings(max_examples=10, deadline=None, derandomize=True)
ROSENBROCK = Partial(problems.rosenbrock, 100.0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def linear(A, b, x):
    return (A * x[None, :]).sum(axis=1) - b


@few
@given(st.integers(0, 2**32 - 1))
def test_a_quadratic_under_linear_constraints_is_one_linear_system(seed):
    rng = np.random.default_rng(seed)
    half, A = rng.normal(size=(5, 5)), rng.normal(size=(2, 5))
    matrix, target, b = half @ half.T + 0.1 * np.eye(5), rng.normal(size=5), rng.normal(size=2)
    state, info = lagrange.minimize(
        Partial(problems.quadratic, matrix, target), Partial(linear, A, b), jnp.zeros(5)
    )
    whole = np.block([[matrix, A.T], [A, np.zeros((2, 2))]])
    wanted = np.linalg.solve(whole, np.append(target, b))
    assert info.is_done
    assert info.num_steps <= 2
    np.testing.assert_allclose(state.x, wanted[:5], atol=1e-7)
    np.testing.assert_allclose(state.multipliers, wanted[5:], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("start", [[1.0, 0.5], [-2.0, 3.0], [0.1, 0.1]])
def test_the_valley_on_a_circle(start):
    state, info = lagrange.minimize(ROSENBROCK, Partial(problems.disk, 1.0), jnp.array(start))
    assert info.is_done
    angles = np.linspace(0, 2 * np.pi, 200_001)
    around = np.stack([np.cos(angles), np.sin(angles)])
    values = 100 * (around[1] - around[0] ** 2) ** 2 + (1 - around[0]) ** 2
    np.testing.assert_allclose((state.x**2).sum(), 1, atol=1e-7)
    is_low = (values < np.roll(values, 1)) & (values < np.roll(values, -1))
    assert np.abs(values[is_low] - info.value).min() < 1e-6


@pytest.mark.slow
def test_multipliers_are_prices():
    def least(radius):
        start = jnp.array([0.7, 0.7])
        return lagrange.minimize(ROSENBROCK, Partial(problems.disk, radius), start, gtol=1e-10)

    state, info = least(1.0)
    slope = (least(1.0 + 1e-5)[1].value - least(1.0 - 1e-5)[1].value) / 2e-5
    # The constraint is x² − r² = 0: a larger r asks for less.
    np.testing.assert_allclose(slope, -2 * state.multipliers[0], rtol=1e-5)
    jacobian = jax.jacrev(lambda radius: least(radius)[0].x)(1.0)
    moved = (least(1.0 + 1e-5)[0].x - least(1.0 - 1e-5)[0].x) / 2e-5
    np.testing.assert_allclose(jacobian, moved, rtol=1e-4)
    assert info.is_done


def two_lines(gap, x):
    return jnp.stack([x[0] + x[1], 2 * x[0] + 2 * x[1] - gap])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("constraints", "start", "options", "status"),
    [
        (Partial(two_lines, 1.0), [0.3, 0.2], {}, Status.INFEASIBLE),
        (Partial(two_lines, 0.0), [0.3, 0.2], {}, Status.SINGULAR),
        (Partial(lambda x: (x**2).sum(keepdims=True) + 1), [0.5, 0.2], {}, Status.INFEASIBLE),
        (Partial(problems.disk, 1.0), [jnp.nan, 0.2], {}, Status.NOT_FINITE),
        (Partial(problems.disk, 1.0), [5.0, 0.2], {"max_steps": 1}, Status.OUT_OF_STEPS),
    ],
)
def test_how_it_ends(constraints, start, options, status):
    state, info = lagrange.minimize(ROSENBROCK, constraints, jnp.array(start), **options)
    assert info.status == status
    assert not info.is_done
    if status == Status.SINGULAR:
        np.testing.assert_allclose(state.x.sum(), 0, atol=1e-6)


def test_a_maximum_is_left():
    fn = Partial(lambda x: x[1])
    state, info = lagrange.minimize(fn, Partial(problems.disk, 1.0), jnp.array([1e-3, 1.0]))
    assert info.is_done
    np.testing.assert_allclose(state.x, [0.0, -1.0], atol=1e-5)


def test_constraints_are_at_most_as_many_as_variables():
    with pytest.raises(ValueError, match=r"lagrange\.minimize: 3 constraints are more than the 2"):
        lagrange.minimize(
            ROSENBROCK, Partial(lambda x: jnp.append(x, 1.0).astype(x.dtype)), jnp.ones(2)
        )


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_units_of_a_constraint_move_its_multiplier_only(unit):
    (x, multipliers), info = lagrange.minimize(
        Partial(lambda x: (x**2).sum()),
        Partial(lambda unit, x: unit * (x.sum(keepdims=True) - 1), unit),
        jnp.array([3.0, -1.0]),
        gtol=1e-11,
    )
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(x, 0.5, rtol=1e-6)
    np.testing.assert_allclose(multipliers, -1 / unit, rtol=1e-6)
