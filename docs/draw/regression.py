"""The picture of docs/regression.md."""

import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from docs.draw.common import MUTED, save
from mastery_jax.inference.regression import (
    closed_form,
    markov,
    prior,
    side_by_side,
    variational,
)
from mastery_jax.plots import style
from mastery_jax.workflow import data

ENGINES = {
    "closed form": closed_form.engine,
    "hmc": markov.hmc,
    "nuts": markov.nuts,
    "laplace": variational.laplace,
    "mean field": variational.mean_field,
    "mean field, rotated": partial(variational.mean_field, coordinates="rotated"),
}


def regression_engines(file: pathlib.Path) -> None:
    """Draw the 95 % interval of each weight of diabetes by each engine."""
    found = data.load(data.Regression(source="diabetes"))
    train = found.arrays["train"]
    unit = np.append(1.0, found.arrays["scale"])
    X = jnp.concatenate([jnp.ones((len(train["X"]), 1)), train["X"]], axis=1)
    names = ("intercept", *found.features)
    belief = prior.weakly_informative(X, train["y"])
    key = jax.random.key(0)
    rows = side_by_side.compare(ENGINES, key, X, train["y"], prior=belief, names=names)
    plane = style.axes("weights", "of diabetes by engine, 95 %", x="")
    places = np.arange(len(names) - 1)
    for index, row in enumerate(rows):
        said = [row.estimates[name] for name in names[1:]]
        mean, low, high = (
            np.array([getattr(each, part) for each in said]) * unit[1:]
            for part in ("mean", "low", "high")
        )
        look = style.look(index)
        plane.errorbar(
            places + 0.12 * (index - 2.5),
            mean,
            yerr=(mean - low, high - mean),
            fmt=look.marker,
            color=look.color,
            markersize=3.5,
            linewidth=1.4,
            label=row.name,
        )
    plane.axhline(0, color=MUTED, linewidth=0.8)
    plane.set_xticks(places, names[1:])
    plane.set_ylabel("unit of y per deviation of the column", color=MUTED)
    save(plane, file, note="s1 to s5 are collinear")


PICTURES = (regression_engines,)
