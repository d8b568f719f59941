"""The picture of docs/vi.md."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure

from docs.draw.common import MUTED, squeeze
from mastery_jax.inference.vi import fit, flow_guide, full_rank, mean_field, trust
from mastery_jax.plots import style
from mastery_jax.probability.flows import spline_coupling


def log_density(x):
    """A crescent: the second number follows the square of the first."""
    return -(x[0] ** 2) / 2 - (x[1] - x[0] ** 2 / 2) ** 2 / 0.2


def falling(rate):
    """Return Adam whose rate falls to nothing."""
    return optax.adam(optax.cosine_decay_schedule(rate, 2000))


def crescent_guides(file: pathlib.Path) -> None:
    """Draw a crescent, and draws of three guides that were fitted to it."""
    key, origin, crescent = jax.random.key(0), jnp.zeros(2), Partial(log_density)
    layers = (spline_coupling,)

    def init(key):
        return spline_coupling.init(key, dim=2, widths=(16,), interval=5.0)

    flow = (jax.vmap(init)(jax.random.split(key, 4)),)
    guides = {
        "mean field": (mean_field, mean_field.init(origin)),
        "full rank": (full_rank, full_rank.init(origin)),
        "flow": (flow_guide.Guide(layers), flow_guide.init(origin, flow, scale=1.0)),
    }
    figure = Figure(figsize=(9, 3.2), layout="constrained", dpi=110)
    planes = figure.subplots(1, 3, sharey=True)
    grid = np.stack(np.meshgrid(np.linspace(-4, 4, 161), np.linspace(-2, 6, 161)), axis=-1)
    truth = np.exp(jax.vmap(crescent)(grid.reshape(-1, 2))).reshape(161, 161)
    for plane, (name, (guide, start)) in zip(planes, guides.items(), strict=True):
        asked = {"guide": guide, "log_density": crescent}
        params, _ = fit.fit(key, start, rule=Partial(falling, 0.02), **asked)
        report = trust.assess(key, params, num_draws=4000, **asked)
        keys = jax.random.split(key, 600)
        draws = np.asarray(jax.vmap(lambda k, g=guide, p=params: g.sample(k, p)[0])(keys))
        plane.contour(grid[..., 0], grid[..., 1], truth, levels=5, colors=MUTED, linewidths=0.8)
        plane.plot(*draws.T, ".", color=style.look(0).color, markersize=2)
        plane.set_title(f"{name}: Pareto k = {float(report.pareto_shape):.2f}")
        plane.set_xlim(-4, 4)
        plane.set_ylim(-2, 6)
    figure.savefig(file)
    squeeze(file)


PICTURES = (crescent_guides,)
