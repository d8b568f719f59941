"""Pictures of comparability: a love plot of covariates, and the arms' scores against each other.

Source: Thomas Love (2004), as Austin (2009), *Stat. Med.* 28(25), draws it (figure 1).
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from mastery_jax.plots import style

__all__ = ["love", "overlap"]

_GRAY = "#9aa0a6"


def love(
    names: Sequence[str], before: Any, after: Any, *, file: str | pathlib.Path
) -> pathlib.Path:
    """Draw each covariate's standardized difference, before and after, into a PNG.

    Args:
        names: Of the covariates.
        before: One difference for each, in standard deviations, as ``smd_before`` of
            ``inference.causal.balance.measure``; what is not finite is left out.
        after: The same under weights, as its ``smd_after``.
        file: Where to write.

    Returns:
        Where it was written.

    Raises:
        ValueError: the three do not have one length.
    """
    import numpy as np

    if not len(names) == len(before) == len(after):
        raise ValueError(
            f"causal.love: {len(names)} names, {len(before)} before and {len(after)} after"
        )
    first, last = (np.abs(np.asarray(values, float)) for values in (before, after))
    order = np.argsort(np.where(style.is_drawable(first), first, -1))
    plane = style.axes("balance", "of the covariates", x="|standardized mean difference|")
    rows = np.arange(len(names))
    for index, (label, values) in enumerate({"before": first, "after": last}.items()):
        look = style.look(1 - index)
        drawn = np.where(style.is_drawable(values), values, np.nan)[order]
        plane.plot(drawn, rows, look.marker, color=look.color, markersize=6, label=label)
    plane.axvline(0.1, color=_GRAY, linewidth=1.2, linestyle="--")
    plane.set_yticks(rows, [names[index] for index in order])
    plane.set_ylabel("")
    plane.set_xlim(left=0)
    return style.save(plane, file, note="dashed: 0.1")


def overlap(
    edges: Any,
    control: Any,
    treated: Any,
    *,
    file: str | pathlib.Path,
) -> pathlib.Path:
    """Draw the histograms of both arms' scores into a PNG, the control's downwards.

    Args:
        edges: Of the bins, as ``inference.causal.balance.overlap`` returns them.
        control: Share of the arm in each bin.
        treated: The same.
        file: Where to write.

    Returns:
        Where it was written.

    Raises:
        ValueError: the shares do not fit the edges.
    """
    import numpy as np

    if not len(edges) == len(control) + 1 == len(treated) + 1:
        raise ValueError(
            f"causal.overlap: {len(edges)} edges for {len(control)} and {len(treated)} shares"
        )
    plane: Any = style.axes("overlap", "of the arms", x="probability of treatment")
    left, width = np.asarray(edges, float)[:-1], np.diff(np.asarray(edges, float))
    shares = {"treated": np.asarray(treated, float), "control": -np.asarray(control, float)}
    for index, (name, heights) in enumerate(shares.items()):
        color = style.look(index).color
        plane.bar(left, heights, width, align="edge", color=color, alpha=0.75, label=name)
    plane.axhline(0, color=_GRAY, linewidth=1.0)
    plane.set_ylabel("share of the arm in a bin")
    plane.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    return style.save(plane, file)
