"""Configs: where they are found, what they hold, and what is said when one is wrong."""

import json
import re
import subprocess
import sys
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from mastery_jax.workflow import config
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import RunConfig, Static

Positive = Annotated[float, Meta(gt=0)]


class Mlp(Struct, tag_field="kind", tag="mlp", frozen=True, kw_only=True):
    widths: tuple[Annotated[int, Meta(gt=0)], ...] = (64, 64)
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class Logistic(Struct, tag_field="kind", tag="logistic", frozen=True, kw_only=True):
    l2: Annotated[float, Meta(ge=0)] = 1e-3


class Adam(Struct, frozen=True, kw_only=True):
    learning_rate: Positive = 1e-3
    betas: tuple[Positive, Positive] = (0.9, 0.999)


class Layer(Struct, frozen=True, kw_only=True):
    scale: float = 1.0
    bias: bool = True


class Config(RunConfig, frozen=True, kw_only=True):
    """What this file's configs configure: it is an experiment as far as configs go."""

    model: Mlp | Logistic = Mlp()
    optimizer: Adam = Adam()
    layers: tuple[Layer, ...] = ()
    priors: dict[str, float] = msgspec.field(default_factory=dict)
    tolerance: Annotated[float, Static, Meta(gt=0)] = 1e-6
    limit: Annotated[float, Static] | None = None
    clip: Positive | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    title: str = ""


def build(config, spec):
    """Stand for an experiment; only its config is read here."""


def check(value: Config) -> None:
    if value.num_steps and value.save_every > value.num_steps:
        raise ValueError("save_every must not be above num_steps")


