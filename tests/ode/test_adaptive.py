"""Marches that adapt: what they find, how they fail, and their slopes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import adaptive, dopri5, rodas4
from tests.ode.fields import (
    ANIMAL_FIELD,
    ANIMALS,
    RATES,
    TIMES,
    along,
    directions,
    exact,
    growth,
    linear,
    lotka_volterra,
    pole,
)

BOTH = pytest.mark.parametrize(
    "module",
    [dopri5, pytest.param(rodas4, marks=pytest.mark.slow)],  # which takes long to compile
    ids=["dopri5", "rodas4"],
)
GROWTH, POLE = Partial(growth), Partial(pole)
ONE = jnp.array([1.0])


def fading(t, y):
    """Return a slope that is not a number from the time 0.5."""
    return -jnp.log(0.5 - t) * y


@pytest.mark.parametrize("module", [dopri5, rodas4], ids=["dopri5", "rodas4"])
def test_the_animals_are_where_scipy_finds_them(module):
    with jax.enable_x64(True):
        tight = {"rtol": 1e-9, "atol": 1e-9}
        ys, info = module.solve(ANIMAL_FIELD, jnp.asarray(ANIMALS), jnp.asarray(TIMES), **tight)
        assert info.status == Status.CONVERGED
        assert info.is_done
        np.testing.assert_allclose(ys, exact(), rtol=0, atol=2e-8)


@BOTH
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), end=st.floats(-2.0, 2.0))
def test_a_linear_path_is_the_exponential(module, seed, end):
    matrix, y = np.split(np.random.default_rng(seed).normal(size=(4, 3)), [3])
    with jax.enable_x64(True):
        times = jnp.array([0.0, end / 3, end])
        field = Partial(linear, jnp.asarray(matrix))
        ys, _ = module.solve(field, jnp.asarray(y[0]), times, rtol=1e-7, atol=1e-9)
        wanted = np.stack([expm(matrix * t) @ y[0] for t in times])
        np.testing.assert_allclose(ys, wanted, rtol=1e-4, atol=1e-5)


@BOTH
def test_time_runs_back_to_where_it_came_from(module):
    with jax.enable_x64(True):
        times, tight = jnp.asarray(TIMES), {"rtol": 1e-9, "atol": 1e-9}
        there, _ = module.solve(ANIMAL_FIELD, jnp.asarray(ANIMALS), times, **tight)
        back, info = module.solve(ANIMAL_FIELD, there[-1], times[::-1], **tight)
        assert info.is_done
        np.testing.assert_allclose(back[::-1], there, atol=1e-7)


@pytest.mark.parametrize(("module", "order"), [(dopri5, 5), (rodas4, 4)], ids=["dopri5", "rodas4"])
def test_halved_steps_are_as_much_better_as_the_order_says(module, order):
    """Of the states, and of the polynomial at 0.3 of every step; both on a field that t moves."""

    def worst(count):
        def step(y, index):
            t, h = index * 2 / count, jnp.asarray(2 / count)
            trial = module.METHOD.step(field, t, y, field(t, y), h)
            return trial.y, (trial.y, adaptive.at(trial.coefs, 0.3), t)

        indices = jnp.arange(count, dtype=jnp.result_type(1.0))
        _, (ends, parts, ts) = jax.lax.scan(step, jnp.asarray(ANIMALS), indices)
        both = np.sort(np.concatenate([[0.0], np.asarray(ts) + 0.6 / count, ts[1:], [2.0]]))
        wanted = exact(both)
        return abs(ends - wanted[2::2]).max(), abs(parts - wanted[1::2]).max()

    with jax.enable_x64(True):
        field = Partial(lotka_volterra, jnp.asarray(RATES))
        slopes = np.log2(np.array(worst(8)) / np.array(worst(16)))
    assert (slopes > order - 0.4).all()


def vanderpol(mu, t, y):
    return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def robertson(t, y):
    slow, fast, faster = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return jnp.stack([fast - slow, slow - fast - faster, faster])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "y", "times", "rtol"),
    [
        (Partial(vanderpol, 1000.0), [2.0, 0.0], [0.0, 500.0, 1000.0], 2e-5),
        (Partial(robertson), [1.0, 0.0, 0.0], [0.0, 40.0, 1e5], 2e-5),
    ],
    ids=["van der Pol", "Robertson"],
)
def test_stiff_fields_are_followed_as_radau_does(field, y, times, rtol):
    with jax.enable_x64(True):
        slope, jacobian = jax.jit(field), jax.jit(jax.jacfwd(field, argnums=1))
        known = solve_ivp(
            lambda t, y: np.asarray(slope(t, y)),
            (times[0], times[-1]),
            y,
            method="Radau",
            rtol=1e-9,
            atol=1e-12,
            t_eval=times,
            jac=lambda t, y: np.asarray(jacobian(t, y)),
        )
        loose = {"rtol": 1e-6, "atol": 1e-10, "max_steps": 1000}
        ys, info = rodas4.solve(field, jnp.asarray(y), jnp.asarray(times), **loose)
        assert info.is_done
        np.testing.assert_allclose(ys, known.y.T, rtol=rtol, atol=1e-9)


@partial(jax.jit, static_argnames=("adjoint", "module"))
def squares(rates, y, times, tol, *, adjoint="direct", module=dopri5):
    field = Partial(lotka_volterra, rates)
    ys, _ = module.solve(field, y, times, rtol=tol, atol=tol, adjoint=adjoint)
    return (ys**2 * jnp.arange(12.0).reshape(6, 2)).sum()


@pytest.mark.parametrize(
    ("module", "adjoint", "tol"),
    [
        (dopri5, "direct", 1e-9),
        *(
            pytest.param(module, adjoint, tol, marks=pytest.mark.slow)
            for module, adjoint, tol in (
                (dopri5, "backsolve", 1e-9),
                (dopri5, "forward", 1e-9),
                (rodas4, "direct", 1e-7),
            )
        ),
    ],
)
def test_slopes_are_finite_differences(module, adjoint, tol):
    with jax.enable_x64(True):
        point = tuple(map(jnp.asarray, (RATES, ANIMALS, TIMES)))
        mode = jax.jacfwd if adjoint == "forward" else jax.grad
        options = {"adjoint": adjoint, "module": module}
        slopes = jax.jit(mode(partial(squares, **options), argnums=(0, 1, 2)))(*point, tol)
        for way in directions(point, 3):
            wanted = along(lambda *point: squares(*point, 1e-12), point, way)
            got = sum(float((g * v).sum()) for g, v in zip(slopes, way, strict=True))
            assert got == pytest.approx(wanted, rel=1e-5, abs=1e-3)


def test_a_pole_stalls_and_what_lies_behind_it_is_nan():
    times = jnp.array([0.0, 0.5, 2.0])
    ys, info = dopri5.solve(POLE, ONE, times)
    assert info.status == Status.STALLED
    assert not info.is_done
    np.testing.assert_allclose(ys[:2, 0], [1, 2], rtol=1e-3)
    assert jnp.isnan(ys[2]).all()
    assert jnp.isnan(jax.grad(lambda y: dopri5.solve(POLE, y, times)[0][1].sum())(ONE)).all()


@BOTH
@pytest.mark.parametrize(
    ("field", "y", "times", "rtol", "atol", "status"),
    [
        (GROWTH, 1.0, [0.0, 0.5, 0.3], 1e-3, 1e-3, Status.BAD_INPUT),
        (GROWTH, 1.0, [0.0, np.nan, 1.0], 1e-3, 1e-3, Status.BAD_INPUT),
        (GROWTH, 1.0, [0.0, 1.0, np.inf], 1e-3, 1e-3, Status.BAD_INPUT),
        (GROWTH, np.nan, [0.0, 0.5, 1.0], 1e-3, 1e-3, Status.BAD_INPUT),
        (GROWTH, 1.0, [0.0, 0.5, 1.0], 0.0, 1e-3, Status.BAD_INPUT),
        (GROWTH, 1.0, [0.0, 0.5, 1.0], 1e-3, -1.0, Status.BAD_INPUT),
        (GROWTH, 1.0, [0.0, 0.5, 1.0], 1e-3, np.nan, Status.BAD_INPUT),
        (GROWTH, 1.0, [0.0, 0.5, 90.0], 1e-3, 1e-3, Status.OUT_OF_STEPS),
        (Partial(fading), 1.0, [0.0, 0.2, 1.0], 1e-3, 1e-3, Status.NOT_FINITE),
        (Partial(fading), 1.0, [0.7, 0.8, 1.0], 1e-3, 1e-3, Status.NOT_FINITE),
    ],
)
def test_bad_ends_are_said_and_never_a_number(module, field, y, times, rtol, atol, status):
    options = {"rtol": rtol, "atol": atol, "max_steps": 60}
    ys, info = module.solve(field, jnp.array([y]), jnp.array(times), **options)
    assert info.status == status
    assert not info.is_done
    assert jnp.isnan(ys[-1]).all()


@BOTH
def test_times_may_repeat_and_one_alone_is_a_path(module):
    ys, info = module.solve(GROWTH, ONE, jnp.array([0.0, 0.0, 1.0, 1.0]))
    assert info.is_done
    np.testing.assert_allclose(ys[:, 0], [1, 1, np.e, np.e], rtol=1e-4)
    alone, info = module.solve(GROWTH, ONE, jnp.array([3.0]))
    assert info.is_done
    assert alone == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"adjoint": "magic"}, "adjoint is 'magic', not one of"),
        ({"max_steps": 0}, "max_steps is 0, not at least 1"),
        ({"times": jnp.zeros(0)}, "times is empty"),
        ({"field": Partial(lambda t, y: y.sum())}, "field returns"),
    ],
)
def test_what_is_wrong_while_tracing_is_refused(options, said):
    given = {"field": GROWTH, "y": ONE, "times": jnp.array([0.0, 1.0])} | options
    with pytest.raises(ValueError, match=f"^dopri5.solve: {said}"):
        dopri5.solve(**given)


@BOTH
@pytest.mark.parametrize("unit", [2.0**-100, 1e-18, 2.0**60])
def test_time_is_in_any_unit(module, unit):
    decay = Partial(lambda unit, t, y: -y / unit, unit)
    ys, info = module.solve(decay, ONE, jnp.array([0.0, unit]))
    assert info.is_done
    np.testing.assert_allclose(ys[-1], np.exp(-1), rtol=1e-3)


@BOTH
@pytest.mark.parametrize("adjoint", ["direct", "backsolve"])
def test_a_state_of_no_numbers_is_followed(module, adjoint):
    def last(y, times):
        ys, info = module.solve(GROWTH, y, times, adjoint=adjoint)
        return ys.sum(), (ys, info)

    given = jnp.zeros(0), jnp.array([0.0, 0.5, 1.0])
    slopes, (ys, info) = jax.jit(jax.grad(last, (0, 1), has_aux=True))(*given)
    assert info.is_done
    assert ys.shape == (3, 0)
    assert slopes[0].shape == (0,)
    np.testing.assert_array_equal(slopes[1], 0)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["direct", "backsolve"])
def test_each_number_of_a_state_may_have_its_own_atol(adjoint):
    """The second number decays from a millionth, by more than a loose tolerance would notice."""

    def solve(y, atol):
        field = Partial(linear, jnp.diag(jnp.array([-1.0, -50.0])))
        times = jnp.array([0.0, 0.1])
        ys, info = dopri5.solve(field, y, times, rtol=1e-12, atol=atol, adjoint=adjoint)
        return ys[-1], info

    with jax.enable_x64(True):
        y, fine = jnp.array([1.0, 1e-6]), jnp.array([1e-4, 1e-11])
        (ys, info), (_, coarse) = solve(y, fine), solve(y, 1e-4)
        assert info.num_steps > coarse.num_steps
        np.testing.assert_allclose(ys, y * np.exp([-0.1, -5.0]), rtol=1e-4, atol=1e-11)
        (same, _), (one, _) = solve(y, jnp.full(2, 1e-6)), solve(y, 1e-6)
        np.testing.assert_array_equal(same, one)
        slopes = jax.jacrev(lambda y: solve(y, fine)[0])(y)
        np.testing.assert_allclose(slopes, np.diag(np.exp([-0.1, -5.0])), atol=1e-4)
        assert solve(y, jnp.array([1e-4, 0.0]))[1].status == Status.BAD_INPUT
    with pytest.raises(ValueError, match=r"^dopri5.solve: atol is float32\[3\]"):
        solve(jnp.ones(2), jnp.ones(3))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_a_stiff_field_is_refused_where_its_jacobian_has_no_factors(dtype):
    with pytest.raises(ValueError, match=r"^rodas4.solve: y is b?float16, not float32 or float64"):
        rodas4.solve(GROWTH, jnp.ones(1, dtype), jnp.array([0.0, 1.0], dtype))
    ys, info = dopri5.solve(GROWTH, jnp.ones(1, dtype), jnp.array([0.0, 1.0], dtype))
    assert info.is_done
    np.testing.assert_allclose(ys[-1].astype(jnp.float32), np.e, rtol=0.02)
