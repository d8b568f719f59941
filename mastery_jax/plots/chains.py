"""Draws of Markov chains: over time, as ranks among each other, and two quantities at once.

Source: rank plots: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), *Bayesian Analysis* 16,
667, section 4.2.
"""

import pathlib
from typing import Any

from mastery_jax.plots import style

__all__ = ["pair", "rank", "trace"]

_MOST = 4000  # points that are drawn one by one


def trace(draws: Any, *, name: str, file: str | pathlib.Path) -> pathlib.Path:
    """Draw every chain over its transitions into a PNG.

    Args:
        draws: (chain, draw). What is not finite is a gap.
        name: Of the quantity.
        file: Where to write.

    Returns:
        Where it was written.

    Raises:
        ValueError: the draws are not of that shape.
    """
    table = _table("trace", draws)
    plane = style.axes(name, "over draws", x="draw")
    for index, row in enumerate(table):
        color = style.look(index).color
        plane.plot(range(len(row)), row, color=color, linewidth=0.8, alpha=0.8)
    return style.save(plane, file, note=f"{len(table)} chains")


def rank(draws: Any, *, name: str, file: str | pathlib.Path, num_bins: int = 20) -> pathlib.Path:
    """Draw how the ranks of each chain among all draws are spread into a PNG.

    Chains that agree have as many draws of every rank, within the band, which a count of
    independent draws leaves once in twenty bins.

    Args:
        draws: (chain, draw), all finite. Equal draws share the mean of their ranks.
        name: Of the quantity.
        file: Where to write.
        num_bins: At least 2, at most the number of draws of a chain.

    Returns:
        Where it was written.

    Raises:
        ValueError: the draws are not of that shape or not finite, or do not fill the bins.
    """
    import numpy as np

    table = _table("rank", draws)
    if np.isnan(table).any():
        raise ValueError("chains.rank: draws are not all finite; a rank needs an order")
    if not 2 <= num_bins <= table.shape[1]:
        raise ValueError(
            f"chains.rank: num_bins is {num_bins}, not between 2 and the {table.shape[1]} draws"
        )
    in_order = np.sort(table, axis=None)
    first, last = (np.searchsorted(in_order, table, side) for side in ("left", "right"))
    places = (first + last) / 2 / table.size  # in (0, 1)
    edges = np.linspace(0, 1, num_bins + 1)
    plane = style.axes("draws", f"of {name}, by rank among all chains", x="rank, as a part of all")
    even = table.shape[1] / num_bins
    reach = 1.96 * np.sqrt(even * (1 - 1 / num_bins))
    plane.axhspan(max(even - reach, 0), even + reach, color="#e4e6e9", lw=0)
    for index, row in enumerate(places):
        look = style.look(index)
        counts = np.histogram(row, edges)[0]
        plane.stairs(
            counts, edges, color=look.color, linestyle=look.linestyle, label=f"chain {index + 1}"
        )
    plane.set_ylim(bottom=0)
    return style.save(plane, file, note="band: 95 % of counts, were draws independent")


def pair(
    first: Any,
    second: Any,
    *,
    names: tuple[str, str],
    file: str | pathlib.Path,
    is_divergent: Any = None,
) -> pathlib.Path:
    """Draw two quantities against each other, and where chains diverged, into a PNG.

    Args:
        first: (chain, draw), to the right.
        second: (chain, draw), upwards. Of more than 4000 draws, evenly chosen ones are shown; of
            the divergent ones all. What is not finite is left out.
        names: Of both.
        file: Where to write.
        is_divergent: (chain, draw), where the transition to a draw was a divergence.

    Returns:
        Where it was written.

    Raises:
        ValueError: the arrays are not of one shape (chain, draw).
    """
    import numpy as np

    x, y = (_table("pair", each) for each in (first, second))
    marks = np.zeros(x.shape, bool) if is_divergent is None else np.asarray(is_divergent, bool)
    if not x.shape == y.shape == marks.shape:
        raise ValueError(f"chains.pair: shapes {x.shape}, {y.shape} and {marks.shape} differ")
    plane = style.axes(names[1], f"against {names[0]}", x=names[0])
    plain = np.stack([x[~marks], y[~marks]])[:, :: max(1, -(-x.size // _MOST))]
    plane.plot(*plain, ".", color=style.look(0).color, markersize=3, alpha=0.4)
    if marks.any():
        label = f"{marks.sum()} divergent"
        plane.plot(x[marks], y[marks], "x", color=style.look(1).color, markersize=5, label=label)
    return style.save(plane, file)


def _table(where: str, draws: Any) -> Any:
    """Return draws as a table of numbers that can be drawn; others are NaN."""
    import numpy as np

    table = np.asarray(draws, float)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"chains.{where}: draws have shape {table.shape}, not (chain, draw)")
    return np.where(style.is_drawable(table), table, np.nan)
