"""Classify, regress, density: they run, every float is a lane, every method becomes a file."""

import functools
import sys
from typing import NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge

from experiments import density
from mastery_jax.workflow import config, data, lowering, program, trace
from mastery_jax.workflow.errors import ConfigError

pytestmark = pytest.mark.engine

# The bundled configs themselves, the flow cut short; and what no config has.
MOONS = config.load("two_moons_flow", ["num_steps=300"]).value
CONFIGS = {
    **{
        name: config.load(name).value
        for name in (
            *("digits_logistic", "digits_mlp", "breast_cancer_forest"),
            *("diabetes_ridge", "diabetes_mlp", "friedman_boosting"),
        )
    },
    "two_moons_flow": MOONS,
    "two_moons_planar": msgspec.structs.replace(MOONS, model=density.Planar()),
}
SCORES = {  # around what the head of the config says; a score too good would be a leak
    "digits_logistic": ("test_accuracy", 0.95, 0.96),
    "digits_mlp": ("test_accuracy", 0.96, 0.99),
    "breast_cancer_forest": ("test_accuracy", 0.93, 0.98),
    "friedman_boosting": ("test_r2", 0.90, 0.96),  # 0.96 is what the noise leaves
    "diabetes_ridge": ("test_r2", 0.51, 0.54),
    "diabetes_mlp": ("test_r2", 0.38, 0.54),
    "two_moons_flow": ("test_nll", 1.0, 1.4),
    "two_moons_planar": ("test_nll", 1.0, 1.5),
}
OPTIMIZER = {"optimizer.learning_rate", "optimizer.weight_decay"}
IDLE = {  # fields that change nothing
    "digits_logistic": {"seed", *OPTIMIZER},
    "diabetes_ridge": {"seed", *OPTIMIZER},
    "breast_cancer_forest": OPTIMIZER,
    "friedman_boosting": {"seed", "model.quantile", *OPTIMIZER},
}


class Ran(NamedTuple):
    arrays: dict
    spec: program.Spec
    event: program.Event
    experiment: program.Experiment
    lane: dict


@functools.cache
def run(name):
    """Run a config through the three programs of a runner, each compiled on its own."""
    value = CONFIGS[name]
    dataset = data.load(value.data)
    spec, lane = program.specify(dataset), program.lane(value)
    fns = program.functions(type(value).__module__, value, spec)
    arrays = jax.device_put(dataset.arrays)
    compiled = program.prepare(fns, lane, arrays)
    *_, last = program.drive(compiled, lane, arrays, num_steps=value.num_steps)
    return Ran(dataset.arrays, spec, last, fns.experiment(lane), lane)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_learns(name):
    metrics = {key: float(value) for key, value in run(name).event.evaluation.items()}
    assert all(np.isfinite(value) for value in metrics.values())
    score, least, most = SCORES[name]
    assert least < metrics[score] < most


