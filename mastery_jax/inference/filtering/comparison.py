"""Several filters on one series, side by side.

    rmse = √(mean over t of (m_t − x_t)²)     of each component of the state
    coverage = share of all t and components with |m_t − x_t| ≤ 1.96 √P_t

A filter whose covariances are right covers 95 %; less says that it is too sure of itself.

Source: Bar-Shalom, Li & Kirubarajan (2001), *Estimation with Applications to Tracking and
Navigation*, section 5.4 (consistency of estimators).
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import factored, information

__all__ = ["Row", "compare", "table"]

HALF_WIDTH = 1.959964  # of the 95 % band of a normal variable, in standard deviations


class Row(NamedTuple):
    """How one filter did."""

    name: str
    rmse: tuple[float, ...] | None  # of each component of the state, u; None without true states
    coverage: float | None  # of the 95 % band, in [0, 1]; None without true states
    log_likelihood: float  # of the series, nats
    milliseconds: float | None  # of one call, the median; None without a clock


@checked
def compare(
    filters: Mapping[str, Callable[[Array], tuple[Any, Any]]],
    ys: Float[Array, "time obs"],
    *,
    states: Float[Array, "time state"] | None = None,
    clock: Callable[[], float] | None = None,
    num_repeats: int = 5,
) -> tuple[Row, ...]:
    """Run filters on one series. A verb of the host. O(filters (1 + num_repeats)) calls.

    Args:
        filters: By name, functions of ``ys`` that return beliefs, with ``mean`` and ``cov`` along
            the series, or a square root or an inverse of it, and an info with ``log_likelihood``:
            what every ``filter`` of this room returns once its other arguments are bound. A
            function that is not compiled is timed with what it does in Python.
        ys: The observations that all are given.
        states: What was hidden, x_1 … x_T, as ``simulate`` returns it; ``None`` where it is not
            known.
        clock: Gives seconds, as ``time.perf_counter``. Compilation is not timed.
        num_repeats: Calls that are timed, at least 1.

    Returns:
        A row for each filter, in their order. A filter whose beliefs are not finite has NaN for
        its errors and its coverage.

    Raises:
        ValueError: no filter, fewer repeats than 1, or beliefs of another shape than ``states``.

    Example:
        >>> import jax.numpy as jnp
        >>> from mastery_jax.inference.filtering import kalman
        >>> one, ys = jnp.ones((1, 1)), jnp.ones((3, 1))
        >>> model = kalman.Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> start = kalman.State(jnp.zeros(1), one)
        >>> filters = {"kalman": lambda ys: kalman.filter(start, ys, model=model)}
        >>> [row] = compare(filters, ys, states=jnp.zeros((3, 1)))
        >>> row.coverage, round(row.log_likelihood, 2)
        (1.0, -4.47)
    """
    if not filters:
        raise ValueError("comparison.compare: filters is empty, not at least one by its name")
    if num_repeats < 1:
        raise ValueError(f"comparison.compare: num_repeats is {num_repeats}, not at least 1")
    rows = []
    for name, run in filters.items():
        beliefs, info = jax.block_until_ready(run(ys))
        rmse, coverage = (None, None) if states is None else _errors(name, beliefs, states)
        seconds = [_seconds(run, ys, clock) for _ in range(num_repeats)] if clock else None
        rows.append(
            Row(
                name=name,
                rmse=rmse,
                coverage=coverage,
                log_likelihood=float(info.log_likelihood.sum()),
                milliseconds=1e3 * statistics.median(seconds) if seconds else None,
            )
        )
    return tuple(rows)


def table(rows: Sequence[Row]) -> str:
    """Return rows as a text of aligned columns; what is not known is a dash.

    Args:
        rows: What ``compare`` returned.

    Example:
        >>> for line in table([Row("kalman", (0.5, 1.25), 0.94, -12.34, None)]).splitlines():
        ...     line
        'filter  rmse 1  rmse 2  covered  log likelihood  ms'
        'kalman  0.5     1.25    94.0 %   -12.34          -'
    """
    size = max((len(row.rmse) for row in rows if row.rmse is not None), default=0)
    names = [f"rmse {i + 1}" for i in range(size)]
    lines = [["filter", *names, "covered", "log likelihood", "ms"]]
    for row in rows:
        errors = ["-"] * size if row.rmse is None else [f"{error:.4g}" for error in row.rmse]
        covered = "-" if row.coverage is None else f"{100 * row.coverage:.1f} %"
        spent = "-" if row.milliseconds is None else f"{row.milliseconds:.3g}"
        lines.append([row.name, *errors, covered, f"{row.log_likelihood:.2f}", spent])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in padded)


def _errors(name: str, beliefs: Any, states: Array) -> tuple[tuple[float, ...], float]:
    """Return the root of the mean squared error of each component, and how much is covered."""
    for kind, moments in (
        (factored.Beliefs, factored.moments),
        (information.Beliefs, information.moments),
    ):
        beliefs = moments(beliefs) if isinstance(beliefs, kind) else beliefs
    if beliefs.mean.shape != states.shape:
        came, wanted = (jax.typeof(x).str_short() for x in (beliefs.mean, states))
        raise ValueError(f"comparison.compare: {name} gives means {came}, not {wanted} as states")
    away = np.asarray(beliefs.mean, np.double) - np.asarray(states, np.double)
    variances = np.diagonal(np.asarray(beliefs.cov, np.double), axis1=1, axis2=2)
    rmse = tuple(float(error) for error in np.sqrt((away**2).mean(axis=0)))
    if not (np.isfinite(away).all() and np.isfinite(variances).all()):
        return rmse, float("nan")
    return rmse, float((away**2 <= HALF_WIDTH**2 * variances).mean())


def _seconds(run: Callable[[Array], Any], ys: Array, clock: Callable[[], float]) -> float:
    begun = clock()
    jax.block_until_ready(run(ys))
    return clock() - begun
