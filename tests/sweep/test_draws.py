"""Points that are drawn, and the space that a sampler is given instead."""

import math
import warnings

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.workflow import config
from mastery_jax.workflow.errors import ConfigError
from tests.sweep.spaces import RATE, SAMPLER, column, load
from tests.test_config import Mlp

LAWS = settings(derandomize=True, deadline=None, max_examples=40)

FORMS = {
    f"{RATE}=uniform(0.1,0.3)": lambda value: 0.1 <= value <= 0.3,
    "layers.0.scale=loguniform(1e-5,1)": lambda value: 1e-5 <= value <= 1,
    "tolerance=log(1e-5,1)": lambda value: 1e-5 <= value <= 1,
    "num_steps=integers(1,100)": lambda value: type(value) is int and 1 <= value <= 100,
    "clip=integers(1,100)": lambda value: type(value) is float and value in range(1, 101),
    "title=choice(a,b)": lambda value: value in ("a", "b"),
    "model=choice(mlp,{kind: mlp, widths: [1]})": lambda v: v in ("mlp", Mlp(widths=(1,))),
}


@LAWS
@given(
    st.sets(st.sampled_from(list(FORMS)), min_size=1),
    st.sampled_from(["sobol", "random"]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
)
def test_draws_are_distinct_within_bounds_and_extend(path, forms, draw, seed, samples):
    how = ["layers=[{}]", *sorted(forms), f"search.draw={draw}", f"search.seed={seed}"]
    most = math.prod(2 if "choice" in form else 100 for form in forms)
    samples = min(samples, most)
    sweep = load(path, *how, samples=samples)
    points = [msgspec.json.encode(point) for point in sweep.points]
    assert len(set(points)) == len(points) == samples
    for form in forms:
        field = form.partition("=")[0]
        assert all(FORMS[form](value) for value in column(sweep, field))
    assert load(path, *how, samples=samples) == sweep
    fewer = load(path, *how, samples=(samples + 1) // 2)
    assert fewer.points == sweep.points[: len(fewer.points)]


@pytest.mark.parametrize("draw", ["sobol", "random"])
@pytest.mark.parametrize("samples", [1, 3, 100])
def test_drawing_warns_of_nothing_and_a_seed_decides(path, draw, samples):
    how = [f"{RATE}=uniform(0.1,1)", f"search.draw={draw}"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep = load(path, *how, samples=samples)
    assert load(path, *how, "search.seed=1", samples=samples).points != sweep.points


@pytest.mark.parametrize("draw", ["sobol", "random"])
def test_every_point_of_what_is_discrete_can_be_drawn(path, draw):
    how = ["num_steps=integers(1,7)", "title=choice(a,b,c)", "seed=integers(0,4)"]
    sweep = load(path, *how, f"search.draw={draw}", samples=105)
    assert len({tuple(point.values()) for point in sweep.points}) == 105
    with pytest.raises(ConfigError, match=r"105 points.*search.num_samples=106"):
        load(path, *how, samples=106)


def test_sobol_covers_better_than_chance(path):
    values = column(load(path, f"{RATE}=uniform(1,2)", samples=64), RATE)
    assert {int((value - 1) * 64) for value in values} == set(range(64))


def test_a_range_of_two_numbers_gives_two_points(path):
    low, high = 1.0, math.nextafter(1.0, 2)
    assert len(load(path, f"{RATE}=uniform({low},{high!r})", samples=2).points) == 2
    with pytest.raises(ConfigError, match="2 distinct points"):
        load(path, f"{RATE}=uniform({low},{high!r})", samples=3)


def test_a_sampler_gets_the_space_and_no_points(path, tmp_path):
    arguments = [
        "seed=0,1",
        f"{RATE}=loguniform(1e-4,1)",
        "num_steps=integers(1,9)",
        "title=choice(a,b)",
        "layers=[]",
    ]
    sweep = load(path, *arguments, *SAMPLER, samples=16)
    assert sweep.points == ()
    assert sweep.swept == (RATE, "num_steps", "title", "seed")
    kinds = {key: (d.kind, d.low, d.high) for key, d in sweep.space.distributions.items()}
    assert kinds == {
        RATE: ("loguniform", 1e-4, 1.0),
        "num_steps": ("integers", 1, 9),
        "title": ("choice", None, None),
    }
    lanes = config.join(sweep, {"title": "b", "num_steps": 3, RATE: 1})
    assert lanes == tuple(
        {RATE: 1.0, "num_steps": 3, "title": "b", "seed": seed} for seed in (0, 1)
    )
    assert type(lanes[0][RATE]) is float
    (tmp_path / "bare.yaml").write_text(config.sweep_to_yaml(sweep))
    assert config.load_sweep(tmp_path / "bare.yaml") == sweep
    with pytest.raises(ConfigError, match="num_steps must be a whole number"):
        config.join(sweep, {"title": "b", "num_steps": 3.5, RATE: 1})
    with pytest.raises(ConfigError, match="title is not drawn"):
        config.join(sweep, {"num_steps": 3, RATE: 1})


def test_rules_across_fields_hold_in_every_joined_lane(path):
    arguments = ["num_steps=10,20", "save_every=integers(5,24)"]
    sweep = load(path, *arguments, *SAMPLER, samples=16)
    assert len(config.join(sweep, {"save_every": 10})) == 2
    with pytest.raises(ConfigError, match="save_every=11, num_steps=10: save_every must not"):
        config.join(sweep, {"save_every": 11})
    with pytest.raises(ConfigError, match="save_every must not"):
        load(path, *arguments, samples=20)
