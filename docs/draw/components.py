"""The drawing of the page on components: the digits on a map."""

import pathlib

import jax.numpy as jnp
import numpy as np

from docs.draw.common import save
from mastery_jax.learning.components import tsne
from mastery_jax.plots import style
from mastery_jax.workflow import bundled, columns


def digits_map(file: pathlib.Path) -> None:
    """Draw every digit where its neighbors are, by its class."""
    table = bundled.read("digits")
    pixels = np.stack([column for name, column in table.columns.items() if name != table.target])
    labels, classes = columns.labels(table, table.target)
    state, info = tsne.fit(jnp.asarray(pixels.T, jnp.float32))
    plane = style.axes("map", f"1,797 digits, KL {info.divergence:.3f} nats", x="no unit")
    for code, name in enumerate(classes):
        x, y = np.asarray(state.embedding)[labels == code].T
        color = f"C{code}"  # ten classes, ten colors
        plane.plot(x, y, linestyle="", marker="o", markersize=2, color=color)
        plane.annotate(
            name, (np.median(x), np.median(y)), ha="center", va="center", fontsize=14, weight="bold"
        )
    plane.set_ylabel("no unit")
    plane.set_aspect("equal")
    save(plane, file)


PICTURES = (digits_map,)