HEAD = "# the first comment\nexperiment: tests.test_config\n"
FULL = f"""{HEAD}
seed: 3
num_steps: 100
model: {{kind: mlp, widths: [8, 8]}}
optimizer:
  learning_rate: 1e-2  # a number in YAML 1.2, a word in YAML 1.1
layers: [{{scale: 2}}, {{bias: false}}]
priors: {{rate: 0.5}}
limit: 4
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Give a function that writes configs/<name>.yaml in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()

    def write(text, name="digits"):
        path = tmp_path / "configs" / f"{name}.yaml"
        path.write_text(text)
        return path

    return write


def test_load_by_name_and_by_path(write):
    path = write(FULL)
    loaded = config.load("digits")
    assert (loaded.name, loaded.experiment) == ("digits", "tests.test_config")
    assert loaded.value == Config(
        seed=3,
        num_steps=100,
        model=Mlp(widths=(8, 8)),
        optimizer=Adam(learning_rate=0.01),
        layers=(Layer(scale=2.0), Layer(bias=False)),
        priors={"rate": 0.5},
        limit=4.0,
    )
    assert isinstance(loaded.value.limit, float), "an int in the file where a float is declared"
    assert config.load(path) == config.load(str(path)) == loaded


def test_written_config_loads_back(write, tmp_path):
    write(FULL)
    loaded = config.load("digits", ["clip=1e-30", "title='1e-3, yes: no # not a comment'"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(loaded))
    again = config.load(tmp_path / "config.yaml")
    assert again.value == loaded.value
    assert config.digest(again) == config.digest(loaded), "the name is no part of what is run"


def test_digest_sees_every_field(write):
    write(FULL)
    changes = ["seed=4", "model=logistic", "layers.0.scale=3", "limit=null", "save_every=1"]
    digests = [config.digest(config.load("digits", [change])) for change in [*changes, "seed=3"]]
    assert len(set(digests)) == len(digests)
    assert digests[-1] == config.digest(config.load("digits"))
    assert all(len(digest) == 64 for digest in digests)


SENTENCES = {
    "nothing": ("", "is empty"),
    "a list": ("- 1", "must hold fields and their values, got [1]"),
    "a word": ("seed", 'must hold fields and their values, got "seed"'),
    "no experiment": ("seed: 3", "must name its experiment"),
    "experiment is no text": ("experiment: 3", "must name its experiment"),
    "experiment is no path": ("experiment: ../x", "got ../x"),
    "unknown module": ("experiment: tests.test_konfig", "did you mean tests.test_config?"),
    "unknown package": ("experiment: experimints.classify", "named experimints.classify"),
    "module without Config": ("experiment: json", "json has no Config"),
    "module without build": ("experiment: mastery_jax.workflow.trace", "trace has no "),
    "not YAML": (f"{HEAD}seed: [1\nnum_steps: 2\n", "line 4"),
    "a tab": (f"{HEAD}\tseed: 1\n", "line 3"),
    "twice": (f"{HEAD}seed: 1\nseed: 2\n", "line 4: seed is given twice"),
    "a list as key": (f"{HEAD}? [a]\n: 1\n", "line 3"),
    "a value that holds itself": (f"{HEAD}layers: &a [*a]\n", "line 3"),
    "a Python object": (f"{HEAD}seed: !!python/name:os.remove\n", "python/name:os.remove"),
    "unknown field": (
        f"{HEAD}optimizer: {{lerning_rate: 1}}\n",
        "optimizer.lerning_rate is not a field of test_config's config; "
        "did you mean optimizer.learning_rate?",
    ),
    "field of another block": (f"{HEAD}betas: [1, 1]\n", "did you mean optimizer.betas?"),
    "field of another choice": (
        f"{HEAD}model: {{kind: logistic, widths: [1]}}\n",
        "model.widths is not a field of test_config's config with this choice of model",
    ),
    "unknown choice": (
        f"{HEAD}model: {{kind: logstic}}\n",
        'model.kind must be one of mlp, logistic, got "logstic"; did you mean logistic?',
    ),
    "no choice": (f"{HEAD}model: {{widths: [1]}}\n", "model.kind is missing"),
    "glued": (f"{HEAD}model: {{kind:mlp}}\n", "put a space after the colon"),
    "a choice is no mapping": (f"{HEAD}model: 3\n", "a mapping with kind one of mlp, logistic"),
    "a block is no mapping": (f"{HEAD}optimizer: 3\n", "a mapping of learning_rate, betas, got 3"),
    "ill-typed": (f"{HEAD}seed: three\n", 'seed must be a whole number, got "three"'),
    "a fraction for a whole number": (f"{HEAD}num_steps: 1.5\n", "whole number, got 1.5"),
    "a bool for a number": (f"{HEAD}tolerance: true\n", "tolerance must be a number, got true"),
    "YAML 1.1's no": (
        f"{HEAD}layers: [{{bias: no}}]\n",
        'layers.0.bias must be true or false, got "no"',
    ),
    "out of range": (
        f"{HEAD}optimizer: {{learning_rate: -1}}\n",
        "optimizer.learning_rate must be a number > 0.0, got -1",
    ),
    "out of range in a list": (f"{HEAD}model: {{kind: mlp, widths: [8, 0]}}\n", "model.widths.1"),
    "a seed too large": (f"{HEAD}seed: 4294967296\n", "seed must be a whole number"),
    "too short": (
        f"{HEAD}optimizer: {{betas: [1]}}\n",
        "optimizer.betas must be a list of length 2",
    ),
    "not of the list": (f"{HEAD}schedule: linear\n", 'one of constant, cosine, got "linear"'),
    "null": (f"{HEAD}tolerance:\n", "tolerance must be a number, got null"),
    "not a number": (
        f"{HEAD}layers: [{{scale: .nan}}]\n",
        "layers.0.scale must be a finite number",
    ),
    "infinite": (f"{HEAD}priors: {{a: -.inf}}\n", "priors.a must be a finite number"),
    "a number too large": (f"{HEAD}tolerance: 1{'0' * 400}\n", "tolerance must be"),
    "across fields": (f"{HEAD}num_steps: 3\nsave_every: 4\n", "save_every must not be above"),
    "a sweep": (f"{HEAD}sweep: {{seed: [1]}}\n", "mastery sweep"),
}


@pytest.mark.parametrize("wrong", SENTENCES)
def test_wrong_file(write, wrong):
    text, sentence = SENTENCES[wrong]
    write(text)
    with pytest.raises(ConfigError) as caught:
        config.load("digits")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_place(write, tmp_path):
    write(HEAD)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name, sentence in {
        "digts": "no config is named digts; did you mean digits?",
        "none.yaml": "none.yaml: there is no such file",
        "folder.yaml": "folder.yaml is a folder",
        "configs": "configs is a folder",
        "bytes.yaml": "is not text in UTF-8",
    }.items():
        with pytest.raises(ConfigError, match=sentence):
            config.load(name)


def test_a_broken_experiment_shows_its_own_error(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import a_module_that_is_not_installed\n")
    write("experiment: needs_more")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_installed"):
        config.load("digits")


def test_required_field(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "demanding.py").write_text(
        "from mastery_jax.workflow.experiment import RunConfig\n"
        "class Config(RunConfig, frozen=True, kw_only=True):\n    rate: float\n"
        "def build(config, spec): ...\n"
    )
    write("experiment: demanding")
    with pytest.raises(ConfigError, match=r"^demanding's config needs rate$"):
        config.load("digits")
    assert config.load("digits", ["rate=2"]).value.rate == 2.0
    sweep = config.load_sweep("digits", ["rate=2,3"])
    assert sweep.loaded.value.rate == 2.0
    assert sweep.points == ({"rate": 2.0}, {"rate": 3.0})
    drawn = config.load_sweep("digits", ["rate=uniform(2,3)", "search.num_samples=1"])
    assert drawn.loaded.value.rate == drawn.points[0]["rate"]


def test_names(write):
    write(FULL, "zeta")
    write("experiment: x\n", "alpha")
    found = dict(config.names())
    assert (found["zeta"], found["alpha"]) == ("the first comment", "")
    assert list(found) == sorted(found)


def test_schema(write):
    write(FULL)
    made = config.schema(config.load("digits"))
    assert made == config.schema(sys.modules[__name__])
    assert made["properties"]["experiment"]["const"] == __name__
    assert made["required"] == ["experiment"]
    kinds = made["properties"]["model"]["discriminator"]["mapping"]
    assert set(kinds) == {"mlp", "logistic"}
    for place in kinds.values():
        assert place.rpartition("/")[2] in made["$defs"]
    assert made["$defs"]["Adam"]["properties"]["learning_rate"]["exclusiveMinimum"] == 0
    said = made["properties"]["sweep"]["additionalProperties"]["anyOf"]
    assert [kind["type"] for kind in said] == ["array", "string"]
    search = made["properties"]["search"]["$ref"].rpartition("/")[2]
    assert set(made["$defs"][search]["properties"]) >= {"num_samples", "metrics", "stop"}
    for place in re.findall(r"#/\$defs/(\w+)", json.dumps(made)):
        assert place in made["$defs"]


def test_neither_door_imports_jax_and_config_imports_no_numpy():
    code = (
        "import sys; from mastery_jax.workflow import config;"
        "assert not {'jax', 'numpy'} & set(sys.modules);"
        "from mastery_jax.workflow import data;"
        "data.load(data.Classification(source='iris'));"
        "assert not {'jax', 'sklearn', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
