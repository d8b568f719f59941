"""Spaces of sweeps: what is spelled, what is drawn, and which lanes they give."""

import itertools
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.workflow import config, yaml12
from mastery_jax.workflow.errors import ConfigError
from tests.sweep.spaces import RATE, column, load, write

LAWS = settings(derandomize=True, deadline=None, max_examples=40)

LISTS = {
    f"{RATE}=log(1e-4,1e-1,4)": (1e-4, 1e-3, 1e-2, 1e-1),
    f"{RATE}=linear(0.1, 0.5, 5)": (0.1, 0.2, 0.3, 0.4, 0.5),
    "num_steps=linear(0,100,5)": (0, 25, 50, 75, 100),
    "num_steps=log(1,1000,4)": (1, 10, 100, 1000),
    "num_steps=range(2,8,3)": (2, 5),
    "title=choice(a,'b,c')": ("a", "b,c"),
    "seed=3,1": (3, 1),
}


@pytest.mark.parametrize("argument", LISTS)
def test_a_list_is_the_same_on_the_line_and_in_a_file(path, tmp_path, argument):
    field, _, text = argument.partition("=")
    sweep = load(path, argument)
    assert column(sweep, field) == LISTS[argument]
    assert [type(value) for value in column(sweep, field)] == list(map(type, LISTS[argument]))
    assert sweep.loaded.value == config.replace(sweep.loaded.value, sweep.points[0])
    file = write(tmp_path, f"sweep: {{{field}: {msgspec.json.encode(text).decode()}}}")
    found = config.load_sweep(file)
    assert (found.space, found.points) == (sweep.space, sweep.points)


@LAWS
@given(st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=2, unique=True), st.integers(2, 40))
def test_the_ends_of_log_and_linear_are_exact(path, ends, count):
    low, high = sorted(ends)
    if high < low * (1 + 1e-9):
        return
    for form, even in (("log", math.log), ("linear", float)):
        values = column(load(path, f"{RATE}={form}({low!r},{high!r},{count})"), RATE)
        assert (values[0], values[-1], len(values)) == (low, high, count)
        steps = [even(b) - even(a) for a, b in itertools.pairwise(values)]
        whole = even(high) - even(low)
        size = max(abs(even(low)), abs(even(high)))
        assert steps == pytest.approx([whole / (count - 1)] * (count - 1), abs=1e-13 * size)


def test_paired_fields_are_one_axis(path, tmp_path):
    pairs = f"zip({RATE}=1e-3,1e-2; model.widths=[64],[128])"
    sweep = load(path, pairs, "seed=0,1")
    assert sweep.swept == (RATE, "model.widths", "seed")
    rows = [(1e-3, (64,), 0), (1e-3, (64,), 1), (1e-2, (128,), 0), (1e-2, (128,), 1)]
    assert [tuple(point.values()) for point in sweep.points] == rows
    for said in ("[[1e-3, [64]], [1e-2, [128]]]", "'zip(1e-3,1e-2; [64],[128])'"):
        file = write(tmp_path, f"sweep:\n  {RATE}, model.widths: {said}\n  seed: [0, 1]")
        assert config.load_sweep(file).space == sweep.space
    formed = load(path, f"zip({RATE}=log(1e-3,1e-1,3); seed=range(3); title='a;b',c,d)")
    assert list(formed.points[1].values()) == pytest.approx([1e-2, 1, "c"])


def test_a_pair_may_choose_and_set_what_the_choice_has(path):
    sweep = load(path, "zip(model=mlp,logistic; seed=0,0)")
    assert column(sweep, "model") == ("mlp", "logistic"), "a column of a pair may repeat"
    load(path, "zip(model=mlp,mlp; model.widths=[1],[2])")
    with pytest.raises(ConfigError, match="with this choice of model"):
        load(path, "zip(model=mlp,logistic; model.widths=[1],[2])")


def test_every_draw_has_every_grid_point(path):
    sweep = load(path, "seed=0,1,2", f"{RATE}=uniform(0.1,1)", "title=a,b", samples=4)
    assert sweep.swept == (RATE, "seed", "title")
    assert len(sweep.points) == 24
    rates = column(sweep, RATE)
    assert all(len(set(rates[i : i + 6])) == 1 for i in range(0, 24, 6))
    assert len(set(rates)) == 4
    grid = [{"seed": seed, "title": title} for seed in (0, 1, 2) for title in "ab"]
    assert list(sweep.space.grid()) == grid
    assert [sweep.points[6 + i] for i in range(6)] == [{RATE: rates[6], **lane} for lane in grid]
    assert sweep.loaded.value.optimizer.learning_rate == rates[0]


def test_choice_is_a_list_where_nothing_is_drawn(path):
    assert column(load(path, "title=choice(a,b)"), "title") == ("a", "b")
    sweep = load(path, "title=choice(a,b)", f"{RATE}=uniform(0.1,1)", samples=3)
    assert not sweep.space.axes
    assert sweep.space.distributions["title"].choices == ("a", "b")


def test_a_drawn_choice_and_a_field_of_it(path):
    sweep = load(
        path,
        "model=choice(mlp,{kind: mlp, widths: [1]})",
        "model.dropout=uniform(0,0.5)",
        samples=8,
    )
    assert {point["model.dropout"] for point in sweep.points} <= {
        config.replace(sweep.loaded.value, point).model.dropout for point in sweep.points
    }
    with pytest.raises(ConfigError, match="with this choice of model"):
        load(path, "model=choice(mlp,logistic)", "model.dropout=uniform(0,0.5)", samples=8)


