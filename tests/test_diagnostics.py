"""Diagnostics agree with ArviZ, NumPyro and posteriordb, and see what is wrong with a chain."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from mastery_jax.inference.mcmc import diagnostics


def noise(seed, size=303):
    """Return numbers in (0, 1) that are the same on every machine and in every NumPy."""
    numbers = [seed]
    for _ in range(size):
        numbers.append((1664525 * numbers[-1] + 1013904223) % 2**32)
    return np.array(numbers[1:]) / 2**32


def autoregressive(seed, factor):
    chains = noise(seed).reshape(3, 101)
    for t in range(1, chains.shape[1]):
        chains[:, t] += factor * chains[:, t - 1]
    return chains


DRAWS = np.stack(
    [
        np.exp(autoregressive(1, 0.7)),  # skewed and sticky
        autoregressive(2, -0.3),  # alternating
        np.round(np.add(noise(3).reshape(3, 101), [[0], [0], [0.2]]), 1),  # ties; a chain is off
    ],
    axis=-1,
)

ARVIZ = {  # version 0.23.4, on the same draws; bfmi takes the first quantity for an energy
    "bulk": [63.0655223035, 686.1888451364, 38.0287176142],
    "tail": [72.2888219605, 271.4846100395, 149.5301823669],
    "mean": [68.7341029073, 619.9706024792, 50.249352972],
    "rhat": [1.016966594961, 1.011693802034, 1.073213859049],
    "mcse": [0.298904419893, 0.011713117302, 0.040915639138],
    "bfmi": [0.572478278208, 0.531597058615, 0.537317393561],
}


def all_of(draws):
    kinds = {kind: diagnostics.ess(draws, kind=kind) for kind in ("bulk", "tail", "mean")}
    return {**kinds, "rhat": diagnostics.rhat(draws), "mcse": diagnostics.mcse(draws)}


def test_agrees_with_arviz():
    with jax.enable_x64(True):
        found = all_of(jnp.asarray(DRAWS))
        found["bfmi"] = diagnostics.bfmi(jnp.asarray(DRAWS[..., 0]))
    for name, expected in ARVIZ.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, err_msg=name)


def test_one_quantity_needs_no_third_axis():
    whole = diagnostics.ess(jnp.asarray(DRAWS, jnp.float32))
    alone = diagnostics.ess(jnp.asarray(DRAWS[..., 0], jnp.float32))
    np.testing.assert_allclose(alone, whole[0], rtol=1e-6)


def test_agrees_with_numpyro_on_sticky_chains():
    # NumPyro splits no chains for the one, knows no ranks for the other, and cuts sums later.
    sticky = DRAWS[..., 0]
    halves = np.concatenate([sticky[:, :50], sticky[:, -50:]])
    ess = diagnostics.ess(jnp.asarray(sticky, jnp.float32), kind="mean")
    np.testing.assert_allclose(ess, effective_sample_size(halves), rtol=1e-3)
    rhat = diagnostics.rhat(jnp.asarray(sticky, jnp.float32))
    np.testing.assert_allclose(rhat, split_gelman_rubin(sticky), atol=0.02)


@pytest.mark.reference
def test_agrees_with_posteriordb(reference):
    folder = reference / "posteriordb" / "eight_schools-eight_schools_noncentered"
    stored = np.load(folder / "draws.npz")
    expected = json.loads((folder / "reference.json").read_text())["summary"]
    draws = jnp.asarray(stored["draws"], jnp.float32)
    ess, rhat = diagnostics.ess(draws), diagnostics.rhat(draws)
    for i, name in enumerate(map(str, stored["names"])):
        # The published figures come from the draws before they were cut to single precision.
        np.testing.assert_allclose(ess[i], expected[name]["ess_bulk"], rtol=1e-3)
        np.testing.assert_allclose(rhat[i], expected[name]["rhat"], atol=1e-4)


def test_sees_what_is_wrong():
    good = noise(4, 3 * 101).reshape(3, 101)
    off, wide, frozen = good.copy(), good.copy(), good.copy()
    off[0] += 1
    wide[0] = (wide[0] - 0.5) * 9 + 0.5  # same place, another spread: only folding sees it
    frozen[0] = 0.5
    drifting = good + np.linspace(0, 2, 101)
    bad = jnp.asarray(np.stack([off, wide, drifting, frozen], axis=-1), jnp.float32)
    assert (diagnostics.rhat(bad) > 1.1).all()
    assert (diagnostics.ess(bad, kind="tail")[:3] < 100).all()
    assert diagnostics.rhat(jnp.asarray(good, jnp.float32)) < 1.02
    assert diagnostics.ess(jnp.asarray(good, jnp.float32), kind="tail") > 200


def test_says_nothing_of_draws_that_say_nothing():
    constant = jnp.full((2, 20), 0.1)
    unfinished = jnp.arange(40.0).reshape(2, 20).at[1, 19].set(jnp.nan)
    for draws in (constant, unfinished):
        assert all(jnp.isnan(value) for value in all_of(draws).values())


def test_is_blind_to_monotone_change():
    draws = jnp.asarray(DRAWS[..., 1], jnp.float32)
    assert diagnostics.ess(jnp.exp(draws)) == diagnostics.ess(draws)
    np.testing.assert_allclose(diagnostics.ess(-draws), diagnostics.ess(draws), rtol=1e-5)


def test_double_precision_that_outlives_its_mode_is_taken_in_single():
    with jax.enable_x64(True):
        wide = jnp.asarray(DRAWS)
    assert wide.dtype == "float64"
    narrow = jnp.asarray(DRAWS, jnp.float32)
    for found, wanted in zip(all_of(wide).values(), all_of(narrow).values(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_refuses():
    with pytest.raises(ValueError, match="3 draws for each chain, not at least 4"):
        diagnostics.rhat(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="kind is 'median', not one of"):
        diagnostics.ess(jnp.zeros((2, 8)), kind="median")
