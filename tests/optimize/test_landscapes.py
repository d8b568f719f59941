"""Test functions: the stored values, the known minima, and no gradient there."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.numerics.optimize import landscapes

STORED = {
    **{f"{name}{n}": name for name, n in (("rosenbrock", 5), ("ackley", 5), ("rastrigin", 4))},
    **{name: name for name in ("branin", "hartmann3", "beale", "himmelblau")},
    "sixhumpcamel": "six_hump_camel",
}


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.reference
@pytest.mark.parametrize("stored", STORED)
def test_the_stored_values(reference, stored):
    wanted = json.loads((reference / "optim_functions" / "reference.json").read_text())[stored]
    name = STORED[stored]
    fn, problem = getattr(landscapes, name), landscapes.PROBLEMS[name]
    values = jax.vmap(fn)(jnp.array(wanted["points"]))
    np.testing.assert_allclose(values, wanted["values"], rtol=1e-13)
    n = wanted["dim"]
    np.testing.assert_array_equal(np.broadcast_to(problem.lower, n), wanted["lower"])
    np.testing.assert_array_equal(np.broadcast_to(problem.upper, n), wanted["upper"])
    np.testing.assert_allclose(problem.minimum, wanted["refined_min"], atol=1e-15, rtol=1e-14)
    known = np.array(wanted["known_minimisers"])
    minimizers = np.broadcast_to(problem.minimizers, known.shape)
    np.testing.assert_allclose(np.sort(minimizers, axis=0), np.sort(known, axis=0), atol=2e-4)


@pytest.mark.parametrize("name", landscapes.PROBLEMS)
def test_a_minimum_has_its_value_and_no_slope(name):
    fn, problem = getattr(landscapes, name), landscapes.PROBLEMS[name]
    for minimizer in problem.minimizers:
        x = jnp.array(minimizer * 3 if len(minimizer) == 1 else minimizer)
        np.testing.assert_allclose(fn(x), problem.minimum, atol=1e-12)
        if name != "ackley":  # a cone has no slope at its tip
            np.testing.assert_allclose(jax.grad(fn)(x), 0, atol=1e-6)


@pytest.mark.parametrize("name", landscapes.PROBLEMS)
def test_nothing_within_the_bounds_is_lower(name):
    fn, problem = getattr(landscapes, name), landscapes.PROBLEMS[name]
    n = max(len(problem.lower), 2)
    draws = np.random.default_rng(0).uniform(problem.lower, problem.upper, size=(1000, n))
    assert (jax.vmap(fn)(jnp.array(draws)) >= problem.minimum).all()
