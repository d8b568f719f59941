"""The picture of bayesopt.md: a search of one variable, step by step."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from docs.draw.common import MUTED, squeeze
from mastery_jax.inference.bayesopt import acquisition, one_point, surrogate
from mastery_jax.plots import style
from mastery_jax.probability.gaussian_process import gp_regression

SHOWN = (3, 5, 8)  # numbers of points told


def hills(x: jax.Array) -> jax.Array:
    """Return a function with two valleys, the right one deeper."""
    return jnp.sin(3 * x) + 0.3 * (x - 2.2) ** 2 - jnp.exp(-8 * (x - 3.2) ** 2)


def gp_bayesopt(file: pathlib.Path) -> None:
    """Draw what is believed, what was told, and where log EI asks next, at three steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    planes = figure.subplots(2, 3, sharex=True, sharey="row", height_ratios=(2.2, 1))
    with jax.enable_x64(True):
        state = surrogate.init(jnp.zeros(1), jnp.full(1, 4.5), capacity=max(SHOWN))
        for x in (0.3, 1.9, 4.2):
            state = surrogate.tell(state, jnp.array([x]), hills(jnp.array(x)))
        for key in jax.random.split(jax.random.key(0), max(SHOWN) + 1 - min(SHOWN)):
            x, info = one_point.ask(key, state)
            if int(state.num_told) in SHOWN:
                _step(planes[:, SHOWN.index(int(state.num_told))], state, x, info)
            state = surrogate.tell(state, x, hills(x[0]))
    named = planes[0, 0].get_legend_handles_labels()
    figure.legend(*named, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    planes[0, 0].set_ylabel("f", color=MUTED)
    planes[1, 0].set_ylabel("log EI", color=MUTED)
    planes[1, 0].set_ylim(-26, 2)
    figure.savefig(file, dpi=110)
    squeeze(file)


def _step(planes: Any, state: surrogate.State, x: jax.Array, info: one_point.Info) -> None:
    """Draw one step: the posterior above, the acquisition below."""
    above, below = planes
    count, model = int(state.num_told), info.model
    Z = jnp.linspace(0.0, 1.0, 400)[:, None]
    mean, variance = gp_regression.predict(model.objective, Z)
    worth = acquisition.log_expected_improvement(mean, variance, model.best)
    # Outputs are at mean 0 and variance 1 in the model; back to the unit of f here.
    told, points = np.asarray(state.y[:count]), np.asarray(state.X[:count, 0])
    mean = told.mean() + told.std() * np.asarray(mean)
    band = 2 * told.std() * np.sqrt(np.maximum(np.asarray(variance), 0))
    grid = np.asarray(surrogate.to_box(state, Z))[:, 0]
    color, other = style.look(0).color, style.look(1).color
    above.fill_between(grid, mean - band, mean + band, color=color, alpha=0.18, linewidth=0)
    above.plot(grid, mean, color=color, label="posterior mean ± 2 std")
    above.plot(grid, hills(jnp.asarray(grid)), "--", color=MUTED, linewidth=1, label="f")
    above.plot(points, told, "o", color="#202124", markersize=4.5, label="told")
    above.set_title(f"{count} values told", loc="left", fontsize=10, weight="bold")
    below.plot(grid, np.maximum(np.asarray(worth), -60), color=other)
    below.set_xlabel("x", color=MUTED)
    for plane in planes:
        plane.axvline(float(x[0]), color=other, linestyle=":", linewidth=1.6, label="asked next")
        plane.spines[["top", "right"]].set_visible(False)
        plane.spines[["left", "bottom"]].set_color(MUTED)
        plane.tick_params(colors=MUTED, labelsize=8)


PICTURES = (gp_bayesopt,)
