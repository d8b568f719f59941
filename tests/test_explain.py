"""The slopes of a prediction, published as one more method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.workflow.artifact import load
from mastery_jax.workflow.errors import ArtifactError
from tests.published import ROWS, proba, put

ROW = {"features": ROWS["features"][:4]}


def finite_differences(value, features, step=1e-2):
    """Return the slopes of ``value`` in double from its definition."""
    slopes = np.zeros_like(features, np.float64)
    for column in range(features.shape[1]):
        up, down = features.copy(), features.copy()
        up[:, column] += step
        down[:, column] -= step
        slopes[:, column] = (value(up) - value(down)) / (2 * step)
    return slopes


def test_the_slopes_of_a_classifier(tmp_path):
    model = load(put(tmp_path, {"predict_proba": proba}, with_slopes=True))
    assert list(model.manifest.methods) == ["predict_proba", "explain"]
    answer = model.call("explain", ROW)
    predicted = model.call("predict_proba", ROW)
    codes = predicted["predictions"]
    np.testing.assert_array_equal(answer["predictions"], codes)
    np.testing.assert_allclose(answer["value"], predicted["probabilities"].max(1), rtol=1e-6)

    def value(features):
        probabilities = model.call("predict_proba", {"features": features})["probabilities"]
        return probabilities[np.arange(len(codes)), codes].astype(np.float64)

    expected = finite_differences(value, ROW["features"])
    np.testing.assert_allclose(answer["gradients"], expected, rtol=2e-2, atol=1e-3)


def test_the_slopes_of_a_regression(tmp_path):
    def predict(state, x):
        return {"predictions": (x["features"] ** 2).sum(1)}

    model = load(put(tmp_path, {"predict": predict}, with_slopes=True, classes=()))
    answer = model.call("explain", ROW)
    np.testing.assert_allclose(answer["gradients"], 2 * ROW["features"], rtol=1e-6)
    np.testing.assert_allclose(answer["value"], (ROW["features"] ** 2).sum(1), rtol=1e-6)


def steps(state, x):
    return {"predictions": jnp.floor(x["features"][:, 0])}


def loops(state, x):
    def halve(y):
        return jax.lax.while_loop(lambda y: y.max() > 1, lambda y: y / 2, y)

    return {"predictions": jax.vmap(halve)(x["features"])[:, 0]}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"predict": steps}, "predict has slope 0 at every example row, as trees do"),
        ({"predict": loops}, "predict has no derivatives: ValueError: Reverse-mode"),
        ({"embed": proba}, r"explain wants predict\(features\), and has embed"),
        ({"predict": proba, "explain": proba}, "there is a method explain already"),
    ],
)
def test_what_has_no_slopes(tmp_path, methods, message):
    with pytest.raises(ArtifactError, match=message):
        put(tmp_path / "models", methods, with_slopes=True, classes=())
    assert not list(tmp_path.iterdir()), "nothing is left behind"
