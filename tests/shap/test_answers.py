"""Both kinds of TreeSHAP beside the model's own answers, and where there are none."""

import jax
import numpy as np
import pytest

from mastery_jax.learning.trees import ensemble
from mastery_jax.trust.shap import paths, tree_interventional, tree_path_dependent
from tests.shap import exact

X, BACKGROUND = exact.rows(1), exact.rows(2, n=9)


def double(fn, *args, **hyper):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, fn(*args, **hyper))


def made():
    with jax.enable_x64(True):
        return exact.random_trees(0)


def prepare(trees):
    with jax.enable_x64(True):
        return paths.prepare(trees)


def test_rows_narrower_than_the_trees_are_no_answer():
    """The last condition asks for feature 4; what fills up a group asks for none."""
    trees = made()
    prepared = prepare(trees)
    assert max(group.feature.max() for group in prepared.groups) == 4
    narrow = X[:, :4]
    assert np.isnan(double(ensemble.evaluate, trees, narrow)).all()
    assert np.isnan(double(tree_path_dependent.interactions, prepared, narrow)).all()
    for explain, more in (
        (tree_path_dependent.explain, ()),
        (tree_interventional.explain, (BACKGROUND[:, :4],)),
    ):
        found, info = double(explain, prepared, narrow, *more)
        assert np.isnan(found.values).all()
        assert np.isnan(info.gap).all()
    with pytest.raises(ValueError, match=r"tree_interventional.explain: background is"):
        double(tree_interventional.explain, prepared, X, BACKGROUND[:, :4])


def test_the_gap_is_measured_against_the_model():
    """A bias that was forgotten, and a tree that was lost, are seen."""
    trees, bias = made(), np.array([100.0, 0.5])
    answers = double(ensemble.evaluate, trees, X) + bias
    lost = ensemble.Trees(*(np.asarray(field)[1:] for field in trees))
    off = answers - double(ensemble.evaluate, lost, X) - bias
    for explain, more in (
        (tree_path_dependent.explain, ()),
        (tree_interventional.explain, (BACKGROUND,)),
    ):

        def gap(trees, explain=explain, more=more, **given):
            return double(explain, prepare(trees), X, *more, **given)[1].gap

        assert gap(trees, bias=bias, answers=answers).max() < 1e-12
        assert gap(trees).max() < 1e-12  # nothing to be measured against but the paths
        np.testing.assert_allclose(gap(trees, answers=answers), 100, rtol=1e-12)
        wanted = np.abs(off).max(axis=1)
        np.testing.assert_allclose(gap(lost, bias=bias, answers=answers), wanted, atol=1e-12)


def test_outputs_that_the_trees_have_not_are_named():
    prepared = prepare(made())
    with pytest.raises(ValueError, match=r"explain: bias is float64\[1\], not of 2 outputs"):
        double(tree_path_dependent.explain, prepared, X, bias=np.zeros(1))
    with pytest.raises(ValueError, match=r"explain: answers is float64\[7,1\], not of 2 outputs"):
        double(tree_interventional.explain, prepared, X, X, answers=np.zeros((7, 1)))
