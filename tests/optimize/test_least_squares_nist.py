"""Least squares: NIST's certified parameters and standard errors, and what happens to bad input."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import gauss_newton, levenberg_marquardt
from tests.optimize import nist, problems

few = settings(max_examples=8, deadline=None, derandomize=True)
NEEDED = {"Lower": 6, "Average": 4, "Higher": 4}
BOTH = (gauss_newton, levenberg_marquardt)
t = np.linspace(0.0, 3.0, 8)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def certified(reference):
    return json.loads((reference / "nist_strd" / "nist_strd.json").read_text())


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("name", nist.MODELS)
def test_certified_parameters_and_standard_errors(name, certified):
    wanted = certified[name]
    residuals = Partial(nist.MODELS[name], np.array(wanted["x"]), np.array(wanted["y"]))

    def fit(start):
        return levenberg_marquardt.minimize(residuals, jnp.array(start), max_steps=2000)

    for start in ("start1", "start2"):
        x, info = fit(wanted[start])
        assert info.is_done
        assert nist.digits(x, wanted["certified"]) >= NEEDED[wanted["level"]]
    errors = jnp.sqrt(jnp.diagonal(levenberg_marquardt.covariance(residuals, x)))
    # What Lanczos1 leaves is 1e-13 a residual: the rounding of its data, and so are its errors.
    needed = 2.5 if name == "Lanczos1" else NEEDED[wanted["level"]]
    assert nist.digits(errors, wanted["certified_sd"]) >= needed


@few
@given(st.integers(0, 2**32 - 1))
def test_linear_residuals_take_one_step_to_what_lstsq_finds(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(7, 3)) * np.array([1e-4, 1.0, 1e5]), rng.normal(size=7)
    wanted, *_ = np.linalg.lstsq(X, y)
    for method in BOTH:
        x, info = method.minimize(Partial(line, X, y), jnp.zeros(3), **WIDE[method])
        assert info.is_done
        assert info.num_steps <= 3
        np.testing.assert_allclose(x, wanted, rtol=1e-9)
        np.testing.assert_allclose(info.value, ((y - X @ wanted) ** 2).sum() / 2, rtol=1e-10)
    left = y - X @ wanted
    cov = levenberg_marquardt.covariance(Partial(line, X, y), wanted)
    np.testing.assert_allclose(cov, left @ left / 4 * np.linalg.inv(X.T @ X), rtol=1e-6)


def line(X, y, b):
    return (X * b[None, :]).sum(axis=1) - y


WIDE = {gauss_newton: {"gtol": 0.0}, levenberg_marquardt: {"factor": 1e9}}


@pytest.mark.slow
def test_units_do_not_matter():
    y = 2 * np.exp(-0.7 * t) + 0.1 * np.cos(9 * t)
    paths = []
    for unit in (1.0, 2.0**40):
        x, info = levenberg_marquardt.minimize(
            Partial(in_unit, t, y, np.array([1.0, unit])), jnp.array([1.0, 3.0 / unit])
        )
        paths.append((x * jnp.array([1.0, unit]), info.num_evals))
    np.testing.assert_allclose(paths[0][0], paths[1][0], rtol=1e-12)
    assert paths[0][1] == paths[1][1]


def in_unit(t, y, unit, x):
    return problems.decay(t, y, x * unit)


def undefined(t, x):
    return jnp.sqrt(x[0] + t) - 1 - t * x[1]


def overlap(t, x):
    return (x[0] + x[1]) * t - 1


@pytest.mark.slow
@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize(
    ("fn", "start", "options", "status"),
    [
        (Partial(problems.decay, t, t), [jnp.nan, 1.0], {}, Status.NOT_FINITE),
        (Partial(undefined, t), [-1.0, 1.0], {}, Status.NOT_FINITE),
        (Partial(undefined, t), [0.1, 5.0], {}, Status.CONVERGED),
        (Partial(problems.decay, t, t), [1.0, 1.0], {"max_steps": 1}, Status.OUT_OF_STEPS),
    ],
)
def test_how_it_ends(method, fn, start, options, status):
    x, info = method.minimize(fn, jnp.array(start), **options)
    assert info.status == status
    assert np.isfinite(x).all() or status == Status.NOT_FINITE


@pytest.mark.slow
def test_residuals_that_determine_one_sum_only():
    fn, start = Partial(overlap, t), jnp.array([1.0, 2.0])
    _, info = gauss_newton.minimize(fn, start)
    assert info.status == Status.SINGULAR
    x, info = levenberg_marquardt.minimize(fn, start)
    assert info.is_done
    np.testing.assert_allclose(x.sum(), t.sum() / (t**2).sum(), rtol=1e-9)
    with np.errstate(all="ignore"):
        cov = levenberg_marquardt.covariance(fn, x)
    assert not (np.abs(cov) < 1e6).any()
    _, info = levenberg_marquardt.minimize(fn, start, factor=0.0)
    assert info.status == Status.BAD_INPUT


def test_parameters_are_at_most_as_many_as_residuals():
    for method in BOTH:
        with pytest.raises(ValueError, match=r"minimize: 8 residuals are fewer than the 9 param"):
            method.minimize(Partial(lambda x: x[:8]), jnp.ones(9))
    with pytest.raises(ValueError, match=r"covariance: 2 residuals leave nothing"):
        levenberg_marquardt.covariance(Partial(jnp.sin), jnp.ones(2))


@pytest.mark.slow
def test_many_fits_at_once_are_each_fit():
    rates = jnp.array([0.3, 1.0, 4.0])

    def fit(rate):
        fn = Partial(problems.decay, t, 2 * jnp.exp(-rate * t))
        return levenberg_marquardt.minimize(fn, jnp.array([1.0, 1.0]))

    x, info = jax.vmap(fit)(rates)
    assert info.is_done.all()
    np.testing.assert_allclose(x, jnp.stack([2 * jnp.ones(3), rates], axis=1), rtol=1e-10)
    assert [int(n) for n in info.num_evals] == [int(fit(rate)[1].num_evals) for rate in rates]


@pytest.mark.parametrize("unit", [2.0**-600, 2.0**600])
def test_squares_of_residuals_need_not_exist(unit):
    y = 2 * np.exp(-0.7 * t) + 0.1 * np.cos(9 * t)
    fit = Partial(problems.decay, t, y)
    large = Partial(lambda unit, fit, x: unit * fit(x), unit, fit)
    start = jnp.array([1.0, 1.0])
    x, info = levenberg_marquardt.minimize(fit, start)
    same, there = levenberg_marquardt.minimize(large, start)
    assert info.status == there.status == Status.CONVERGED
    np.testing.assert_array_equal(same, x)
    spread = levenberg_marquardt.covariance(fit, x)
    np.testing.assert_allclose(levenberg_marquardt.covariance(large, x), spread, rtol=1e-12)


def test_a_rank_is_not_read_off_a_diagonal():
    """Kahan's matrix: its triangle's diagonal is 1e3 times its smallest singular value or more."""
    n = 40
    sine = np.sin(0.7)
    kahan = sine ** np.arange(n)[:, None] * (np.eye(n) - np.cos(0.7) * np.triu(np.ones((n, n)), 1))
    least = np.linalg.svd(kahan, compute_uv=False)[-1]
    assert least < n**1.5 * np.finfo(float).eps < np.abs(np.diag(kahan)).min()
    _, info = gauss_newton.minimize(Partial(line, kahan, np.ones(n)), jnp.zeros(n))
    assert info.status == Status.SINGULAR


def step_up(t, y, p):
    return p[0] / (1 + jnp.exp(-p[1] * (t - p[2]))) + p[3] - y


@pytest.mark.parametrize("width", [np.float32, np.float64])
def test_a_start_where_nearly_nothing_has_a_slope_is_left(width):
    """Columns of J grow by 18 decades on the way; MINPACK ends on a plateau."""
    t = np.linspace(0, 10, 40)
    y = 3 / (1 + np.exp(-1.2 * (t - 4))) + 0.5 + 0.05 * np.cos(17 * t)
    fn = Partial(step_up, width(t), width(y))
    near, _ = levenberg_marquardt.minimize(fn, jnp.array([3.0, 1.0, 4.0, 0.5], width))
    for start in (30.0, 50.0):
        x, info = levenberg_marquardt.minimize(fn, jnp.array([1.0, 1.0, start, 0.0], width))
        assert info.status == Status.CONVERGED
        assert info.gradient_norm < 1e-3
        if start < 50:
            np.testing.assert_allclose(x, near, rtol=2e-3)
