"""The love plot and the overlap: the right numbers at the right places."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.inference.causal import balance
from mastery_jax.plots import causal, style


@pytest.fixture
def plane(monkeypatch):
    """Return what was drawn; the PNG is written too."""
    kept = []
    save = style.save

    def keep(plane, file, **options):
        kept.append(plane)
        return save(plane, file, **options)

    monkeypatch.setattr(style, "save", keep)
    return kept


def test_covariates_are_sorted_by_what_was_unbalanced(plane, tmp_path):
    file = causal.love(
        ["age", "sex", "dose"], [0.1, -0.5, math.nan], [0.02, 0.01, 0.03], file=tmp_path / "a.png"
    )
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    (drawn,) = plane
    before, after = drawn.lines[:2]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["dose", "age", "sex"]
    np.testing.assert_array_equal(before.get_xdata(), [math.nan, 0.1, 0.5])
    np.testing.assert_array_equal(after.get_xdata(), [0.03, 0.02, 0.01])


def test_a_table_of_balance_and_a_name_are_enough(plane, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, treatment = jnp.array([[0.0], [1.0], [1.0], [4.0]]), jnp.array([0, 0, 1, 1])
    found = balance.measure(x, treatment, jnp.ones(4))
    file = causal.love(["age"], found.smd_before, found.smd_after, file="love.png")
    assert (tmp_path / file).stat().st_size
    np.testing.assert_allclose(plane[0].lines[0].get_xdata(), found.smd_before)


def test_arms_are_drawn_on_either_side(plane, tmp_path):
    causal.overlap([0, 0.5, 1], [0.75, 0.25], [0.4, 0.6], file=tmp_path / "b.png")
    heights = [bar.get_height() for bar in plane[0].patches]
    np.testing.assert_array_equal(heights, [0.4, 0.6, -0.75, -0.25])


def test_lengths_that_disagree_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^causal.love: 1 names, 2 before and 1 after"):
        causal.love(["age"], [0.1, 0.2], [0.0], file=tmp_path / "c.png")
    with pytest.raises(ValueError, match=r"^causal.overlap: 2 edges for 2 and 1 shares"):
        causal.overlap([0, 1], [0.5, 0.5], [1.0], file=tmp_path / "d.png")
