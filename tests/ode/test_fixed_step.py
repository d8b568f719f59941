"""Equal steps: their orders, what they keep, and their slopes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import fixed_step
from tests.ode.fields import (
    ANIMAL_FIELD,
    ANIMALS,
    RATES,
    TIMES,
    along,
    directions,
    exact,
    lotka_volterra,
    pole,
    spring,
)

SPRING = Partial(spring)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_halved_steps_are_as_much_better_as_the_order_says(method, order):
    def worst(num_substeps):
        options = {"method": method, "num_substeps": num_substeps}
        ys, info = fixed_step.solve(ANIMAL_FIELD, jnp.asarray(ANIMALS), times, **options)
        assert info.num_evals == order * num_substeps * 5
        return abs(ys - exact()).max()

    with jax.enable_x64(True):
        times = jnp.asarray(TIMES)
        assert np.log2(worst(32) / worst(64)) == pytest.approx(order, abs=0.2)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16))
def test_a_spring_keeps_its_energy_to_the_order_of_the_method(seed):
    """By rk4 the energy falls by h⁶/72 a step, whatever the state; by Euler's it grows by h²."""
    with jax.enable_x64(True):
        y = jnp.asarray(np.random.default_rng(seed).normal(size=2))
        times = jnp.linspace(0.0, 10.0, 101)
        for method, growth in (("rk4", -(0.1**6) / 72), ("euler", 0.1**2)):
            ys, _ = fixed_step.solve(SPRING, y, times, method=method)
            energy = (ys**2).sum(axis=1)
            np.testing.assert_allclose(energy[1:] / energy[:-1] - 1, growth, rtol=0.02)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_time_runs_back(method):
    with jax.enable_x64(True):
        times, options = jnp.asarray(TIMES), {"method": method, "num_substeps": 200}
        there, _ = fixed_step.solve(ANIMAL_FIELD, jnp.asarray(ANIMALS), times, **options)
        back, _ = fixed_step.solve(ANIMAL_FIELD, there[-1], times[::-1], **options)
        np.testing.assert_allclose(back[-1], ANIMALS, atol={"euler": 0.05}.get(method, 1e-4))


@partial(jax.jit, static_argnames="adjoint")
def squares(rates, y, times, adjoint):
    field = Partial(lotka_volterra, rates)
    ys, _ = fixed_step.solve(field, y, times, num_substeps=40, adjoint=adjoint)
    return (ys**2 * jnp.arange(12.0).reshape(6, 2)).sum()


@pytest.mark.parametrize(
    ("adjoint", "rel"), [("direct", 1e-7), pytest.param("backsolve", 1e-5, marks=pytest.mark.slow)]
)
def test_slopes_are_finite_differences(adjoint, rel):
    with jax.enable_x64(True):
        point = tuple(map(jnp.asarray, (RATES, ANIMALS, TIMES)))
        slopes = jax.jit(jax.grad(partial(squares, adjoint=adjoint), argnums=(0, 1, 2)))(*point)
        (way,) = directions(point, 1)
        got = sum(float((g * v).sum()) for g, v in zip(slopes, way, strict=True))
        wanted = along(lambda *point: squares(*point, "direct"), point, way)
        assert got == pytest.approx(wanted, rel=rel)


def test_data_that_are_no_floats_pass_through_the_adjoint():
    def field(table, t, y):
        return table["rate"] * y * table["sign"].astype(y.dtype)

    def last(rate):
        table = {"rate": rate, "sign": jnp.array([-1, 1])}
        times = jnp.array([0.0, 1.0])
        options = {"num_substeps": 8, "adjoint": "backsolve"}
        return fixed_step.solve(Partial(field, table), jnp.ones(2), times, **options)[0][-1].sum()

    slope = jax.grad(last)(jnp.array(0.5))
    assert slope == pytest.approx(np.exp(0.5) - np.exp(-0.5), rel=1e-4)


def test_a_path_that_blows_up_says_so():
    _, info = fixed_step.solve(Partial(pole), jnp.array([1.0]), jnp.linspace(0.0, 3.0, 31))
    assert info.status == Status.NOT_FINITE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "rk5"}, "method is 'rk5', not one of"),
        ({"adjoint": "forward"}, "adjoint is 'forward', not 'direct' or 'backsolve'"),
        ({"num_substeps": 0}, "num_substeps is 0, not at least 1"),
        ({"times": jnp.zeros(0)}, "times is empty"),
        ({"field": Partial(lambda t, y: y.sum())}, "field returns"),
    ],
)
def test_what_is_wrong_is_refused(options, said):
    given = {"field": SPRING, "y": jnp.ones(2), "times": jnp.array([0.0, 1.0])} | options
    with pytest.raises(ValueError, match=f"^fixed_step.solve: {said}"):
        fixed_step.solve(**given)
