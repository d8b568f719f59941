"""Overrides in Hydra's spelling, and the values of a sweep."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.workflow import config, overrides, yaml12
from mastery_jax.workflow.errors import ConfigError
from tests.test_config import FULL, HEAD, Adam, Layer, Logistic, Mlp


@pytest.fixture
def path(tmp_path):
    """Return the file of a config that sets most of its fields."""
    path = tmp_path / "digits.yaml"
    path.write_text(FULL)
    return path


@pytest.fixture
def bare(tmp_path):
    """Return the file of a config that sets none of its fields."""
    path = tmp_path / "bare.yaml"
    path.write_text(HEAD)
    return path


SET = {
    "seed=7": ("seed", 7),
    "optimizer.learning_rate=1e-4": ("optimizer.learning_rate", 1e-4),
    "optimizer.learning_rate=1": ("optimizer.learning_rate", 1.0),
    "optimizer.betas=[0.5, 0.6]": ("optimizer.betas", (0.5, 0.6)),
    "optimizer.betas.1=0.6": ("optimizer.betas", (0.9, 0.6)),
    "model=logistic": ("model", Logistic()),
    "model=mlp": ("model", Mlp()),
    "model.kind=logistic": ("model", Logistic()),
    "model={kind: logistic, l2: 1}": ("model", Logistic(l2=1.0)),
    "model.widths=[]": ("model.widths", ()),
    "model.widths.1=4": ("model.widths", (8, 4)),
    "layers.1.scale=5": ("layers.1", Layer(scale=5.0, bias=False)),
    "layers=[{scale: 9}]": ("layers", (Layer(scale=9.0),)),
    "priors.rate=2": ("priors", {"rate": 2.0}),
    "+priors.other=2": ("priors", {"rate": 0.5, "other": 2.0}),
    "++priors.other=2": ("priors", {"rate": 0.5, "other": 2.0}),
    "++priors.rate=2": ("priors", {"rate": 2.0}),
    "~priors.rate": ("priors", {}),
    "~priors": ("priors", {}),
    "+clip=2": ("clip", 2.0),
    "++seed=7": ("seed", 7),
    "++optimizer.betas.0=0.5": ("optimizer.betas", (0.5, 0.999)),
    "limit=null": ("limit", None),
    "~limit": ("limit", None),
    "~seed": ("seed", 0),
    "~optimizer": ("optimizer", Adam()),
    "~optimizer.learning_rate": ("optimizer", Adam()),
    "~model": ("model", Mlp()),
    "~title": ("title", ""),
    "title=plain words": ("title", "plain words"),
    "title='a,b'": ("title", "a,b"),
    'title="range(3)"': ("title", "range(3)"),
    "title='3'": ("title", "3"),
    "title='a=b'": ("title", "a=b"),
    "title=a=b": ("title", "a=b"),
    "title=''": ("title", ""),
    "title=no": ("title", "no"),
}


def at(value, path):
    for key in path.split("."):
        value = value[int(key)] if key.isdigit() else getattr(value, key)
    return value


@pytest.mark.parametrize("argument", SET)
def test_override(path, argument):
    where, wanted = SET[argument]
    loaded = config.load(path, [argument])
    assert at(loaded.value, where) == wanted
    before, after = config.flatten(config.load(path).value), config.flatten(loaded.value)
    elsewhere = {key for key in before | after if not f"{key}.".startswith(where.split(".")[0])}
    assert {key: after[key] for key in elsewhere} == {key: before[key] for key in elsewhere}


@pytest.mark.parametrize(
    ("argument", "where", "wanted"),
    [
        ("optimizer.betas.0=0.5", "optimizer", Adam(betas=(0.5, 0.999))),
        ("model.widths=[3]", "model", Mlp(widths=(3,))),
        ("model.dropout=0.5", "model", Mlp(dropout=0.5)),
        ("model.widths.0=3", "model", Mlp(widths=(3, 64))),
        ("+priors.a=1", "priors", {"a": 1.0}),
    ],
)
def test_a_default_is_the_start_where_the_file_says_nothing(bare, argument, where, wanted):
    assert at(config.load(bare, [argument]).value, where) == wanted


def test_a_choice_is_made_before_its_fields_are_set(path):
    in_order = config.load(path, ["model=logistic", "model.l2=2"]).value.model
    assert in_order == config.load(path, ["model.l2=2", "model=logistic"]).value.model
    assert in_order == Logistic(l2=2.0)


def test_the_last_of_two_stands(path):
    assert config.load(path, ["seed=1", "seed=2"]).value.seed == 2


WRONG = {
    "optimizer.lerning_rate=1": "did you mean optimizer.learning_rate?",
    "learning_rate=1": "did you mean optimizer.learning_rate?",
    "sed=1": "sed is not a field of test_config's config; did you mean seed?",
    "~sed": "did you mean seed?",
    "+sed=1": "did you mean seed?",
    "sed.x=1": "sed.x is not a field",
    "model.l2=1": "model.l2 is not a field of test_config's config with this choice of model",
    "model=logstic": "did you mean logistic?",
    "model.kind={a: 1}": 'model.kind must be one of mlp, logistic, got {"a": 1}',
    "model.kind=3": "model.kind must be one of mlp, logistic, got 3",
    "model={kind:logistic}": "put a space after the colon",
    "optimizer.learning_rate=fast": 'optimizer.learning_rate must be a number, got "fast"',
    "optimizer.learning_rate=0": "optimizer.learning_rate must be a number > 0.0, got 0",
    "optimizer.betas.2=1": "optimizer.betas has elements 0 to 1",
    "optimizer.betas.x=1": "optimizer.betas has elements 0 to 1",
    "~optimizer.betas.0": "none added or taken away",
    "layers.7.scale=1": "layers has elements 0 to 1",
    "seed.x=1": "seed.x is no field: seed is 3",
    "priors.other=1": "write +priors.other=",
    "~priors.other": "other is not there",
    "priors.other.x=1": "other is not there",
    "+seed=1": "the config sets it already",
    "+priors.rate=1": "the config sets it already",
    "seed=": "seed must be a whole number, got null",
    "seed": "seed is not an override: write field=value",
    "~seed=3": "is not an override",
    "=3": "is not an override",
    "a b=3": "is not an override",
    "--seed=3": "is not an override",
    "optimizer=[1": "is not YAML",
    "title={a: 1, a: 2}": "a is given twice",
    "seed=1,2": "stands for several values, which is a sweep",
    "seed=range(3)": "stands for several values",
    "experiment=json": "experiment is not a field",
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_override(path, argument):
    with pytest.raises(ConfigError) as caught:
        config.load(path, [argument])
    assert WRONG[argument] in str(caught.value)
    assert "\n" not in str(caught.value)


SWEPT = {
    "seed=0,1,2": ("seed", (0, 1, 2)),
    "seed=range(3)": ("seed", (0, 1, 2)),
    "seed=range(2, 4)": ("seed", (2, 3)),
    "seed=range(1,10,4)": ("seed", (1, 5, 9)),
    "seed=choice(4)": ("seed", (4,)),
    "optimizer.learning_rate=1e-4, 1e-3,1": ("optimizer.learning_rate", (1e-4, 1e-3, 1.0)),
    "model.widths=[64],[256,128],[]": ("model.widths", ((64,), (256, 128), ())),
    "model=mlp,logistic": ("model", ("mlp", "logistic")),
    "model.kind=mlp,logistic": ("model.kind", ("mlp", "logistic")),
    "model={kind: mlp, widths: [1]},logistic": ("model", (Mlp(widths=(1,)), "logistic")),
    "optimizer.betas.0=0.1,0.2": ("optimizer.betas.0", (0.1, 0.2)),
    "optimizer.betas=[0.1,0.2],[0.3,0.4]": ("optimizer.betas", ((0.1, 0.2), (0.3, 0.4))),
    "schedule=choice(constant,cosine)": ("schedule", ("constant", "cosine")),
    "title='a,b',\"c\",d": ("title", ("a,b", "c", "d")),
    "title=don't,won't": ("title", ("don't", "won't")),
    "limit=null,2": ("limit", (None, 2.0)),
    "layers=[{scale: 1},{scale: 2}],[]": ("layers", ((Layer(scale=1.0), Layer(scale=2.0)), ())),
    "+priors.other=1,2": ("priors.other", (1.0, 2.0)),
}


@pytest.mark.parametrize("argument", SWEPT)
def test_sweep(path, argument):
    field, values = SWEPT[argument]
    loaded, space, _, points = config.load_sweep(path, ["num_steps=50", argument])
    assert space.paths == (field,)
    found = tuple(point[field] for point in points)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert loaded.value.num_steps == 50
    assert config.replace(loaded.value, {field: values[0]}) == loaded.value, "the first lane"


def test_a_sweep_of_several_fields_keeps_their_order(path):
    arguments = ["seed=0,1", "title=once", "model.dropout=0.1,0.2,0.3"]
    sweep = config.load_sweep(path, arguments)
    rows = [(seed, dropout) for seed in (0, 1) for dropout in (0.1, 0.2, 0.3)]
    assert sweep.points == tuple({"seed": s, "model.dropout": d} for s, d in rows)
    assert sweep.swept == ("seed", "model.dropout")
    assert sweep.loaded.value.title == "once"


def test_a_sweep_of_nothing_is_refused(path):
    with pytest.raises(ConfigError, match="nothing is swept: write several values"):
        config.load_sweep(path, ["seed=9"])


def test_a_written_sweep_loads_back(path, tmp_path):
    arguments = ["model={kind: mlp, widths: [1]},logistic", "optimizer.betas=[0.1,0.2],[0.3,0.4]"]
    sweep = config.load_sweep(path, arguments)
    again = tmp_path / path.name
    again.write_text(config.sweep_to_yaml(sweep))
    assert list(yaml12.parse(again.read_text()))[-1] == "sweep"
    assert config.load_sweep(again) == sweep
    more = config.load_sweep(again, ["seed=1,2", "model=mlp,logistic"])
    assert more.swept == ("model", "optimizer.betas", "seed")
    assert [point["model"] for point in more.points] == ["mlp"] * 4 + ["logistic"] * 4


def test_rules_across_fields_hold_in_every_lane(path):
    config.load_sweep(path, ["num_steps=10,20", "save_every=5,10"])
    with pytest.raises(ConfigError, match="digits, num_steps=10, save_every=15: save_every must"):
        config.load_sweep(path, ["num_steps=10,20", "save_every=5,15"])


WRONG_SWEEPS = {
    ("seed=range(0)",): "seed lists no value, so that the sweep has no lane",
    ("seed=range(3,1)",): "no lane",
    ("seed=range(x)",): "write range(stop)",
    ("seed=range(1,2,0)",): "write range(stop)",
    ("seed=range()",): "write range(stop)",
    ("seed=1,,2",): "a value is missing beside a comma",
    ("seed=choice()",): "a value is missing beside a comma",
    ("seed=1,2,",): "a value is missing beside a comma",
    ("seed=1,x",): 'seed must be a whole number, got "x"',
    ("seed=1,1.5",): "seed must be a whole number, got 1.5",
    ("seed=0,1,0",): "seed lists 0 twice",
    ("optimizer.learning_rate=0.1,1e-1",): "lists 0.1 twice",
    ("optimizer.learning_rate=1,-1",): "optimizer.learning_rate must be a number > 0.0, got -1",
    ("layers.0.scale=1,.inf",): "layers.0.scale must be a finite number",
    ("model.widths=[1],[0]",): "model.widths.0 must be a whole number >= 1, got 0",
    ("model=mlp,logstic",): "did you mean logistic?",
    ("model=mlp,3",): "model must be a mapping with kind one of mlp, logistic, got 3",
    ("schedule=constant,linear",): "one of constant, cosine",
    ("sed=1,2",): "did you mean seed?",
    ("model.l2=1,2",): "with this choice of model",
    ("model=mlp,logistic", "model.widths=[1],[2]"): "with this choice of model",
    ("model=mlp,logistic", "model.widths=[1]"): "model.widths is set, but model is swept",
    ("seed=1", "seed=2,3"): "seed is set, but seed is swept",
    ("seed=0,1", "seed=2,3"): "seed is swept twice",
    ("seed=range(400)", "model.dropout=0.1,0.2", "num_steps=range(1,127)"): "100,800 lanes",
    ("seed=range(1000000000000)",): "at most 100,000",
}


@pytest.mark.parametrize("arguments", WRONG_SWEEPS)
def test_wrong_sweep(path, arguments):
    with pytest.raises(ConfigError) as caught:
        config.load_sweep(path, arguments)
    assert WRONG_SWEEPS[arguments] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", ["[1]", "{seed: 1}", "3", "{seed: []}"])
def test_wrong_sweep_in_a_file(tmp_path, said):
    path = tmp_path / "swept.yaml"
    path.write_text(f"{HEAD}sweep: {said}\n")
    with pytest.raises(ConfigError, match="list"):
        config.load_sweep(path)


VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.text("ab ,'\"([{}])#:", max_size=6),
    st.lists(st.integers() | st.text("a,]'", max_size=3), max_size=3),
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(VALUES, min_size=2, max_size=4))
def test_values_written_as_json_are_read_apart(values):
    text = ",".join(msgspec.json.encode(value).decode() for value in values)
    values = msgspec.json.decode(f"[{text}]")  # infinity has become null
    listed = overrides.sweep_values(overrides.parse(f"field={text}"))
    assert listed.make() == tuple(values)
    assert listed.length == len(values)
