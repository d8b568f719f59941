"""The picture of the quadrature page."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, add, save
from mastery_jax.numerics.quadrature import gauss_kronrod, gauss_legendre, newton_cotes
from mastery_jax.plots import style

CENTERS, WIDTHS = np.array([0.3, 0.72]), np.array([0.002, 0.02])


def peaks(x: jax.Array) -> jax.Array:
    """Return two Lorentzian peaks."""
    return (WIDTHS / ((x - CENTERS) ** 2 + WIDTHS**2)).sum()


def kronrod_intervals(file: pathlib.Path) -> None:
    """Draw the error of each rule by its number of evaluations, and where the intervals ended."""
    exact = (np.arctan((1 - CENTERS) / WIDTHS) + np.arctan(CENTERS / WIDTHS)).sum()
    fn = Partial(peaks)
    sizes = [21, 42, 84, 168, 336, 672, 1344]
    with jax.enable_x64(True):
        errors: dict[str, list[tuple[int, float]]] = {}
        for count in sizes:
            for name, (estimate, bound) in {
                "Simpson": newton_cotes.integrate(fn, 0.0, 1.0, num_intervals=count // 4 * 4),
                "Gauss-Legendre": gauss_legendre.integrate(fn, 0.0, 1.0, num_nodes=count),
            }.items():
                errors.setdefault(name, []).append(
                    (int(bound.num_evals), abs(float(estimate) - exact))
                )
        for count in range(2, 34, 3):
            estimate, bound = gauss_kronrod.integrate(fn, 0.0, 1.0, rtol=1e-15, max_intervals=count)
            point = int(bound.num_evals), abs(float(estimate) - exact)
            errors.setdefault("adaptive Gauss-Kronrod", []).append(point)
        settings = (64, 21)
        limits = (jnp.zeros(0), jnp.asarray(1.0), jnp.asarray(1e-12), jnp.asarray(0.0))
        found, _, _ = gauss_kronrod.search(settings, True, fn, jnp.zeros(()), jnp.ones(()), limits)
    edges = np.sort(np.asarray(found.left[: int(found.num_intervals)]))
    plane = style.axes("error", "of two narrow peaks", x="evaluations")
    for name, points in errors.items():
        add(plane, *zip(*points, strict=True), name)
    plane.set_xscale("log")
    plane.set_yscale("log")
    plane.set_ylabel("absolute error", color=MUTED)
    inset = plane.inset_axes((0.06, 0.08, 0.42, 0.34))
    x = np.linspace(0, 1, 4000)
    y = (WIDTHS / ((x[:, None] - CENTERS) ** 2 + WIDTHS**2)).sum(axis=1)
    inset.plot(x, y, color=style.look(2).color, linewidth=1.2)
    inset.plot(edges, np.full(len(edges), 0.3), "|", color=MUTED, markersize=9)
    inset.set_yscale("log")
    inset.set_title("where its intervals begin", fontsize=8, color=MUTED)
    inset.tick_params(labelsize=7, colors=MUTED)
    save(plane, file, note=f"float64; {len(edges)} intervals at rtol 1e-12")


PICTURES = (kronrod_intervals,)
