"""Draws on the host, and correlations that are known: autoregressions, repeats, blocks."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.inference.mcmc import diagnostics, trace

DRAWS = {
    "mu": jax.random.normal(jax.random.key(0), (4, 300)),
    "theta": 3 + jax.random.normal(jax.random.key(1), (4, 300, 2, 1)),
}


def autoregression(factor, num_draws=20_000):
    noise = jax.random.normal(jax.random.key(0), (4, num_draws))

    def move(x, z):
        x = factor * x + np.sqrt(1 - factor**2) * z
        return x, x

    return jax.lax.scan(move, noise[:, 0], noise.T)[1].T


@pytest.mark.parametrize("factor", [-0.4, 0.0, 0.5, 0.9])
def test_the_time_of_an_autoregression_is_known(factor):
    chains = autoregression(factor)
    rho = diagnostics.autocorrelation(chains)
    np.testing.assert_allclose(rho[:, :4].mean(axis=0), factor ** np.arange(4), atol=0.04)
    exact = (1 + factor) / (1 - factor)
    assert diagnostics.integrated_time(chains) == pytest.approx(exact, rel=0.15)
    size = diagnostics.ess(chains, kind="mean")
    assert diagnostics.integrated_time(chains) == pytest.approx(float(chains.size / size), rel=0.15)


def test_correlations_of_a_still_chain_are_unknown():
    still = jnp.ones((2, 9)).at[0, 3].set(2.0)
    rho = diagnostics.autocorrelation(still)
    assert jnp.isfinite(rho[0]).all()
    assert jnp.isnan(rho[1]).all()
    assert jnp.isnan(diagnostics.integrated_time(still))


@pytest.mark.slow
def test_a_table_has_a_row_for_every_number():
    table = trace.summary(DRAWS)
    assert list(table) == ["mu", "theta[0,0]", "theta[1,0]"]
    x = np.asarray(DRAWS["theta"], float)[..., 1, 0]
    row = table["theta[1,0]"]
    assert row.mean == pytest.approx(x.mean(), rel=1e-6)
    assert row.sd == pytest.approx(x.std(ddof=1), rel=1e-6)
    assert (row.q05, row.q50, row.q95) == pytest.approx(tuple(np.quantile(x, [0.05, 0.5, 0.95])))
    draws = DRAWS["theta"][..., 1, 0]
    assert row.mcse == pytest.approx(float(diagnostics.mcse(draws)), rel=1e-5)
    assert row.ess_tail == pytest.approx(float(diagnostics.ess(draws, kind="tail")), rel=1e-5)
    lines = trace.as_text(table).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert trace.summary({}) == {}


def test_few_values_are_judged_by_what_varies():
    """A tail that one value holds has no error; of two values alike no distance tells."""
    alike = jnp.tile(jnp.array([0.0, 1.0]), (4, 150))
    coins = jax.random.permutation(jax.random.key(0), alike, axis=1, independent=True)
    assert diagnostics.rhat(coins) < 1.05
    assert 500 < diagnostics.ess(coins, kind="tail") < 2000
    assert jnp.isnan(diagnostics.ess(jnp.ones((4, 300)), kind="tail"))
    assert jnp.isnan(diagnostics.rhat(jnp.ones((4, 300))))


@pytest.mark.slow
def test_counts_and_truths_are_numbers():
    counts = jax.tree.map(lambda x: x.round().astype(int), DRAWS)
    assert trace.summary(counts) == trace.summary(jax.tree.map(jnp.round, DRAWS))
    assert 0 < trace.summary({"x": DRAWS["mu"] > 0})["x"].mean < 1


def test_an_error_far_from_zero():
    """Single precision has six digits; the mean of many such numbers has fewer."""
    wide = DRAWS["mu"].astype(jnp.float32) * 4 + 1e6
    exact = diagnostics.mcse(wide - 1e6)
    assert diagnostics.mcse(wide) == pytest.approx(float(exact), rel=1e-3)
    assert diagnostics.ess(wide, kind="mean") == pytest.approx(
        float(diagnostics.ess(wide - 1e6, kind="mean")), rel=1e-3
    )


def test_thinning():
    thinned = trace.thin(DRAWS, 7)
    np.testing.assert_array_equal(thinned["mu"], DRAWS["mu"][:, 6::7])
    for every in (0, 301):
        with pytest.raises(ValueError, match=f"every is {every}, not between 1 and the 300 draws"):
            trace.thin(DRAWS, every)
    with pytest.raises(ValueError, match=r"trace.columns: mu has shape \(3,\)"):
        trace.columns({"mu": np.ones(3)})


@pytest.mark.parametrize("version", ["0.23.4", "1.0.0"])
def test_arviz_is_given_what_it_takes(monkeypatch, version):
    """Neither version is a dependency; both say in their documentation what they take."""

    def from_dict(*groups, **named):
        return groups[0] if groups else named

    stand_in = types.SimpleNamespace(from_dict=from_dict, __version__=version)
    monkeypatch.setitem(sys.modules, "arviz", stand_in)
    found = trace.to_arviz(DRAWS, {"diverging": jnp.zeros((4, 300), bool)})
    assert sorted(found) == ["posterior", "sample_stats"]
    assert isinstance(found["posterior"]["theta"], np.ndarray)
    assert found["posterior"]["theta"].shape == (4, 300, 2, 1)
    assert list(trace.to_arviz(DRAWS)) == ["posterior"]


def test_without_arviz_one_sentence_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ModuleNotFoundError, match=r"trace.to_arviz: the package arviz is not inst"):
        trace.to_arviz(DRAWS)
