"""A config as leaves: paths, lanes, and putting anything back."""

import jax
import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import RunConfig
from tests.test_config import FULL, Logistic, Mlp


@pytest.fixture
def value(tmp_path):
    """Return a config that has a leaf of every kind."""
    (tmp_path / "digits.yaml").write_text(FULL)
    return config.load(tmp_path / "digits.yaml").value


def test_flatten_and_lanes(value):
    leaves = config.flatten(value)
    assert leaves["model.kind"] == "mlp"
    assert leaves["model.widths"] == (8, 8)
    assert (leaves["optimizer.betas.0"], leaves["optimizer.betas.1"]) == (0.9, 0.999)
    assert (leaves["layers.1.bias"], leaves["priors.rate"]) == (False, 0.5)
    lanes, statics = config.lane_paths(value), config.static_paths(value)
    assert lanes == (
        "seed",
        "model.dropout",
        "optimizer.learning_rate",
        "optimizer.betas.0",
        "optimizer.betas.1",
        "layers.0.scale",
        "layers.1.scale",
        "priors.rate",
    ), "not the Static ones, not a float that is null"
    assert {"model.kind", "model.widths", "tolerance", "limit", "clip", "schedule"} <= set(statics)
    runner = set(RunConfig.__struct_fields__) - {"seed"}
    assert set(lanes) | set(statics) | runner == set(leaves)
    assert not set(lanes) & set(statics)
    assert not runner & {*lanes, *statics}


def test_replace_takes_anything_anywhere(value):
    marker = object()
    paths = config.lane_paths(value)
    changed = config.replace(value, dict.fromkeys(paths, marker))
    assert {config.flatten(changed)[path] for path in paths} == {marker}
    assert config.replace(changed, {p: config.flatten(value)[p] for p in paths}) == value
    assert config.replace(value, {"model": "logistic", "model.l2": 2.0}).model == Logistic(l2=2.0)
    assert config.replace(value, {"model.kind": "mlp"}).model == Mlp()
    for path in ("model.l2", "layers.2.scale", "seed.x", "nothing", "priors.none"):
        with pytest.raises(ConfigError, match=path):
            config.replace(value, {path: 0})


def test_replace_takes_tracers(value):

    @jax.jit
    def doubled(rate, beta):
        made = config.replace(value, {"optimizer.learning_rate": rate, "optimizer.betas.1": beta})
        return 2 * made.optimizer.learning_rate + made.optimizer.betas[1]

    assert doubled(3.0, 0.5) == 6.5
