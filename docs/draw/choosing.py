"""The picture of choosing.md: six integrands, and what the chooser makes of each."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, squeeze
from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_kronrod
from mastery_jax.numerics.quadrature.choosing import chooser, features
from mastery_jax.plots import style

RTOL = 1e-8
SHOWN = {
    "exp(x) cos(12x)": lambda x: jnp.exp(x) * jnp.cos(12 * x),
    "exp(sin(2πx))": lambda x: jnp.exp(jnp.sin(2 * jnp.pi * x)),
    "1 / (1 + 400 (x − 0.4)²)": lambda x: 1 / (1 + 400 * (x - 0.4) ** 2),
    "a jump and a kink": lambda x: jnp.where(x > 0.3, 1.0, 0.0) + jnp.abs(x - 0.7),
    "two narrow peaks": lambda x: (
        jnp.exp(-0.5 * ((x - 0.25) / 0.002) ** 2) + jnp.exp(-0.5 * ((x - 0.7) / 0.002) ** 2) / 2
    ),
    "1 / √x": lambda x: 1 / jnp.sqrt(x),
}
NAMES = {
    "gauss_legendre": "Gauss-Legendre",
    "trapezoid": "trapezoid",
    "gauss_kronrod": "Gauss-Kronrod",
}


def method_choices(file: pathlib.Path) -> None:
    """Draw each integrand, the places that were found, and the method with its cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    planes = figure.subplots(2, 3).reshape(-1)
    spent = 0
    with jax.enable_x64(True):
        for plane, (title, form) in zip(planes, SHOWN.items(), strict=True):
            spent = _panel(plane, title, Partial(form))
    figure.suptitle(
        f"six integrands, to {RTOL:.0e}: the method that is chosen; choosing takes {spent} calls",
        x=0.01, ha="left", fontsize=11, weight="bold",
    )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    squeeze(file)


def _panel(plane: Any, title: str, fn: Partial) -> int:
    """Draw one integrand; return the calls that choosing took."""
    estimate, bound, choice = chooser.evaluate(fn, 0.0, 1.0, rtol=RTOL)
    other, alone = gauss_kronrod.integrate(fn, 0.0, 1.0, rtol=RTOL)
    _, marks = features.measure(fn, 0.0, 1.0)
    x = np.unique(np.concatenate([np.linspace(0.002, 1, 1200), *map(_near, marks[:3])]))
    y = np.asarray(jax.vmap(fn)(jnp.asarray(x)))
    blue, red, green = (style.look(i).color for i in range(3))
    plane.plot(x, y, color=blue, linewidth=1.5)
    found = {float(place) for place in np.concatenate([marks.jumps, marks.kinks])}
    for places, color, name in (
        (marks.jumps, red, "jump"),
        (marks.kinks, green, "kink"),
        (sorted({*choice.options.get("breakpoints", ())} - found), MUTED, ""),
    ):
        for place in np.asarray(places):
            if np.isfinite(place):
                plane.axvline(place, color=color, linewidth=1.3, linestyle=(0, (3, 2)), zorder=0)
            if np.isfinite(place) and name:
                plane.annotate(
                    f" {name} at {place:.3g}", (place, 0.03),
                    xycoords=("data", "axes fraction"), fontsize=7.5, color=color,
                )  # fmt: skip
    apart = abs(float(other / estimate) - 1)
    search = f"{int(alone.num_evals)} calls"
    if apart > RTOL and Status(int(alone.status)) is Status.CONVERGED:
        search += f", wrong by {apart:.0%}"
    plane.set_title(title, loc="left", fontsize=9.5)
    plane.set_xlabel(
        f"{NAMES[choice.method]}: {int(bound.num_evals)} calls\nsearch alone: {search}",
        fontsize=9, color="black", loc="left",
    )  # fmt: skip
    plane.spines[["top", "right"]].set_visible(False)
    plane.spines[["left", "bottom"]].set_color(MUTED)
    plane.tick_params(labelsize=7.5, colors=MUTED)
    plane.grid(visible=True, color="#e4e6e9", linewidth=0.7)
    plane.set_axisbelow(True)
    plane.margins(x=0.02)
    return choice.num_evals


def _near(places: Any) -> Any:
    """Return points beside places, so that what is narrow is drawn."""
    found = np.asarray(places)
    around = found[np.isfinite(found)][:, None] + np.linspace(-0.01, 0.01, 201)[None]
    return around.reshape(-1).clip(0.002, 1)


PICTURES = (method_choices,)
