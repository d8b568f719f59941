"""Every estimator that a config can name: it traces, and it does on real sets what it should."""

import functools
import typing

import jax
import jax.export
import numpy as np
import pytest

from experiments import classifiers, classify, regress, regressors
from experiments.blocks import OneGo
from mastery_jax.workflow import data, program
from mastery_jax.workflow.errors import ConfigError

pytestmark = pytest.mark.engine

# Least scores; the best of each set is some 0.98, 0.98 and 0.53.
LEAST = {"digits": 0.93, "breast_cancer": 0.92, "diabetes": 0.38}
LOWER = {  # by what the method is
    ("naive_bayes", "digits"): 0.74,
    ("naive_bayes", "breast_cancer"): 0.86,
    ("tree", "digits"): 0.81,
    ("tree", "breast_cancer"): 0.84,
    ("adaboost", "digits"): 0.6,
    ("tree", "diabetes"): -0.3,
    ("knn", "diabetes"): 0.33,
}


def kinds(module):
    """Return the models of an experiment that are fitted in one go, by their tags."""
    models = typing.get_args(typing.get_type_hints(module.Config)["model"])
    return {m.__struct_config__.tag: m for m in models if issubclass(m, OneGo)}


CASES = [
    (source, module, kind)
    for source, module in (("digits", classify), ("breast_cancer", classify), ("diabetes", regress))
    for kind in kinds(module)
]


@functools.cache
def prepared(source, module, kind):
    block = data.Regression if module is regress else data.Classification
    value = module.Config(data=block(source=source), model=kinds(module)[kind]())
    dataset = data.load(value.data)
    fns = program.functions(module.__name__, value, program.specify(dataset))
    return fns, program.lane(value), dataset.arrays


@pytest.mark.parametrize(("source", "module", "kind"), [c for c in CASES if c[0] != "digits"])
def test_every_kind_can_be_served_for_any_number_of_rows(source, module, kind):
    """Floats are arguments of the program, and none of its answers asks for the number of rows."""
    fns, lane, arrays = prepared(source, module, kind)
    state = jax.eval_shape(fns.start, lane, arrays)
    (rows,) = jax.export.symbolic_shape("rows")
    X = jax.ShapeDtypeStruct((rows, arrays["test"]["X"].shape[1]), "float32")
    for method in fns.experiment(lane).methods.values():
        exported = jax.export.export(jax.jit(method))(state, {"features": X})
        assert {answer.shape[0] for answer in exported.out_avals} == {rows}


@pytest.mark.parametrize(
    ("source", "module", "model", "sentence"),
    [
        ("iris", classify, classifiers.Forest(max_features=9), "max_features: 9 of 4 features"),
        ("diabetes", regress, regressors.Knn(num_neighbors=999), "999 of 354 training rows"),
    ],
)
def test_what_the_data_do_not_allow_is_refused_in_a_sentence(source, module, model, sentence):
    block = data.Regression if module is regress else data.Classification
    value = module.Config(data=block(source=source), model=model)
    with pytest.raises(ConfigError, match=sentence):
        module.build(value, program.specify(data.load(value.data)))


@pytest.mark.slow
@pytest.mark.parametrize(("source", "module", "kind"), CASES)
def test_every_kind_does_what_it_should_on_real_rows(source, module, kind):
    fns, lane, arrays = prepared(source, module, kind)
    arrays = jax.device_put(arrays)
    compiled = program.prepare(fns, lane, arrays)
    *_, last = program.drive(compiled, lane, arrays, num_steps=0)
    metrics = {name: float(value) for name, value in last.evaluation.items()}
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics.get("is_converged", 1.0) == 1.0
    score = metrics["test_r2" if module is regress else "test_accuracy"]
    assert LOWER.get((kind, source), LEAST[source]) <= score < (0.56 if module is regress else 1)
