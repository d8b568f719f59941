"""Pictures of attributions: a file is written of whatever is finite, and bad shapes are named."""

import numpy as np
import pytest

from mastery_jax.plots import shap

rng = np.random.default_rng(2)
VALUES, X = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
VALUES[3, 1], X[5, 2], VALUES[:, 3] = np.nan, np.nan, 0.0
NAMES = ["a", "b", "c", "d"]


def is_picture(file):
    return file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_pictures_are_drawn(tmp_path):
    file = tmp_path / "new" / "one.png"
    assert is_picture(shap.swarm(VALUES, X, names=NAMES, unit="u", file=file, most=3))
    assert is_picture(shap.dependence(VALUES, X, feature=1, by=2, names=NAMES, unit="u", file=file))
    assert is_picture(shap.dependence(VALUES, X, feature=0, names=NAMES, unit="u", file=file))
    steps = np.array([1.0, -2.0, 0.5, 0.0])
    assert is_picture(shap.waterfall(steps, expected=3.0, names=NAMES, unit="u", file=file, most=2))


def test_points_of_a_swarm_do_not_share_a_place():
    part = np.zeros(31)
    height = shap._spread(part)
    assert len(set(height.tolist())) == 31
    assert abs(height).max() <= 0.41


def test_bad_shapes_are_named(tmp_path):
    file = tmp_path / "one.png"
    with pytest.raises(
        ValueError, match=r"shap.swarm: values have shape \(60, 4\) and X \(60, 3\)"
    ):
        shap.swarm(VALUES, X[:, :3], names=NAMES, unit="u", file=file)
    with pytest.raises(ValueError, match=r"shap.dependence: feature is 4, not 0 to 3"):
        shap.dependence(VALUES, X, feature=4, names=NAMES, unit="u", file=file)
    with pytest.raises(
        ValueError, match=r"shap.waterfall: values have shape \(4,\), not \(4,\) and"
    ):
        shap.waterfall(VALUES[3], expected=0.0, names=NAMES, unit="u", file=file)
    assert not file.exists()
