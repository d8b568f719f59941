"""The comparison itself, and PyMC's model, which is stated to something that listens."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mastery_jax.core.status import Status
from mastery_jax.inference.regression import (
    closed_form,
    model,
    pymc_sampler,
    side_by_side,
)
from tests.regression.rows import NAMES, awkward, belief

KEY = jax.random.key(0)
NONE = {"verdict": None, "pareto_shape": None, "log_evidence": None}


def coin(key, X, y, *, prior, family):
    """Draw weights of a bernoulli family from nowhere."""
    weights = 0.1 * jax.random.normal(key, (4, 1000, X.shape[1]))
    return model.Draws(weights, None), model.Info(jnp.int32(Status.CONVERGED), **NONE)


def lost(key, X, y, *, prior, family):
    """Give draws that are no numbers."""
    draws, _ = closed_form.engine(key, X, y, prior=prior)
    return jax.tree.map(lambda x: x * jnp.nan, draws), model.Info(jnp.int32(Status.NOT_FINITE))


def test_another_engine_changes_no_draw():
    X, y = awkward(0)
    known = belief(X, y)
    exact = {"exact": closed_form.engine}
    [alone] = side_by_side.compare(exact, KEY, X, y, prior=known)
    [first, second] = side_by_side.compare(
        {"again": closed_form.engine, **exact}, KEY, X, y, prior=known
    )
    assert second == alone
    assert first.estimates != alone.estimates
    assert alone.seconds is None
    assert alone.ess_per_second is None
    assert {each.rhat for each in alone.estimates.values()} == {None}
    assert {each.ess for each in alone.estimates.values()} == {4000.0}


def test_of_several_calls_the_median_counts():
    X, y = awkward(0)
    times = iter([0.0, 9.0, 10.0, 11.0, 20.0, 25.0, 30.0, 32.0])  # 9 s, then 1, 5 and 2
    exact = {"exact": closed_form.engine}
    [row] = side_by_side.compare(
        exact, KEY, X, y, prior=belief(X, y), clock=lambda: next(times), num_repeats=3
    )
    assert (row.seconds, row.compile_seconds, row.ess_per_second) == (2.0, 7.0, 2000.0)


def test_a_family_without_noise_has_no_closed_form_and_no_coverage():
    X, _ = awkward(0)
    y = jnp.arange(40.0) % 2
    known = belief(X, y, family="bernoulli")
    options = {"prior": known, "family": "bernoulli", "names": NAMES, "held_out": (X, y)}
    [row] = side_by_side.compare({"coin": coin}, KEY, X, y, **options)
    assert list(row.estimates) == [*NAMES]
    assert row.distance is None
    assert row.coverage is None
    assert np.isfinite(row.log_score)
    assert "covered" not in side_by_side.table([row])
    assert side_by_side.estimates([row]).splitlines()[1].startswith("intercept")


def test_draws_that_are_lost_are_not_called_near():
    X, y = awkward(0)
    [row] = side_by_side.compare({"lost": lost}, KEY, X, y, prior=belief(X, y))
    assert row.status == Status.NOT_FINITE
    assert np.isnan(row.distance.mean)
    assert np.isnan(row.estimates["w0"].mean)
    assert all(np.isnan(value) for value in row.p_values.values())
    assert "not_finite" in side_by_side.table([row])


def test_refusals():
    X, y = awkward(0)
    known, exact = belief(X, y), {"exact": closed_form.engine}
    for options, said in (
        ({"engines": {}}, "engines is empty"),
        ({"names": ["a", "a", "b"]}, "names is "),
        ({"names": ["a", "noise", "b"]}, "names is "),
        ({"held_out": (X, y[:3])}, "held_out has shapes "),
        ({"num_repeats": 0}, "num_repeats is 0, not at least 1"),
    ):
        given = {"engines": exact, **options}
        with pytest.raises(ValueError, match=f"^side_by_side.compare: {said}"):
            side_by_side.compare(given.pop("engines"), KEY, X, y, prior=known, **given)
    with pytest.raises(ValueError, match=r"^side_by_side.compare: X and y have shapes \(40, 3\)"):
        side_by_side.compare(exact, KEY, X, y[:5], prior=known)
    with pytest.raises(
        ValueError, match=r"^side_by_side.compare: X and y are of \w+ and int32, not"
    ):
        side_by_side.compare(exact, KEY, X, jnp.arange(len(y), dtype=jnp.int32), prior=known)


class Listener:
    """A stand-in for PyMC: it gives fixed values, and adds up the density that is stated."""

    def __init__(self, values):
        self.values, self.log_density, self.said = values, 0.0, {}
        self.math = types.SimpleNamespace(dot=np.dot, log1pexp=lambda x: np.logaddexp(0, x))
        self.asked = {}

    def Model(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def _take(self, name, law, observed=None):
        value = self.values[name] if observed is None else observed
        self.log_density += law(value).sum()
        return value

    def InverseGamma(self, name, *, alpha, beta):
        return self._take(name, stats.invgamma(alpha, scale=beta).logpdf)

    def Normal(self, name, *, mu, sigma, shape=None, observed=None):
        assert shape is None or np.shape(self.values[name]) == (shape,)
        return self._take(name, stats.norm(mu, sigma).logpdf, observed)

    def Potential(self, name, value):
        self.log_density += value

    def Deterministic(self, name, value):
        self.said[name] = value
        return value

    def sample(self, **options):
        self.asked = options
        shape = (options["chains"], options["draws"])
        rng = np.random.default_rng(0)

        def drawn(value):
            jitter = rng.normal(size=(*shape, *np.shape(value)))
            return types.SimpleNamespace(values=np.asarray(value) + 1e-3 * jitter)

        told = {**self.said, "z": self.values["z"]}
        diverging = types.SimpleNamespace(values=np.zeros(shape, bool))
        return types.SimpleNamespace(
            posterior={name: drawn(value) for name, value in told.items()},
            sample_stats={"diverging": diverging},
        )


@pytest.mark.parametrize("family", ["normal", "bernoulli"])
def test_pymc_is_told_the_same_model(family, monkeypatch):
    """What is stated to it is the density of ``model``, up to the volume of the coordinates."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        X, y = awkward(0, dtype="float64")
        y = (y > y.mean()).astype(y.dtype) if family == "bernoulli" else y
        known = belief(X, y, family=family)
        target = model.pose(X, y, prior=known, family=family)
        density = model.log_density(target, family=family)
        gaps = []
        for _ in range(3):
            u, t = rng.normal(size=3), 0.1 * rng.normal()
            scale = float(target.noise)
            noise = scale * np.exp(t) if family == "normal" else 1.0
            z = scale * (np.asarray(target.center) + np.asarray(target.spread) @ u) / noise
            listener = Listener({"z": z, "variance": np.asarray(noise**2)})
            monkeypatch.setattr(pymc_sampler.importlib, "import_module", lambda _, x=listener: x)
            engine = pymc_sampler.make(num_warmup=7)
            draws, info = engine(KEY, X, y, prior=known, family=family, num_draws=5, num_chains=3)
            position = {"u": jnp.asarray(u)} | ({"t": jnp.asarray(t)} if noise != 1 else {})
            # From z to u at fixed t, and from σ² to t.
            volume = (np.log(2 * noise**2) - 3 * t) if family == "normal" else 0.0
            gaps.append(float(density(position)) - listener.log_density - volume)
            expected = model.draws(target, jnp.asarray(u)[None, None, :], None).weights[0, 0]
            np.testing.assert_allclose(listener.said["weights"], expected, rtol=1e-9)
            assert draws.weights.shape == (3, 5, 3)
            assert info.verdict.num_divergent.shape == (3,)
            assert listener.asked["tune"] == 7
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-8)
    assert (draws.noise is None) == (family == "bernoulli")


def test_without_pymc_one_sentence_says_so():
    said = r"^pymc_sampler.make: the package pymc is not installed; install it to compare with it$"
    with pytest.raises(ModuleNotFoundError, match=said):
        pymc_sampler.make()


def test_pymc_is_not_asked_what_has_no_answer(monkeypatch):
    X, y = awkward(0)
    monkeypatch.setattr(pymc_sampler.importlib, "import_module", lambda _: Listener({}))
    draws, info = pymc_sampler.make()(KEY, X, y.at[0].set(jnp.nan), prior=belief(X, y), num_draws=5)
    assert info.status == Status.BAD_INPUT
    assert np.isnan(draws.weights).all()
