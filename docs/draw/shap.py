"""The drawings of the page on attributions: a boosted model of the progress of diabetes."""

import functools
import pathlib
from typing import Any, NamedTuple

from sklearn.ensemble import GradientBoostingRegressor

from docs.draw.common import squeeze
from mastery_jax.learning.trees import imported
from mastery_jax.plots import shap
from mastery_jax.trust.shap import paths, tree_path_dependent
from mastery_jax.workflow import data

UNIT = "progress in a year, points"


class Told(NamedTuple):
    """What the page explains."""

    explained: Any
    X: Any
    names: tuple[str, ...]


@functools.cache
def told() -> Told:
    """Return the attributions of the page."""
    found = data.load(data.Regression(source="diabetes"))
    X, y = found.arrays["train"]["X"], found.arrays["train"]["y"]
    model = imported.from_sklearn(
        GradientBoostingRegressor(n_estimators=60, max_depth=3, random_state=0).fit(X, y)
    )
    explained, _ = tree_path_dependent.explain(paths.prepare(model.trees), X, bias=model.bias)
    return Told(explained, X, tuple(found.features))


def shap_swarm(file: pathlib.Path) -> None:
    """Draw what every feature adds to every answer."""
    explained, X, names = told()
    squeeze(shap.swarm(explained.values[:, :, 0], X, names=names, unit=UNIT, file=file))


def shap_waterfall(file: pathlib.Path) -> None:
    """Draw the steps to the first answer."""
    explained, X, names = told()
    given = [f"{name} = {value:.4g}" for name, value in zip(names, X[0], strict=True)]
    steps, start = explained.values[0, :, 0], float(explained.expected[0])
    squeeze(shap.waterfall(steps, expected=start, names=given, unit=UNIT, file=file))


def shap_dependence(file: pathlib.Path) -> None:
    """Draw what the body mass index adds, by blood pressure."""
    explained, X, names = told()
    bmi, pressure = names.index("bmi"), names.index("bp")
    parts = explained.values[:, :, 0]
    squeeze(shap.dependence(parts, X, feature=bmi, by=pressure, names=names, unit=UNIT, file=file))


PICTURES = (shap_swarm, shap_waterfall, shap_dependence)
