"""Spaces that are not sound, each with its one sentence."""

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.errors import ConfigError
from tests.sweep.spaces import RATE, SAMPLER, write

DRAWN = "search.num_samples=4"
WRONG = {
    (f"{RATE}=log(0,1,5)",): "a logarithm needs bounds above 0",
    (f"{RATE}=log(-1,1)", DRAWN): "a logarithm needs bounds above 0",
    (f"{RATE}=loguniform(0,1)", DRAWN): "a logarithm needs bounds above 0",
    (f"{RATE}=log(1,10,1)",): "a count of 2 or more",
    (f"{RATE}=log(1,10,2.5)",): "write log(low,high,count)",
    (f"{RATE}=log(1)",): "write log(low,high,count)",
    (f"{RATE}=log()",): "write log(low,high,count)",
    (f"{RATE}=log(1,10,true)",): "write log(low,high,count)",
    (f"{RATE}=linear(1,1,5)",): "the first bound must be below the second",
    (f"{RATE}=linear(0,1)",): "write linear(low,high,count)",
    (f"{RATE}=linear(1,1.0000000000000002,5)",): "twice",
    (f"{RATE}=uniform(2,1)", DRAWN): "the first bound must be below the second",
    (f"{RATE}=uniform(1,.inf)", DRAWN): "write uniform(low,high) in finite numbers",
    (f"{RATE}=uniform(.nan,1)", DRAWN): "in finite numbers",
    (f"{RATE}=uniform(a,1)", DRAWN): "in finite numbers",
    (f"{RATE}=uniform(0.1,1{'0' * 400})", DRAWN): "in finite numbers",
    (f"{RATE}=uniform(0.1,1,3)", DRAWN): "write uniform(low,high)",
    (f"{RATE}=uniform(0,1)", DRAWN): f"{RATE} must be a number > 0.0, got 0",
    ("model.dropout=uniform(0,1)", DRAWN): "model.dropout must be a number < 1.0, got 1",
    ("num_steps=integers(-1,5)", DRAWN): "num_steps must be a whole number >= 0, got -1",
    ("num_steps=integers(1,5.5)", DRAWN): "write integers(low,high) in whole numbers",
    ("num_steps=uniform(1,5)", DRAWN): "num_steps holds whole numbers: write integers(low,high)",
    ("num_steps=uniform(0.1,0.5)", DRAWN): "num_steps holds whole numbers",
    ("num_steps=log(1,50)", DRAWN): "num_steps holds whole numbers",
    ("title=uniform(1,5)", DRAWN): "title must be text, got 1",
    ("num_steps=range(0.5)",): "write range(stop)",
    (f"{RATE}=log(1,2,3",): "a closing parenthesis is missing",
    (f"{RATE}=uniform(1,2),3",): "nothing may stand beside uniform(...)",
    ("title=choice(a),choice(b)",): "nothing may stand beside choice(...)",
    (f"{RATE}=uniform(1,2)",): "write search.num_samples=N (or --num-samples N)",
    ("title=choice(a,b)", *SAMPLER): "write search.num_samples=N (or --num-samples N)",
    ("seed=0,1", DRAWN): "search.num_samples=4 draws, but nothing is there to be drawn",
    ("seed=0,1", DRAWN, *SAMPLER): "but nothing is there to be drawn",
    ("seed=0,1", *SAMPLER): "search.sampler=tpe draws, but nothing is there to be drawn",
    (): "nothing is swept",
    (f"{RATE}=",): f"{RATE}= has no value: write several, as in seed=0,1,2",
    ("model.dropout=gauss(0,1)", DRAWN): (
        "model.dropout=gauss(0,1): gauss is no list and no distribution; there is range, log, "
    ),
    (DRAWN,): "nothing is",
    ("title=choice(a,a)", DRAWN): 'title lists "a" twice',
    ("zip(seed=0,1; num_steps=1,2,3)",): "seed, num_steps: zip pairs lists of one length, got 2, 3",
    ("zip(seed=0,1,0; num_steps=1,2,1)",): "seed, num_steps lists [0, 1] twice",
    ("zip(seed=0,1; seed=1,2)",): "seed is swept twice",
    ("zip(seed=0,1; num_steps=1,2)", "seed=3,4"): "seed is swept twice",
    ("zip(seed=0,1; num_steps=1,2)", "seed=3"): "seed is set, but seed is swept",
    ("zip(seed=0,1)",): "zip pairs two fields or more",
    ("zip(seed=0,1; num_steps=1,2",): "a closing parenthesis is missing",
    ("zip(seed=0,1; num_steps)",): "num_steps is not an override",
    ("zip(seed=0,1; ~num_steps)",): "~num_steps is not an override",
    (f"zip(seed=0,1; {RATE}=uniform(1,2))",): f"{RATE}=uniform(1,2) draws, and zip pairs lists",
    ("zip(seed=0,1; sed=0,1)",): "did you mean seed?",
    (f"{RATE}=1,2", f"{RATE}=uniform(1,2)", DRAWN): f"{RATE} is swept twice",
    ("lerning_rate=uniform(1,2)", DRAWN): f"did you mean {RATE}?",
    ("model=mlp,logistic", "model.kind=mlp,logistic"): "model and model.kind are both swept",
    ("model.kind=mlp,logistic", "model.dropout=0.1,0.2"): "sweep model in place of model.kind",
    ("model.kind=mlp,logistic", "model.dropout=0.1"): "model.dropout is set, but model.kind is",
    ("optimizer.betas=[0.1,0.2],[0.3,0.4]", "optimizer.betas.0=0.5,0.6"): (
        "[0.1, 0.2] of optimizer.betas sets optimizer.betas.0 already"
    ),
    ("model={kind: mlp, dropout: 0.1},mlp", "model.dropout=0.2,0.3"): "sets model.dropout already",
    ("model.dropout=uniform(0,0.5)", "model.kind=mlp,logistic", DRAWN): "sweep model in place of",
    ("search.seed=1,2",): "search is asked once for all lanes, it cannot be swept",
    ("zip(seed=0,1; search.seed=1,2)",): "search is asked once for all lanes",
    ("seed=0,1", "search.metrics=a:max,b:min"): "write search.metrics=[a:max,b:min]",
    ("seed=0,1", "search.num_sample=3"): "did you mean search.num_samples?",
    ("seed=0,1", "search.num_samples=many"): "search.num_samples must be a whole number",
    ("seed=0,1", "search.sampler=bayes"): (
        'search.sampler must be one of tpe, gp, cma, nsga or null, got "bayes"'
    ),
    ("seed=0,1", "search.stop=halvin"): "did you mean halving?",
    ("seed=0,1", "search.stop=halving"): "the sweep's config needs search.stop.min_steps",
    ("seed=0,1", "search.stop.min_steps=3"): "search.stop.kind is missing",
    ("seed=0,1", "search.stop=median", "search.stop.every=2"): "which metric decides?",
    (f"{RATE}=uniform(1,2)", DRAWN, "search.sampler=gp"): "write search.metrics=[val_accuracy:max]",
    ("seed=0,1", "search.metrics=[loss]"): 'search.metrics.0 is "loss", wanted METRIC:max or',
    ("seed=0,1", "search.metrics=['loss:low']"): "wanted METRIC:max or METRIC:min",
    ("seed=0,1", "search.metrics=['a:max','a:min']"): "search.metrics names a twice",
    (f"{RATE}=uniform(1,2)", DRAWN, *SAMPLER, "search.stop=population", "search.stop.every=2"): (
        "search.sampler would be told of points that it did not choose"
    ),
}


