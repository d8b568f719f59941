"""Track: the variances of the Nile, and of levels whose variances are known."""

import functools

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from scipy import stats

from experiments import track
from mastery_jax.workflow import config, data, program, trace
from mastery_jax.workflow.errors import ConfigError

pytestmark = pytest.mark.engine

NILE = config.load("nile").value


def learn(value, arrays, columns):
    """Run a config on a series; return the experiment, its last state and evaluation."""
    spec = program.specify(data.Dataset(arrays, columns, (), ""))
    fns, lane = program.functions("experiments.track", value, spec), program.lane(value)
    arrays = jax.device_put(arrays)
    prepared = program.prepare(fns, lane, arrays)
    *_, last = program.drive(prepared, lane, arrays, num_steps=value.num_steps)
    return fns.experiment(lane), last.state, {k: float(v) for k, v in last.evaluation.items()}


@functools.cache
def nile():
    dataset = data.load(NILE.data)
    return dataset.arrays, *learn(NILE, dataset.arrays, dataset.features)


def test_the_variances_of_the_nile_are_the_published_ones():
    """In float32, from an even split; Durbin & Koopman (2012) print 15099 and 1469.1."""
    *_, metrics = nile()
    assert metrics["emission_var"] == pytest.approx(15098.5, rel=1e-3)
    assert metrics["process_var"] == pytest.approx(1469.18, rel=1e-3)
    assert metrics["log_likelihood"] == pytest.approx(-632.54563, abs=1e-3)
    assert metrics["smoothed_rmse"] < metrics["forecast_rmse"] < 150


def test_variances_are_found_again_in_columns_of_different_units():
    rng = np.random.default_rng(0)
    units, noise, drift = np.array([1.0, 1e3]), np.array([0.5, 2.0]), np.array([1.0, 0.2])
    levels = np.cumsum(rng.normal(size=(2000, 2)) * np.sqrt(drift), axis=0)
    ys = (levels + rng.normal(size=(2000, 2)) * np.sqrt(noise)) * units
    arrays = {"y": ys.astype(np.float32)}
    *_, metrics = learn(NILE, arrays, ("small", "large"))
    for index, column in enumerate(("small", "large")):
        assert metrics[f"emission_var_{column}"] == pytest.approx(
            noise[index] * units[index] ** 2, rel=0.25
        )
        assert metrics[f"process_var_{column}"] == pytest.approx(
            drift[index] * units[index] ** 2, rel=0.25
        )
        assert metrics[f"smoothed_rmse_{column}"] < metrics[f"forecast_rmse_{column}"]


def test_served_steps_add_up_to_the_likelihood_of_the_series():
    arrays, experiment, state, metrics = nile()
    step, forecast = (jax.jit(experiment.methods[name]) for name in ("step", "forecast"))
    ys = arrays["y"]
    belief = {"mean": ys[:1], "cov": np.full((1, 1, 1), metrics["emission_var"], np.float32)}
    total = 0.0
    for y in ys[1:]:
        coming = forecast(state, belief)
        belief = step(state, belief | {"y": y[None]})
        scale = np.sqrt(coming["y_cov"][0, 0, 0])
        expected = stats.norm.logpdf(y[0], coming["y_mean"][0, 0], scale)
        log_likelihood = belief.pop("log_likelihood")
        np.testing.assert_allclose(log_likelihood[0], expected, rtol=1e-4)
        total += float(log_likelihood[0])
    assert total == pytest.approx(metrics["log_likelihood"], rel=1e-5)
    assert float(belief["cov"][0, 0, 0]) == pytest.approx(4032.16, rel=1e-3)


def test_example_rows_are_beliefs_that_every_method_takes():
    arrays, experiment, state, _ = nile()
    x = experiment.example(arrays)
    assert {name: rows.shape for name, rows in x.items()} == {
        "mean": (8, 1),
        "cov": (8, 1, 1),
        "y": (8, 1),
    }
    for method in experiment.methods.values():
        together = method(state, x)
        alone = method(state, jax.tree.map(lambda rows: rows[3:4], x))
        for name, rows in together.items():
            np.testing.assert_allclose(rows[3:4], alone[name], rtol=1e-5)


def test_every_float_is_a_lane_and_the_seed_changes_nothing():
    dataset = data.load(NILE.data)
    effects = trace.confirm(
        "experiments.track", NILE, program.specify(dataset), jax.device_put(dataset.arrays)
    )
    assert effects.acts == {
        "seed": False,
        "optimizer.learning_rate": True,
        "optimizer.weight_decay": True,
    }


def test_a_series_that_never_changes_stays_finite():
    value = msgspec.structs.replace(NILE, num_steps=3)
    *_, metrics = learn(value, {"y": np.full((5, 1), 7.0, np.float32)}, ("flat",))
    assert all(np.isfinite(list(metrics.values())))


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ConfigError, match=r"num_steps: 0, .* wanted 1 or more"):
        track.check(msgspec.structs.replace(NILE, num_steps=0))
    short = program.Spec({"y": jax.ShapeDtypeStruct((2, 1), jnp.float32)}, ("flow",), ())
    with pytest.raises(ConfigError, match="data: the series has 2 rows, not at least 3"):
        track.build(NILE, short)
