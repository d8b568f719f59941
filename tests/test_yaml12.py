"""YAML 1.2: what is written is read, and plain words mean what they say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.workflow import yaml12

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(PLAIN)
def test_yaml_reads_what_it_writes(value):
    assert yaml12.parse(yaml12.dump(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("010", 10),
        ("0o10", 8),
        ("0x1f", 31),
        ("+3", 3),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("~", None),
        ("2020-01-01", "2020-01-01"),
        ("-", [None]),
    ],
)
def test_words_of_yaml_1_2(text, value):
    read = yaml12.parse(text)
    assert (read, type(read)) == (value, type(value))