SPELLED = [
    "seed=0,1,2",
    "num_steps=range(1,4)",
    "tolerance=log(1e-4, 1e-1,3)",
    f"{RATE}=loguniform(1e-4, 1)",
    "clip=uniform(1, 2)",
    "priors.rate=integers(1,9)",
    "title=choice(\"a, b\",'1e-3',no)",
    "schedule=choice(constant,cosine)",
    "zip(model.widths=[64],[128]; layers.0.scale=1,2)",
    "zip(evaluate_every=range(2); limit=null,2)",
    "optimizer.betas=[0.1,0.2],[0.3,0.4]",
    "+priors.other=linear(0,1,3)",
    "search.metrics=[val_accuracy:max]",
    "search.draw=random",
]


@LAWS
@given(st.sets(st.sampled_from(SPELLED), min_size=1, max_size=5), st.integers(0, 8))
def test_what_is_written_loads_back_to_an_equal_sweep(path, arguments, samples):
    drawn = any(kind in text for text in arguments for kind in ("uniform", "integers"))
    discrete = any("choice" in text for text in arguments)
    samples = max(samples, 1) if drawn else min(samples, 2) if discrete else 0
    swept = sorted(argument for argument in arguments if not argument.startswith("search"))
    asked = sorted(set(arguments) - set(swept)) if samples else []
    if not swept:
        return
    file = write(path.parent, "layers: [{scale: 2}]\npriors: {rate: 0.5}")
    sweep = load(file, *swept, *asked, "model.dropout=0.25", samples=samples)
    again = path.parent / "again" / file.name
    again.parent.mkdir(exist_ok=True)
    again.write_text(config.sweep_to_yaml(sweep))
    assert config.load_sweep(again) == sweep


def test_a_sweep_is_written_as_it_was_spelled(path):
    sweep = load(
        path,
        "seed=0,1",
        f"{RATE}=log(1e-4, 1)",
        "zip(title=a,b; num_steps=range(2))",
        "search.stop=halving",
        "search.stop.min_steps=50",
        "search.metrics=[loss:min]",
        samples=2,
    )
    written = yaml12.parse(config.sweep_to_yaml(sweep))
    assert written["sweep"] == {
        RATE: "log(1e-4, 1)",
        "seed": [0, 1],
        "title, num_steps": "zip(a,b; range(2))",
    }
    assert written["search"]["stop"] == {"kind": "halving", "eta": 3, "min_steps": 50}
    assert "search" not in yaml12.parse(config.sweep_to_yaml(load(path, "seed=0,1")))


def test_what_a_choice_leaves_to_its_defaults_is_not_written(path, tmp_path):
    sweep = load(path, "model={kind: mlp, widths: [3]},mlp", "model.dropout=0.1,0.2")
    (tmp_path / path.name).write_text(config.sweep_to_yaml(sweep))
    assert config.load_sweep(tmp_path / path.name) == sweep
    assert sweep.space.spelled()["model"] == [{"kind": "mlp", "widths": [3]}, "mlp"]


def test_the_line_goes_before_the_file(tmp_path):
    file = write(
        tmp_path,
        f"sweep:\n  seed: [0, 1]\n  {RATE}: uniform(0.1,1)\n"
        "search: {num_samples: 2, stop: {kind: median, every: 3}, metrics: ['a:max']}",
    )
    assert len(config.load_sweep(file).points) == 4
    sweep = config.load_sweep(file, ["seed=5,6,7", "search.num_samples=3", "search.stop.every=4"])
    assert len(sweep.points) == 9
    assert (sweep.search.stop.every, sweep.search.num_samples) == (4, 3)
    assert config.load_sweep(file, ["~search.stop"]).search.stop is None
    with pytest.raises(ConfigError, match="mastery sweep"):
        config.load(file)


@pytest.mark.parametrize("name", ["experiment", "sweep", "search"])
def test_a_config_has_no_field_of_a_reserved_name(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"with_{name}.py").write_text(
        "from mastery_jax.workflow.experiment import RunConfig\n"
        f"class Config(RunConfig, frozen=True, kw_only=True):\n    {name}: float = 0.0\n"
        "def build(config, spec): ...\n"
    )
    (tmp_path / "it.yaml").write_text(f"experiment: with_{name}\n")
    with pytest.raises(ConfigError, match=rf"Config has a field {name}.*another name"):
        config.load(tmp_path / "it.yaml")


def test_many_lanes_are_counted_before_one_is_made(path):
    for arguments, count in {
        ("seed=range(100001)",): "100,001",
        ("seed=range(1000000)", f"{RATE}=log(1,2,1000000)"): "1,000,000,000,000",
        (
            "seed=range(1000000000000)",
            f"{RATE}=log(1,2,1000000)",
        ): "more than 1,000,000,000,000,000",
        ("zip(seed=range(1000000000); num_steps=range(1000000000))",): "1,000,000,000",
        (f"{RATE}=uniform(1,2)", "search.num_samples=40000", "seed=0,1,2"): "120,000",
    }.items():
        with pytest.raises(ConfigError, match=f"{count} lanes.*--yes"):
            config.load_sweep(path, arguments)
    said = []
    swept = load(path, "seed=range(100001)", many=True, say=said.append)
    assert len(swept.points) == 100_001
    assert said == ["laying out 100,001 lanes, which takes some 0:03"]


@pytest.mark.parametrize(
    "arguments", [["seed=range(100000)"], ["seed=range(1000)", f"{RATE}=log(1e-4,1,100)"]]
)
def test_a_hundred_thousand_lanes_are_taken(path, arguments):
    assert len(load(path, *arguments).points) == 100_000
