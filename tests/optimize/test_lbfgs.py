"""L-BFGS: scipy's minima, with and without bounds, and what happens to bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy import optimize

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import box, lbfgs
from tests.optimize import problems

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
ROSENBROCK = Partial(problems.rosenbrock, 100.0)
SAME = {"gtol": 1e-6, "ftol": 0.0, "maxiter": 300}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def positive(seed, n=4):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, n))
    return half @ half.T + 0.1 * np.eye(n), 3 * rng.normal(size=n)


def minimize(fn, x, **options):
    return lbfgs.minimize(fn, jnp.asarray(x), **options)


@few
@given(seeds)
def test_a_quadratic_has_the_minimum_that_solve_finds(seed):
    matrix, target = positive(seed)
    x, info = minimize(Partial(problems.quadratic, matrix, target), np.ones(4), gtol=1e-9)
    assert info.status == Status.CONVERGED
    assert info.is_done
    np.testing.assert_allclose(x, np.linalg.solve(matrix, target), atol=1e-7)


@few
@given(seeds)
def test_in_a_box_it_is_scipys(seed):
    matrix, target = positive(seed)
    lower, upper = np.array([-0.5, -np.inf, 0.2, -1.0]), np.array([0.5, 0.3, np.inf, 1.0])
    fn = Partial(problems.quadratic, matrix, target)
    x, info = minimize(fn, np.zeros(4), lower=lower, upper=upper, gtol=1e-9)
    assert info.is_done
    assert (lower <= x).all()
    assert (x <= upper).all()
    wanted = optimize.lsq_linear(
        np.linalg.cholesky(matrix).T,
        np.linalg.solve(np.linalg.cholesky(matrix), target),
        (lower, upper),
        method="bvls",
        tol=1e-14,
    )
    np.testing.assert_allclose(x, wanted.x, atol=1e-7)


@pytest.mark.slow
def test_a_thousand_valleys_at_once_take_as_many_evaluations_as_scipy():
    starts = np.random.default_rng(0).uniform(-2, 2, (1000, 5))
    x, info = jax.lax.map(lambda x: minimize(ROSENBROCK, x, gtol=1e-6, max_steps=300), starts)
    assert info.is_done.all()
    assert (info.gradient_norm <= 1e-6).all()
    is_local = np.abs(np.asarray(x)[:, 0] - 1) > 1e-3  # a second minimum, near (-1, 1, 1, 1, 1)
    assert np.abs(np.asarray(x)[~is_local] - 1).max() < 1e-4
    theirs = [
        optimize.minimize(
            optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B", options=SAME
        )
        for start in starts[:100]
    ]
    assert np.asarray(info.num_evals)[:100].mean() < 1.1 * np.mean([found.nfev for found in theirs])


@pytest.mark.slow
def test_a_lane_that_is_done_is_left_alone():
    starts = jnp.array([[1.0, 1.0], [-1.2, 1.0], [1.1, 0.9]])
    whole, info = jax.vmap(lambda x: minimize(ROSENBROCK, x))(starts)
    assert info.num_steps[0] == 0
    assert info.num_evals[0] == 1
    assert (whole[0] == 1).all()
    for i in range(3):
        alone, own = minimize(ROSENBROCK, starts[i])
        np.testing.assert_allclose(whole[i], alone, rtol=1e-12)
        assert info.num_evals[i] == own.num_evals


@pytest.mark.slow
@pytest.mark.parametrize("start", [[-1.2, 1.0], [0.1, -2.0]])
def test_a_box_around_the_valley(start):
    upper = jnp.array([0.5, 2.0])
    x, info = minimize(ROSENBROCK, start, upper=upper, gtol=1e-8)
    assert info.is_done
    np.testing.assert_allclose(x, [0.5, 0.25], atol=1e-7)


def test_a_step_out_of_the_domain_is_taken_back():
    x, info = minimize(Partial(problems.logarithm, 3.0), [0.01, 40.0], gtol=1e-8)
    assert info.is_done
    np.testing.assert_allclose(x, 3.0, rtol=1e-6)


@pytest.mark.slow
def test_float32_comes_as_near_as_its_rounding_lets_it():
    x, info = minimize(ROSENBROCK, jnp.array([-1.2, 1.0], jnp.float32), gtol=1e-3)
    assert info.is_done
    np.testing.assert_allclose(x, 1.0, atol=1e-3)
    _, info = minimize(
        Partial(problems.quadratic, *map(jnp.float32, positive(3))), jnp.ones(4, jnp.float32) * 1e3
    )
    assert info.gradient_norm < 1e-2


@pytest.mark.slow
def test_a_step_that_moves_nothing_is_no_step():
    starts = np.random.default_rng(0).uniform(-2, 2, (1000, 5)).astype(np.float32)[700:760]
    fn = Partial(problems.rosenbrock, np.float32(100))
    _, info = jax.lax.map(lambda x: lbfgs.minimize(fn, x, gtol=1e-3, max_steps=300), starts)
    assert info.is_done.all()
    assert info.num_evals.max() < 150


def cone(x):
    return jnp.abs(x).sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "start", "options", "status"),
    [
        (ROSENBROCK, [jnp.nan, 1.0], {}, Status.NOT_FINITE),
        (Partial(problems.logarithm, 1.0), [-1.0, 1.0], {}, Status.NOT_FINITE),
        (ROSENBROCK, [-1.2, 1.0], {"max_steps": 3}, Status.OUT_OF_STEPS),
        (Partial(lambda x: -jnp.exp(x).sum()), [-1.0, 1.0], {}, Status.UNBOUNDED),
        (Partial(cone), [0.3, -0.7], {}, Status.STALLED),
        (ROSENBROCK, [0.0, 0.0], {"lower": jnp.ones(2), "upper": jnp.zeros(2)}, Status.BAD_INPUT),
        (ROSENBROCK, [-1.2, 1.0], {"ftol": 1.0, "gtol": 0.0}, Status.CONVERGED),
    ],
)
def test_how_it_ends(fn, start, options, status):
    x, info = minimize(fn, start, **options)
    assert info.status == status
    assert bool(info.is_done) == (status == Status.CONVERGED)
    assert np.isfinite(x).all() or status in (Status.NOT_FINITE, Status.UNBOUNDED)


def test_what_is_known_while_tracing():
    with pytest.raises(ValueError, match=r"lbfgs\.minimize: the function returns float64\[2\]"):
        minimize(Partial(jnp.square), np.ones(2))
    with pytest.raises(ValueError, match=r"lbfgs\.minimize: memory is 0, not at least 1"):
        minimize(ROSENBROCK, np.ones(2), memory=0)


@pytest.mark.slow
def test_the_solution_moves_with_its_data_and_its_bounds():
    matrix, target = map(jnp.asarray, positive(5))

    def solution(matrix, target, upper):
        fn = Partial(problems.quadratic, matrix, target)
        x, info = minimize(fn, jnp.zeros(4), upper=upper, gtol=1e-11)
        return jnp.append(x, info.value)

    free = jnp.linalg.solve(matrix, target)
    upper = free + jnp.array([1.0, -0.5, 1.0, 2.0])
    given = (matrix, target, upper)
    for mode in (jax.jacfwd, jax.jacrev):
        for i, jacobian in enumerate(mode(solution, argnums=(0, 1, 2))(*given)):
            direction = jnp.asarray(np.random.default_rng(i).normal(size=given[i].shape))
            moved = [
                solution(*given[:i], given[i] + h * direction, *given[i + 1 :])
                for h in (1e-5, -1e-5)
            ]
            wanted = (moved[0] - moved[1]) / 2e-5
            got = (jacobian.reshape(5, -1) * direction.ravel()[None, :]).sum(axis=1)
            np.testing.assert_allclose(got, wanted, atol=2e-6)


@pytest.mark.slow
def test_the_start_has_no_derivative():
    slope = jax.grad(lambda x: minimize(ROSENBROCK, x)[0].sum())(jnp.array([-1.2, 1.0]))
    assert (slope == 0).all()


def test_a_far_start_in_a_box_is_not_called_the_end():
    """With x − clip(x − g) a slope of 1 at x = 1e17 would be rounded to 0."""
    bounds = box.Bounds(jnp.zeros(1), jnp.full(1, 1e18))
    np.testing.assert_array_equal(box.projected(jnp.full(1, 1e17), jnp.ones(1), bounds), [1.0])