@pytest.mark.parametrize("arguments", WRONG, ids=str)
def test_wrong_space(path, arguments):
    with pytest.raises(ConfigError) as caught:
        config.load_sweep(path, arguments)
    assert WRONG[arguments] in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG_FILES = {
    "sweep: {seed: 3}": "seed must hold a list",
    "sweep: {seed: '3'}": "seed must hold a list",
    "sweep: {seed: []}": "seed lists no value",
    "sweep: {seed: uniform(1}": "a closing parenthesis is missing",
    "sweep: {'seed, num_steps': [[1, 2], [3]]}": "seed, num_steps: each row must hold 2 values",
    "sweep: {'seed, num_steps': [1, 2]}": "seed, num_steps: each row must hold 2 values, got 1",
    "sweep: {'seed, num_steps': 'zip(1,2)'}": "seed, num_steps are 2 fields, but zip(1,2) holds 1",
    "sweep: {'seed, num_steps': 'range(3)'}": "write zip(...; ...)",
    "sweep: {'seed, ': [[1, 2]]}": "'seed, ' must be paths with commas between them",
    "sweep: {seed: [1, 2], 'seed ': [3]}": "seed is swept twice",
    "sweep: {search.seed: [1, 2]}": "search is asked once for all lanes",
    "sweep: {experiment: [a, b]}": "experiment is not a field",
    "sweep: {seed: [0, 1]}\nsearch: 3": "search must be a mapping",
    "sweep: {seed: [0, 1]}\nsearch:": "search must be a mapping",
    "sweep: {seed: [0, 1]}\nsearch: {sed: 3}": "did you mean search.seed?",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_wrong_space_in_a_file(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        config.load_sweep(write(tmp_path, text))
    assert WRONG_FILES[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "argument", ["seed=uniform(0,1)", "zip(seed=0,1; num_steps=1,2)", "search.num_samples=3"]
)
def test_a_single_run_refuses_what_is_of_a_sweep(path, argument):
    with pytest.raises(ConfigError, match="sweep"):
        config.load(path, [argument])
    with pytest.raises(ConfigError, match="mastery sweep"):
        config.load(write(path.parent, "search: {num_samples: 3}"))