def test_metrics_agree_with_the_methods():
    """Accuracy and log loss of what is served, r2 from the rmse and the spread of y."""
    ran = run("digits_mlp")
    test, metrics = ran.arrays["test"], ran.event.evaluation
    answer = ran.experiment.methods["predict_proba"](ran.event.state, {"features": test["X"]})
    served = -np.log(np.take_along_axis(answer["probabilities"], test["y"][:, None], axis=1))
    np.testing.assert_allclose(metrics["test_log_loss"], served.mean(), rtol=1e-4)
    np.testing.assert_allclose(
        metrics["test_accuracy"], (answer["predictions"] == test["y"]).mean(), rtol=1e-6
    )
    ran = run("diabetes_mlp")
    test, metrics = ran.arrays["test"], ran.event.evaluation
    explained = 1 - metrics["test_rmse"] ** 2 / test["y"].var()
    np.testing.assert_allclose(metrics["test_r2"], explained, rtol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_float_is_a_lane_with_the_effect_it_should_have(name):
    ran, value = run(name), CONFIGS[name]
    arrays = jax.device_put(ran.arrays)
    effects = trace.confirm(type(value).__module__, value, ran.spec, arrays)
    idle = IDLE.get(name, ())
    assert effects.acts == {path: path not in idle for path in ran.lane}


@pytest.mark.parametrize("name", CONFIGS)
def test_methods_are_files_for_any_number_of_rows(name):
    ran = run(name)
    x = jax.device_get(ran.experiment.example(ran.arrays))
    three = {field: rows[:3] for field, rows in x.items()}
    for method, function in ran.experiment.methods.items():
        made = lowering.export(f"{name}.{method}", function, ran.event.state, x)
        given = {field: three[field] for field in made.inputs}
        found = jax.jit(jax.export.deserialize(bytearray(made.program)).call)(made.params, given)
        assert found.keys() == made.outputs.keys()
        for field, rows in made.outputs.items():
            np.testing.assert_allclose(found[field], rows[:3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_width_follows_x64(name):
    """Under x64 nothing of a state is left in float32."""
    value = CONFIGS[name]
    with jax.enable_x64(True):
        dataset = data.load(value.data)
        fns = program.functions(type(value).__module__, value, program.specify(dataset))
        state = jax.eval_shape(fns.start, program.lane(value), dataset.arrays)
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {x.dtype for x in floats} == {jnp.dtype("float64")}


def test_probabilities_are_what_logistic_regression_gives():
    ran = run("digits_logistic")
    train, test = ran.arrays["train"], ran.arrays["test"]
    center, scale = ran.arrays["center"], ran.arrays["scale"]
    peer = LogisticRegression(C=1 / (1e-3 * len(train["y"])), tol=1e-6, max_iter=2000)
    peer.fit((train["X"] - center) / scale, train["y"])
    answer = ran.experiment.methods["predict_proba"](ran.event.state, {"features": test["X"]})
    expected = peer.predict_proba((test["X"] - center) / scale)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=2e-3)
    np.testing.assert_array_equal(answer["predictions"], answer["probabilities"].argmax(axis=1))


def test_predictions_are_what_ridge_regression_gives():
    ran = run("diabetes_ridge")
    train, test = ran.arrays["train"], ran.arrays["test"]
    center, scale = ran.arrays["center"], ran.arrays["scale"]
    peer = SklearnRidge(alpha=1e-2 * len(train["y"]))
    peer.fit((train["X"] - center) / scale, train["y"])
    answer = ran.experiment.methods["predict"](ran.event.state, {"features": test["X"]})
    expected = peer.predict((test["X"] - center) / scale)
    np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["two_moons_flow", "two_moons_planar"])
def test_flow_density_is_of_raw_units_and_samples_follow_the_data(name):
    ran = run(name)
    methods, state = ran.experiment.methods, ran.event.state
    axis = jnp.linspace(-8, 8, 401)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_prob = jax.jit(methods["log_prob"])(state, {"features": grid})["log_prob"]
    assert abs(jnp.exp(log_prob).sum() * (axis[1] - axis[0]) ** 2 - 1) < 1e-2
    seeds = jnp.arange(2000, dtype=jnp.uint32)
    samples = jax.jit(methods["sample"])(state, {"seed": seeds})["samples"]
    train = ran.arrays["train"]["X"]
    assert np.abs(samples.mean(axis=0) - train.mean(axis=0)).max() < 0.15
    assert np.abs(samples.std(axis=0) / train.std(axis=0) - 1).max() < 0.2
    again = jax.jit(methods["sample"])(state, {"seed": seeds[7:8]})["samples"]
    np.testing.assert_allclose(again[0], samples[7], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "num_steps", "sentence"),
    [
        ("digits_logistic", 5, "num_steps: 5 with model.kind logistic, .* wanted 0"),
        ("digits_mlp", 0, "num_steps: 0 with model.kind mlp, .* wanted 1 or more"),
        ("diabetes_ridge", 5, "num_steps: 5 with model.kind ridge, .* wanted 0"),
        ("diabetes_mlp", 0, "num_steps: 0 with model.kind mlp, .* wanted 1 or more"),
        ("two_moons_flow", 0, "num_steps: 0 with model.kind coupling, .* wanted 1 or more"),
    ],
)
def test_steps_that_do_not_go_with_the_model_are_refused(name, num_steps, sentence):
    value = msgspec.structs.replace(CONFIGS[name], num_steps=num_steps)
    with pytest.raises(ConfigError, match=sentence):
        sys.modules[type(value).__module__].check(value)


def test_columns_too_few_for_a_coupling_are_refused():
    one = data.Samples(source="two_moons", columns=("x0",))
    value = density.Config(data=one, num_steps=1)
    with pytest.raises(ConfigError, match=r"model\.kind: coupling needs at least 2 columns"):
        density.build(value, program.specify(data.load(one)))
