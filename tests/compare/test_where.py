"""Which runs and lanes are compared: conditions, and the words in which they are refused."""

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastery_jax.workflow.compare import where
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.errors import RunError


def member(label, state="done", metrics=None, **fields):
    return Member(label, state, {"config": "digits", "run": label} | fields, metrics or {}, None)


MEMBERS = [
    member("a", **{"model.kind": "mlp", "rate": 1e-3, "seed": 0}, metrics={"acc": 0.5}),
    member("b", **{"model.kind": "cnn", "rate": 1e-2, "seed": 1}, metrics={"acc": 0.75}),
    member("c", "failed", **{"model.kind": "mlp", "rate": 1, "seed": 2, "widths": (8, 8)}),
    member("d", "stopped", rate=None, seed=3, fast=True, metrics={"acc": math.nan}),
]


def kept(*texts):
    return "".join(m.label for m in where.keep(MEMBERS, [where.condition(t) for t in texts]))


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        ([], "abcd"),
        (["rate>1e-3"], "bc"),
        (["rate >= 1e-3", "model.kind = mlp"], "ac"),
        (["rate<=0.01"], "ab"),
        (["rate==1"], "c"),
        (["rate==1.0"], "c"),
        (["model.kind!=mlp"], "bd"),
        (["seed in 0,2"], "ac"),
        (["seed in [1, 3]"], "bd"),
        (["model.kind in cnn, gnn"], "b"),
        (["widths=[8, 8]"], "c"),
        (["widths in [8, 8]"], "c"),
        (["widths=null"], "abd"),
        (["model.kind="], "d"),
        (["fast=true"], "d"),
        (["fast!=1"], "abcd"),
        (["acc<0.7"], "a"),
        (["acc!=0.5"], "bcd"),
        (["state=stopped"], "d"),
        (["state in done,failed"], "abc"),
        (["config=digits", "run!=a"], "bcd"),
    ],
    ids=str,
)
def test_what_is_kept(texts, labels):
    assert kept(*texts) == labels


numbers = st.floats(-3, 3).map(lambda x: round(x, 1))
SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@given(st.lists(numbers, min_size=1, max_size=6), numbers, st.sampled_from(sorted(SIGNS)))
def test_numbers_are_held_as_python_holds_them(values, bound, sign):
    found = [member(str(i), rate=x) for i, x in enumerate(values)]
    wanted = [str(i) for i, x in enumerate(values) if SIGNS[sign](x, bound)]
    asked = [where.condition(f"rate{sign}{bound}")]
    if wanted:
        assert [m.label for m in where.keep(found, asked)] == wanted
    else:
        with pytest.raises(RunError, match="nothing is left to compare"):
            where.keep(found, asked)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["rat>1"], "rat is not a field or a metric of these runs; did you mean rate?"),
        (["model.kind<mlp"], '--where model.kind<mlp: "mlp" is no number, and < needs one'),
        (["model.kind<3"], '--where model.kind<3: model.kind is no number but "mlp" or the like'),
        (["fast>0"], "--where fast>0: fast is no number but true or the like"),
        (["rate"], "--where rate: write FIELD=VALUE, or one of"),
        (["rate in"], "--where rate in: write FIELD=VALUE, or one of"),
        (["rate=[1"], "--where rate=[1: "),
        (["seed=9", "rate>0"], "nothing is left to compare: seed=9 and rate>0 holds for none of 4"),
    ],
    ids=str,
)
def test_what_is_refused_is_one_sentence(texts, message):
    with pytest.raises(RunError) as error:
        kept(*texts)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_stopped_lanes_are_asked_for_by_name():
    for text, asked in (("state=stopped", True), ("state in done,stopped", True),
                        ("state!=failed", False), ("rate=stopped", False)):  # fmt: skip
        assert where.names_stopped([where.condition(text)]) == asked


def test_of_nothing_nothing_is_kept():
    assert where.keep([], [where.condition("anything=1")]) == []
