"""What is done with draws on the host: fewer of them, their names, a table, another's format.

A leaf of draws is an array (chain, draw, ...); its numbers are named by index, as ``theta[2]``.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), *Bayesian Analysis* 16, 667 (the
columns of the table); ArviZ: Kumar, Carroll, Hartikainen & Martin (2019), *JOSS* 4, 1143.
"""

import importlib
from typing import Any, NamedTuple

import jax
import numpy as np

from mastery_jax.inference.mcmc import diagnostics

__all__ = ["Row", "as_text", "columns", "summary", "thin", "to_arviz"]

QUANTILES = (0.05, 0.5, 0.95)


class Row(NamedTuple):
    """What is known of one number."""

    mean: float
    sd: float
    mcse: float  # standard error of the mean
    q05: float
    q50: float
    q95: float
    ess_bulk: float
    ess_tail: float
    rhat: float


def thin(draws: Any, every: int) -> Any:
    """Return the last of every so many draws, of a tree of draws. O(S).

    Raises:
        ValueError: every is below 1, or no draw is left.

    Example:
        >>> thin({"x": np.arange(7).reshape(1, 7)}, 3)
        {'x': array([[2, 5]])}
    """
    least = min((np.shape(leaf)[1] for leaf in jax.tree.leaves(draws)), default=0)
    if not 1 <= every <= least:
        raise ValueError(f"trace.thin: every is {every}, not between 1 and the {least} draws")
    return jax.tree.map(lambda x: x[:, every - 1 :: every], draws)


def columns(draws: Any) -> dict[str, Any]:
    """Return the draws of every number by its name, each (chain, draw), in NumPy. O(S).

    Example:
        >>> sorted(columns({"mu": np.zeros((2, 9)), "theta": np.zeros((2, 9, 2))}))
        ['mu', 'theta[0]', 'theta[1]']
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(draws)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/") or "x"
        array = np.asarray(leaf)
        if array.ndim < 2:
            raise ValueError(
                f"trace.columns: {name} has shape {array.shape}, not (chain, draw, ...)"
            )
        for index in np.ndindex(array.shape[2:]):
            suffix = f"[{','.join(map(str, index))}]" if index else ""
            named[name + suffix] = array[(slice(None), slice(None), *index)]
    return named


def summary(draws: Any) -> dict[str, Row]:
    """Return what is known of every number. O(S log S) each.

    Args:
        draws: A tree of draws, at least 4 for each chain; counts and truths are taken as numbers.

    Example:
        >>> import jax
        >>> row = summary({"x": jax.random.normal(jax.random.key(0), (4, 1000))})["x"]
        >>> bool(abs(row.mean) < 4 * row.mcse), bool(row.rhat < 1.01), bool(row.ess_bulk > 3000)
        (True, True, True)
    """
    named = columns(draws)
    if not named:
        return {}
    every = np.stack([*named.values()], axis=-1)
    every = every if np.issubdtype(every.dtype, np.floating) else every.astype(float)
    found = (
        diagnostics.mcse(every),
        diagnostics.ess(every),
        diagnostics.ess(every, kind="tail"),
        diagnostics.rhat(every),
    )
    mcse, bulk, tail, rhat = (np.asarray(x).tolist() for x in found)
    table = {}
    for i, (name, x) in enumerate(named.items()):
        wide = np.asarray(x, float)  # sums of many draws in the widest type of the host
        low, middle, high = np.quantile(wide, QUANTILES).tolist()
        table[name] = Row(
            mean=float(wide.mean()),
            sd=float(wide.std(ddof=1)),
            mcse=mcse[i],
            q05=low,
            q50=middle,
            q95=high,
            ess_bulk=bulk[i],
            ess_tail=tail[i],
            rhat=rhat[i],
        )
    return table


def as_text(table: dict[str, Row]) -> str:
    """Return a summary as lines of text, a name a line.

    Example:
        >>> print(as_text({"x": Row(0.5, 1.0, 0.01, -1.0, 0.5, 2.0, 9000.0, 8000.0, 1.0)}))
        name  mean  sd  mcse  q05  q50  q95  ess_bulk  ess_tail   rhat
           x   0.5   1  0.01   -1  0.5    2      9000      8000  1.000
    """
    lines = [["name", *Row._fields]]
    for name, row in table.items():
        numbers = [f"{x:.4g}" for x in row[:6]] + [f"{x:.0f}" for x in row[6:8]]
        lines.append([name, *numbers, f"{row.rhat:.3f}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True))
        for line in lines
    )


def to_arviz(draws: Any, statistics: dict[str, Any] | None = None) -> Any:
    """Return draws as ArviZ takes them. O(S).

    Args:
        draws: A dict of draws.
        statistics: Of every transition, (chain, draw), by ArviZ's names: ``diverging``, ``energy``.

    Raises:
        ModuleNotFoundError: ArviZ is not installed.
    """
    try:
        arviz = importlib.import_module("arviz")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "trace.to_arviz: the package arviz is not installed; install it to hand draws to it"
        ) from error
    groups = {"posterior": jax.tree.map(np.asarray, draws)}
    if statistics:
        groups["sample_stats"] = jax.tree.map(np.asarray, statistics)
    # From version 1 on it takes the groups as one dict.
    is_one = int(arviz.__version__.partition(".")[0]) >= 1
    return arviz.from_dict(groups) if is_one else arviz.from_dict(**groups)
