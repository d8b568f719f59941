"""The solution at any time, and the time of an event."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import dense, dopri5, event, rodas4
from tests.ode.fields import ANIMAL_FIELD, ANIMALS, exact, fall, pole, spring

ZERO = jnp.array(0.0)
SPRING = Partial(spring)


def height(level, t, y):
    return y[0] - level


PLACE = Partial(height, 0.0)


@pytest.mark.parametrize("method", ["dopri5", pytest.param("rodas4", marks=pytest.mark.slow)])
def test_a_path_is_where_scipy_finds_it_at_any_time(method):
    times = np.linspace(0.0, 3.0, 23)
    with jax.enable_x64(True):
        ends = jnp.array(0.0), jnp.array(3.0)
        options = {"method": method, "rtol": 1e-7, "atol": 1e-7}
        path, info = dense.solve(ANIMAL_FIELD, jnp.asarray(ANIMALS), *ends, **options)
        assert info.is_done
        at = jax.vmap(lambda t: dense.evaluate(path, t))
        np.testing.assert_allclose(at(times), exact(times), atol=5e-6)
        assert jnp.isnan(at(jnp.array([-0.1, 3.1]))).all()


def test_a_path_is_that_of_the_solver_and_runs_back_too():
    times = jnp.linspace(0.0, 2.0, 7)
    ys, _ = dopri5.solve(SPRING, jnp.array([1.0, 0.0]), times)
    path, _ = dense.solve(SPRING, jnp.array([1.0, 0.0]), times[0], times[-1])
    np.testing.assert_allclose(jax.vmap(lambda t: dense.evaluate(path, t))(times), ys, atol=1e-6)
    path, info = dense.solve(SPRING, ys[-1], times[-1], times[0])
    assert info.is_done
    back = jax.vmap(lambda t: dense.evaluate(path, t))(times)
    np.testing.assert_allclose(back, ys, atol=3e-4)


def test_a_path_ends_where_the_march_did():
    path, info = dense.solve(Partial(pole), jnp.array([1.0]), ZERO, jnp.array(2.0))
    assert info.status == Status.STALLED
    assert path.end == pytest.approx(1, abs=1e-3)
    assert dense.evaluate(path, jnp.array(0.5)) == pytest.approx(2, rel=1e-3)
    assert jnp.isnan(dense.evaluate(path, jnp.array(1.5))).all()


@partial(jax.jit, static_argnames="adjoint")
def landing(gravity, y, level, adjoint="direct"):
    start, end, crossing = jnp.array(0.0), jnp.array(9.0), Partial(height, level)
    options = {"event": crossing, "direction": "down", "adjoint": adjoint}
    return event.solve(Partial(fall, gravity), y, start, end, **options)


def known(gravity, y, level):
    return (y[1] + jnp.sqrt(y[1] ** 2 + 2 * gravity * (y[0] - level))) / gravity


@pytest.mark.parametrize(
    "adjoint",
    ["direct", *(pytest.param(name, marks=pytest.mark.slow) for name in ("backsolve", "forward"))],
)
def test_a_ball_lands_when_it_must_and_so_do_the_slopes(adjoint):
    with jax.enable_x64(True):
        given = jnp.array(9.81), jnp.array([10.0, 3.0]), jnp.array(1.0)
        t, y, info = landing(*given, adjoint)
        assert info.is_done
        assert t == pytest.approx(float(known(*given)), rel=1e-12)
        np.testing.assert_allclose(y, [1.0, 3.0 - 9.81 * t], rtol=1e-10)
        slope = jax.jacfwd if adjoint == "forward" else jax.grad
        when = jax.jit(slope(lambda *given: landing(*given, adjoint)[0], argnums=(0, 1, 2)))
        slopes = when(*given)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8),
            slopes,
            jax.grad(known, argnums=(0, 1, 2))(*given),
        )


@settings(max_examples=6, deadline=None, derandomize=True)
@given(phase=st.floats(0.1, 3.0))
def test_a_spring_passes_its_middle_up_and_down(phase):
    """From sin(phase) the middle is passed at π − phase, and upwards at 2π − phase."""
    with jax.enable_x64(True):
        y = jnp.array([np.sin(phase), np.cos(phase)])
        for direction, turn in (("any", np.pi), ("up", 2 * np.pi)):
            t, y_there, info = event.solve(
                SPRING, y, jnp.array(0.0), jnp.array(10.0),
                event=PLACE, direction=direction, rtol=1e-8, atol=1e-8,
            )  # fmt: skip
            assert info.is_done
            assert t == pytest.approx(turn - phase, abs=1e-6)
            assert y_there[0] == pytest.approx(0, abs=1e-9)


def test_what_does_not_happen_has_no_time():
    never = jnp.array(1e3)
    t, y, info = landing(jnp.array(9.81), jnp.array([10.0, 3.0]), never)
    assert info.status == Status.INFEASIBLE
    assert jnp.isnan(t)
    assert jnp.isnan(y).all()
    assert jnp.isnan(jax.grad(lambda g: landing(g, jnp.array([10.0, 3.0]), never)[0])(9.81))


@pytest.mark.parametrize("begins", [-1.0, 2.0])
def test_an_event_that_is_nan_is_not_one_that_did_not_happen(begins):
    """It is NaN from the start, or from the time 2 on; it never crosses zero before."""
    lost = Partial(lambda begins, t, y: jnp.where(t >= begins, jnp.nan, 1.0), begins)
    t, y, info = event.solve(SPRING, jnp.array([0.0, 1.0]), ZERO, jnp.array(5.0), event=lost)
    assert info.status == Status.NOT_FINITE
    assert not info.is_done
    assert jnp.isnan(t)
    assert jnp.isnan(y).all()


def test_an_event_at_the_start_has_not_happened():
    t, _, _ = event.solve(SPRING, jnp.array([0.0, 1.0]), ZERO, jnp.array(5.0), event=PLACE)
    assert t == pytest.approx(np.pi, abs=1e-3)


@pytest.mark.parametrize(
    ("fn", "options", "said"),
    [
        (dense.solve, {"method": "rk4"}, "dense.solve: method is 'rk4', not one of"),
        (event.solve, {"method": "rk4"}, "event.solve: method is 'rk4', not one of"),
        (event.solve, {"direction": "left"}, "event.solve: direction is 'left', not one of"),
        (event.solve, {"event": SPRING}, "event.solve: event returns .* not one float32 as y is"),
        (event.solve, {"max_steps": 0}, "event.solve: max_steps is 0, not at least 1"),
    ],
)
def test_what_is_wrong_is_refused(fn, options, said):
    given = ({"event": PLACE} if fn is event.solve else {}) | options
    with pytest.raises(ValueError, match=f"^{said}"):
        fn(SPRING, jnp.array([0.0, 1.0]), ZERO, jnp.array(1.0), **given)


def fall_from(adjoint, level):
    ends = ZERO.astype(level.dtype), jnp.asarray(5.0, level.dtype)
    field = Partial(lambda t, y: jnp.stack([y[1], -9.81 + 0 * t]))
    start = jnp.stack([level, 0 * level])
    options = {"event": PLACE, "adjoint": adjoint, "rtol": 1e-9, "atol": 1e-9}
    t, y, _ = event.solve(field, start, *ends, **options)
    return jnp.stack([t, y[1]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adjoint", "second"),
    [("forward", lambda fn: jax.jacfwd(jax.jacfwd(fn))), ("direct", jax.hessian)],
)
def test_the_time_of_an_event_has_curvature(adjoint, second):
    """A fall from h takes √(2h/g) and ends at −√(2gh)."""
    with jax.enable_x64(True):
        bent = second(lambda h: fall_from(adjoint, h))(jnp.asarray(10.0))
    time, speed = np.sqrt(20 / 9.81), -np.sqrt(20 * 9.81)
    np.testing.assert_allclose(bent, [-time / 400, -speed / 400], rtol=1e-8)


@pytest.mark.slow
def test_the_time_of_an_event_has_a_third_derivative():
    """A spring let go at x is at 1/2 when cos t = 1/(2x)."""

    def passing(x):
        half, start = Partial(height, 0.5), jnp.stack([x, 0 * x])
        ends, tight = (0 * x, 0 * x + 5), {"rtol": 1e-9, "atol": 1e-9}
        return event.solve(SPRING, start, *ends, event=half, adjoint="forward", **tight)[0]

    def third(fn):
        return jax.jit(jax.jacfwd(jax.jacfwd(jax.jacfwd(fn))))(jnp.asarray(1.0))

    with jax.enable_x64(True):
        np.testing.assert_allclose(third(passing), third(lambda x: jnp.arccos(0.5 / x)), rtol=1e-5)


def test_an_event_that_jumps_has_a_time_and_no_slope():
    def sign(t, y):
        return jnp.where(y[0] > 0, 1.0, -1.0)

    def hit(level):
        start = jnp.stack([level, 0 * level])
        return event.solve(
            Partial(fall, 9.81), start, ZERO, jnp.array(5.0), event=Partial(sign), adjoint="forward"
        )

    t, _, info = hit(jnp.array(1.0))
    assert info.is_done
    np.testing.assert_allclose(t, np.sqrt(2 / 9.81), rtol=1e-5)
    assert not np.isfinite(jax.jacfwd(lambda level: hit(level)[0])(jnp.array(1.0)))


def test_a_flat_event_that_changes_its_sign_has_a_time():
    cubed, still = Partial(lambda t, y: (t - 2) ** 3), Partial(lambda t, y: 0 * y + 1)
    t, _, info = event.solve(still, jnp.zeros(1), ZERO, jnp.array(5.0), event=cubed)
    assert info.is_done
    np.testing.assert_allclose(t, 2, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "came"), [(int, "int"), (jnp.float16, "float16")])
def test_an_event_is_a_float_as_the_state_is(dtype, came):
    sign = Partial(lambda t, y: jnp.where(y[0] > 0, 1, -1).astype(dtype))
    with pytest.raises(ValueError, match=f"event returns .*{came}.* not one float32 as y is"):
        event.solve(SPRING, jnp.array([1.0, 0.0]), ZERO, jnp.array(5.0), event=sign)


@pytest.mark.parametrize("solver", [dopri5, rodas4])
@pytest.mark.parametrize("adjoint", ["direct", "backsolve"])
def test_at_one_time_the_state_is_what_was_given(solver, adjoint):
    def first(y, times):
        return solver.solve(SPRING, y, times, adjoint=adjoint)[0][-1, 0]

    of_y, of_times = jax.grad(first, (0, 1))(jnp.array([1.0, 0.0]), jnp.zeros(1))
    np.testing.assert_array_equal(of_y, [1.0, 0.0])
    np.testing.assert_array_equal(of_times, [0.0])
    loose = jax.grad(lambda y: solver.solve(SPRING, y, jnp.zeros(1), rtol=0.0)[0].sum())
    assert jnp.isnan(loose(jnp.array([1.0, 0.0]))).all()


@pytest.mark.parametrize("solver", [dopri5, rodas4])
def test_a_march_of_no_length_moves_with_its_ends(solver):
    decay = Partial(lambda t, y: -2 * y)

    def last(times):
        return solver.solve(decay, jnp.ones(1), times, adjoint="forward")[0][-1, 0]

    np.testing.assert_allclose(jax.jacfwd(last)(jnp.zeros(2)), [2.0, -2.0], rtol=1e-6)


def test_a_path_of_no_step_is_where_it_began_and_bad_input_is_nowhere():
    ends = ZERO, jnp.array(1.0)
    path, info = dense.solve(Partial(lambda t, y: y * jnp.nan), jnp.ones(1), *ends)
    assert info.status == Status.NOT_FINITE
    np.testing.assert_array_equal(dense.evaluate(path, ZERO), [1.0])
    path, info = dense.solve(SPRING, jnp.array([1.0, 0.0]), *ends, atol=0.0)
    assert info.status == Status.BAD_INPUT
    assert np.isnan(dense.evaluate(path, ZERO)).all()


def test_times_are_of_the_dtype_of_the_state():
    with pytest.raises(ValueError, match=r"dopri5.solve: times are float32, not bfloat16 as y is"):
        dopri5.solve(SPRING, jnp.ones(2, jnp.bfloat16), jnp.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"dense.solve: end is float32, not float16 as y is"):
        dense.solve(SPRING, jnp.ones(2, jnp.float16), jnp.zeros((), jnp.float16), jnp.array(1.0))


def pulse(t, y):
    return jnp.exp(-(((t - 50) / 0.5) ** 2)) - 0 * y


@pytest.mark.parametrize("solver", [dopri5, rodas4])
def test_no_step_is_longer_than_it_may_be(solver):
    times, start = jnp.array([0.0, 100.0]), jnp.zeros(1)
    assert abs(solver.solve(Partial(pulse), start, times)[0][-1, 0]) < 1e-3
    ys, _ = solver.solve(Partial(pulse), start, times, max_step_size=0.5)
    np.testing.assert_allclose(ys[-1], np.sqrt(np.pi) / 2, rtol=1e-3)
    _, info = solver.solve(Partial(pulse), start, times, max_step_size=0.0)
    assert info.status == Status.BAD_INPUT


def test_an_event_within_a_long_step_is_seen_by_shorter_ones():
    dip = Partial(lambda t, y: jnp.abs(t - 5.3) - 0.2)
    still = Partial(lambda t, y: 0 * y)
    ends = ZERO, jnp.array(10.0)
    _, _, info = event.solve(still, jnp.ones(1), *ends, event=dip)
    assert info.status == Status.INFEASIBLE
    t, _, _ = event.solve(still, jnp.ones(1), *ends, event=dip, max_step_size=0.1)
    np.testing.assert_allclose(t, 5.1, rtol=1e-5)
    path, _ = dense.solve(still, jnp.ones(1), *ends, max_step_size=0.5)
    assert path.step_size.max() <= 0.5
