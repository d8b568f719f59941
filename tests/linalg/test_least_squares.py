"""Least squares: certified answers, every rank, and derivatives at each."""

import csv
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg import least_squares

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(6, 3), (3, 6)])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def problem(seed, shape, rank=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape)
    if rank is not None:
        X = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    return X, rng.normal(size=shape[0])


def digits(found, wanted):
    """Return the fewest correct decimal digits among several numbers."""
    return float(-np.log10(np.abs(np.asarray(found, float) / wanted - 1)).max())


def nist(reference, name):
    return json.loads((reference / "nist_linear" / "reference.json").read_text())[name]


def longley(reference):
    with open(reference / "nist_linear" / "longley.csv") as file:
        rows = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    return np.column_stack([np.ones(len(rows)), rows[:, 2:]]), rows[:, 1]


def table(reference, name):
    """Return the two columns of numbers below a NIST header."""
    lines = (reference / "nist_linear" / f"{name}.dat").read_text().splitlines()
    first, last = map(
        int, re.search(r"Data +\(lines +(\d+) to +(\d+)\)", "\n".join(lines)).groups()
    )
    return np.array([line.split() for line in lines[first - 1 : last]], float)


@pytest.mark.reference
def test_longley_by_qr_and_by_the_normal_equations(reference):
    wanted = nist(reference, "longley")
    seen = {}
    for width in ("float64", "float32"):
        X, y = (jnp.asarray(a, width) for a in longley(reference))
        weights, info = least_squares.solve(X, y)
        assert (info.rank, info.status) == (7, Status.CONVERGED)
        normal = jnp.linalg.solve(X.T @ X, X.T @ y)
        seen[width] = [digits(w, wanted["recomputed_60_digits"]) for w in (weights, normal)]
        seen[width] += [float(info.condition), float(info.residual_sum_of_squares)]
    assert seen["float64"][0] > 10.5
    assert 6.5 < seen["float64"][1] < 8
    np.testing.assert_allclose(seen["float64"][3], wanted["rss"], rtol=1e-11)
    np.testing.assert_allclose(seen["float64"][2], 5.4e4, rtol=0.01)
    assert 2.5 < seen["float32"][0] < 4.5
    assert seen["float32"][1] < 0


@pytest.mark.reference
def test_data_in_float32_lose_more_digits_than_they_hold(reference):
    """Rounding the data costs some 2 of 7 digits, computing in float32 two more."""
    X, y = (a.astype("float32").astype("float64") for a in longley(reference))
    weights, _ = least_squares.solve(jnp.asarray(X), jnp.asarray(y))
    assert 4.5 < digits(weights, nist(reference, "longley")["recomputed_60_digits"]) < 5.5


@pytest.mark.reference
def test_norris(reference):
    y, x = table(reference, "Norris").T
    weights, info = least_squares.solve(np.column_stack([np.ones_like(x), x]), y)
    wanted = nist(reference, "norris")
    assert digits(weights, wanted["recomputed"]) > 12
    spread = np.sqrt(info.residual_sum_of_squares / (len(x) - 2))
    np.testing.assert_allclose(spread, wanted["residual_sd"], rtol=1e-12)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "enough"),
    [("AtmWtAg", 9), ("SiRstv", 12), ("SmLs01", 13), ("SmLs04", 9), ("SmLs07", 3)],
)
def test_an_analysis_of_variance_is_two_fits(reference, name, enough):
    """The digits that the stored numbers leave: SmLs07 are 1e12 + 0.3 and the like."""
    group, y = table(reference, f"anova_{name}").T
    X = (group[:, None] == np.unique(group)[None, :]).astype(float)
    within = least_squares.solve(X, y)[1].residual_sum_of_squares
    whole = least_squares.solve(np.ones((len(y), 1)), y)[1].residual_sum_of_squares
    freedom = X.shape[1] - 1, len(y) - X.shape[1]
    F = (whole - within) / freedom[0] / (within / freedom[1])
    assert digits(F, nist(reference, f"anova_{name}")["certified_F"]) > enough


@few
@given(seeds, shapes, st.sampled_from([None, 2]))
def test_it_is_the_shortest_of_the_minimizers(seed, shape, rank):
    X, y = problem(seed, shape, rank)
    wanted, _, found_rank, _ = np.linalg.lstsq(X, y, rcond=1e-12)
    weights, info = least_squares.solve(X, y)
    np.testing.assert_allclose(weights, wanted, rtol=1e-8, atol=1e-10)
    assert info.rank == found_rank
    assert info.status == (Status.CONVERGED if found_rank == shape[1] else Status.SINGULAR)


@few
@given(seeds)
def test_units_of_columns_change_no_bit(seed):
    X, y = problem(seed, (6, 3))
    units = 2.0 ** np.random.default_rng(seed).integers(-40, 40, size=3)
    weights, info = least_squares.solve(X, y)
    moved, info_moved = least_squares.solve(X * units[None, :], y)
    np.testing.assert_array_equal(moved * units, weights)
    assert info_moved.condition == info.condition


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 2), (2, 4)])
def test_it_has_derivatives_of_both_orders(shape):
    X, y = problem(0, shape)
    check_grads(lambda X, y: least_squares.solve(X, y)[0], (X, y), order=2, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_it_has_a_derivative_along_matrices_of_one_rank():
    (X, y), (A, _) = problem(0, (5, 4), 2), problem(1, (4, 4))
    turned = X @ (0.1 * A)  # keeps the rank, and turns what is shortest

    def along(t):
        return least_squares.solve(X + t * turned, y, rtol=1e-9)[0]

    slope = jax.jvp(along, (0.0,), (1.0,))[1]
    np.testing.assert_allclose(slope, (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-8)


def test_a_column_of_zeros_and_a_threshold_of_the_caller_lower_the_rank():
    X, y = problem(0, (6, 3))
    weights, info = least_squares.solve(X * np.array([1.0, 0.0, 1.0]), y)
    assert (weights[1], info.rank) == (0, 2)
    assert least_squares.solve(X, y, rtol=0.99)[1].rank == 1


def test_what_is_not_finite_is_said_and_rows_must_agree():
    X, y = problem(0, (6, 3))
    weights, info = least_squares.solve(X, np.where(y > 0, np.nan, y))
    assert jnp.isnan(weights).all()
    assert info.status == Status.NOT_FINITE
    assert least_squares.solve(np.where(X > 1, np.inf, X), y)[1].status == Status.NOT_FINITE
    with pytest.raises(ValueError, match=r"least_squares\.solve: y is float64\[5\]"):
        least_squares.solve(X, y[:5])
