"""Newton's method for minima and for roots: speed, saddles, singular matrices, bad input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import newton, newton_raphson, trust_region
from tests.optimize import problems

few = settings(max_examples=15, deadline=None, derandomize=True)
ROSENBROCK = Partial(problems.rosenbrock, 100.0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def square_root(target, x):
    return x**2 - target


@pytest.mark.slow
def test_the_valley_from_the_classical_start():
    x, info = newton.minimize(ROSENBROCK, jnp.array([-1.2, 1.0]), gtol=1e-10)
    assert info.is_done
    np.testing.assert_allclose(x, 1.0, atol=1e-12)
    assert info.num_evals < 35


@pytest.mark.parametrize("start", [[0.0, 0.0], [3.0, 0.0], [0.2, 1e-9]])
def test_a_saddle_is_left(start):
    x, info = newton.minimize(Partial(problems.saddle, 0.0), jnp.array(start), gtol=1e-9)
    assert info.is_done
    np.testing.assert_allclose(jnp.abs(x), [0.0, 1.0], atol=1e-8)


@few
@given(st.integers(0, 2**32 - 1))
def test_no_point_of_the_ball_is_lower(seed):
    rng = np.random.default_rng(seed)
    eigenvalues, gradient = rng.normal(size=5), rng.normal(size=5)
    gradient *= rng.random(5) > 0.4  # the hard case, often
    radius = rng.uniform(0.1, 3)
    z, multiplier = trust_region.solve(eigenvalues, gradient, jnp.asarray(radius))

    def model(z):
        return (gradient * z).sum(-1) + (eigenvalues * z**2).sum(-1) / 2

    points = rng.normal(size=(4000, 5))
    points *= (radius * rng.random((4000, 1)) ** 0.2) / np.linalg.norm(points, axis=1)[:, None]
    z = np.asarray(z)
    assert model(z) <= model(points).min() + 1e-9
    assert np.linalg.norm(z) <= radius * (1 + 1e-9)
    # The conditions that hold at the minimum only.
    assert (eigenvalues + multiplier >= -1e-9).all()
    np.testing.assert_allclose((eigenvalues + multiplier) * z, -gradient, atol=1e-8)
    assert multiplier * (radius - np.linalg.norm(z)) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "start", "options", "status"),
    [
        (ROSENBROCK, [jnp.nan, 1.0], {}, Status.NOT_FINITE),
        (ROSENBROCK, [-1.2, 1.0], {"max_steps": 2}, Status.OUT_OF_STEPS),
        (ROSENBROCK, [-1.2, 1.0], {"radius": 0.0}, Status.BAD_INPUT),
        (Partial(problems.logarithm, 1.0), [0.1, 5.0], {}, Status.CONVERGED),
        (Partial(lambda x: -jnp.exp(x).sum()), [1.0, 1.0], {}, Status.UNBOUNDED),
    ],
)
def test_how_a_minimum_ends(fn, start, options, status):
    _, info = newton.minimize(fn, jnp.array(start), **options)
    assert info.status == status


def test_digits_double():
    x, errors = jnp.array([2.0]), []
    for _ in range(4):
        x, _ = newton_raphson.solve(Partial(square_root, np.array([2.0])), x, atol=0, max_steps=1)
        errors.append(abs(float(x[0]) - np.sqrt(2)))
    assert all(b <= 0.6 * a**2 + 1e-15 for a, b in itertools.pairwise(errors))


def test_damping_finds_a_root_that_plain_steps_run_away_from():
    x, info = newton_raphson.solve(Partial(jnp.arctan), jnp.array([20.0]), atol=1e-12)
    assert info.is_done
    np.testing.assert_allclose(x, 0, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "start", "options", "status"),
    [
        (Partial(square_root, np.array([2.0, 2.0])), [0.0, 1.0], {}, Status.SINGULAR),
        (Partial(lambda x: jnp.stack([x.sum(), x.sum() - 1])), [0.0, 1.0], {}, Status.SINGULAR),
        (Partial(square_root, -np.ones(1)), [1.3], {"max_steps": 400}, Status.STALLED),
        (Partial(square_root, np.ones(1)), [jnp.nan], {}, Status.NOT_FINITE),
        (Partial(square_root, np.ones(1)), [100.0], {"max_steps": 2}, Status.OUT_OF_STEPS),
        (Partial(lambda x: jnp.exp(-x) + 1e-3), [60.0], {}, Status.DIVERGED),
    ],
)
def test_how_a_root_ends(fn, start, options, status):
    _, info = newton_raphson.solve(fn, jnp.array(start), **options)
    assert info.status == status


def test_equations_must_be_as_many_as_unknowns():
    with pytest.raises(ValueError, match=r"newton_raphson\.solve: the function returns float64\[1"):
        newton_raphson.solve(Partial(problems.disk, 1.0), jnp.ones(2))


def test_variables_in_other_units_are_no_singular_system():
    unit = jnp.array([1e-12, 1e12])
    fn = Partial(
        lambda x: jnp.stack(
            [(x[0] / unit[0]) ** 2 + x[1] / unit[1] - 3, x[0] / unit[0] - x[1] / unit[1] + 1]
        )
    )
    x, info = newton_raphson.solve(fn, unit * jnp.array([2.0, 1.0]), atol=1e-12)
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(x / unit, [1, 2], rtol=1e-9)
