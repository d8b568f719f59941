"""Several engines on the same rows, side by side.

An engine is any function ``(key, X, y, *, prior, family) -> (Draws, Info)``. For each: what it says
of every weight and of the noise; whether its draws may be trusted; how far it is from the closed
form, where the family has one; what it says of rows held out; and what it cost.

    log score = mean over rows held out of log 1/S Σ_s p(y* | x*, w_s, σ_s)
    coverage = share of them between the 2.5 % and 97.5 % quantiles of what was predicted

Source: Gelman et al. (2013), *Bayesian Data Analysis*, sections 6.3 and 7.1; Gneiting & Raftery
(2007), *JASA* 102, 359 (scores).
"""

import statistics
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from mastery_jax.core.status import Status
from mastery_jax.inference.regression import closed_form, estimate, predictive
from mastery_jax.inference.regression.estimate import Distance, Estimate
from mastery_jax.inference.regression.model import Draws, Info
from mastery_jax.inference.regression.prior import Family, Prior

__all__ = ["Row", "compare", "estimates", "table"]

Engine = Callable[..., tuple[Draws, Info]]


class Row(NamedTuple):
    """How one engine did."""

    name: str
    estimates: dict[str, Estimate]  # of each weight by its name, and of ``noise``
    status: Status
    num_divergent: int | None  # None where there are no chains
    pareto_shape: float | None  # None where there is no guide
    log_evidence: float | None  # nats; None where the engine has none
    p_values: dict[str, float]  # of ``predictive.p_values``
    distance: Distance | None  # None where the family has no closed form
    log_score: float | None  # mean log density of a row held out, nats; None without them
    coverage: float | None  # of 95 % intervals there; None if bernoulli: they hold both values
    seconds: float | None  # of a call that compiles nothing, the median; None without a clock
    compile_seconds: float | None  # what the first call took longer

    @property
    def ess_per_second(self) -> float | None:
        """Return the least ESS of all numbers, a second; None without a clock."""
        if self.seconds is None:
            return None
        return min(each.ess for each in self.estimates.values()) / self.seconds


def compare(
    engines: Mapping[str, Engine],
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    names: Sequence[str] | None = None,
    held_out: tuple[Array, Array] | None = None,
    clock: Callable[[], float] | None = None,
    num_repeats: int = 3,
) -> tuple[Row, ...]:
    """Run engines on one set of rows. A verb of the host. O(engines) calls, more by a clock.

    Args:
        engines: By name; options are bound by ``functools.partial``.
        key: Each engine is given its own by its name, so that no other changes its draws.
        X: One row per observation, of floats; of NumPy or of jax.
        y: What was seen; floats, of 0 and 1 too.
        prior: The same for all.
        family: As of ``prior``.
        names: Of the columns; w0, w1, … where None.
        held_out: Rows X and y that no engine sees.
        clock: Gives seconds, as ``time.perf_counter``; without one nothing is timed.
        num_repeats: Calls after the first that a clock times, at least 1; the median counts.

    Returns:
        A row for each engine, in their order.

    Raises:
        ValueError: no engine or repeat, shapes disagree, X or y is not of floats, names or rows
            held out do not fit the columns, or an engine refuses what it is given.

    Example:
        >>> from mastery_jax.inference.regression.prior import weakly_informative
        >>> X, y = jnp.ones((9, 1)), jnp.arange(9.0)
        >>> engines, belief = {"exact": closed_form.engine}, weakly_informative(X, y)
        >>> [row] = compare(engines, jax.random.key(0), X, y, prior=belief)
        >>> row.status.name, round(row.estimates["w0"].mean), row.distance.sd_ratio > 0.9
        ('CONVERGED', 4, True)
    """
    X, y = jnp.asarray(X), jnp.asarray(y)
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(
            f"side_by_side.compare: X and y have shapes {X.shape} and {y.shape}, not (n, p) and "
            "(n,)"
        )
    _refuse_integers("X and y", X, y)
    columns = [f"w{i}" for i in range(X.shape[1])] if names is None else list(names)
    _refuse(engines, columns, X, held_out, num_repeats)
    exact = closed_form.fit(X, y, prior=prior)[0] if family == "normal" else None
    rows = []
    for name, engine in engines.items():
        own = jax.random.fold_in(key, zlib.crc32(name.encode()))
        run_key, check_key, new_key = jax.random.split(own, 3)

        def call(engine: Engine = engine, key: Array = run_key) -> tuple[Draws, Info]:
            return jax.block_until_ready(engine(key, X, y, prior=prior, family=family))

        (draws, info), first = _timed(call, clock)
        later = [_timed(call, clock)[1] for _ in range(num_repeats)] if clock else []
        seconds = statistics.median(later) if later else None
        checks = predictive.p_values(check_key, draws, X, y, family=family)
        score, coverage = _held_out(new_key, draws, held_out, family)
        rows.append(
            Row(
                name=name,
                estimates=estimate.of_draws(columns, draws, info),
                status=Status(int(info.status)),
                num_divergent=info.verdict and int(info.verdict.num_divergent.sum()),
                pareto_shape=_number(info.pareto_shape),
                log_evidence=_number(info.log_evidence),
                p_values={each: float(value) for each, value in checks.items()},
                distance=None if exact is None else estimate.distance(draws, info, exact),
                log_score=score,
                coverage=coverage,
                seconds=seconds,
                compile_seconds=None if seconds is None else max(first - seconds, 0.0),
            )
        )
    return tuple(rows)


def table(rows: Sequence[Row]) -> str:
    """Return rows as a text of aligned columns; what no engine has is left out.

    Args:
        rows: What ``compare`` returned.

    Example:
        >>> number = Estimate(4.0, 1.0, 2.0, 6.0, 400.0, 1.002)
        >>> more = dict(p_values={}, distance=None, log_score=None, coverage=None)
        >>> guide = dict(pareto_shape=None, log_evidence=None, seconds=0.5, compile_seconds=2.0)
        >>> row = Row("hmc", {"w0": number}, Status.CONVERGED, 0, **guide, **more)
        >>> print(table([row]))
        engine  status     R-hat  ESS  divergent  seconds  ESS/s
        hmc     converged  1.002  400  0          0.5      800
    """
    found: dict[str, list[str]] = {
        "engine": [row.name for row in rows],
        "status": [row.status.name.lower() for row in rows],
        "R-hat": [_shown(_worst(row), ".3f") for row in rows],
        "ESS": [_shown(min(e.ess for e in row.estimates.values()), ".0f") for row in rows],
        "divergent": [_shown(row.num_divergent, "d") for row in rows],
        "k": [_shown(row.pareto_shape, ".2f") for row in rows],
        "mean off": [_shown(row.distance and row.distance.mean, ".1f") for row in rows],
        "sd off": [_shown(row.distance and row.distance.sd, ".1f") for row in rows],
        "sd ratio": [_shown(row.distance and row.distance.sd_ratio, ".2f") for row in rows],
        "evidence": [_shown(row.log_evidence, ".2f") for row in rows],
        "log score": [_shown(row.log_score, ".3f") for row in rows],
        "covered": [_shown(row.coverage, ".1%") for row in rows],
        "seconds": [_shown(row.seconds, ".3g") for row in rows],
        "ESS/s": [_shown(row.ess_per_second, ".3g") for row in rows],
    }
    return _aligned({title: cells for title, cells in found.items() if {*cells} != {"-"}})


def estimates(rows: Sequence[Row]) -> str:
    """Return what each engine says of each number, as mean ± standard deviation, a number a line.

    Args:
        rows: What ``compare`` returned.

    Example:
        >>> number = Estimate(4.0, 1.25, 2.0, 6.0, 400.0, None)
        >>> more = dict(p_values={}, distance=None, log_score=None, coverage=None)
        >>> guide = dict(pareto_shape=None, log_evidence=None, seconds=None, compile_seconds=None)
        >>> row = Row("exact", {"w0": number}, Status.CONVERGED, None, **guide, **more)
        >>> print(estimates([row]))
            exact
        w0  4 ± 1.25
    """
    numbers = list(rows[0].estimates) if rows else []
    return _aligned(
        {"": numbers}
        | {
            row.name: [f"{row.estimates[n].mean:.4g} ± {row.estimates[n].sd:.3g}" for n in numbers]
            for row in rows
        }
    )


def _timed(call: Callable[[], Any], clock: Callable[[], float] | None) -> tuple[Any, float]:
    begun = clock() if clock else 0.0
    found = call()
    return found, clock() - begun if clock else 0.0


def _refuse(engines: Any, columns: list[str], X: Array, held_out: Any, num_repeats: int) -> None:
    if not engines:
        raise ValueError("side_by_side.compare: engines is empty, not at least one by its name")
    if num_repeats < 1:
        raise ValueError(f"side_by_side.compare: num_repeats is {num_repeats}, not at least 1")
    if len(columns) != X.shape[1] or len({*columns, "noise"}) != len(columns) + 1:
        raise ValueError(
            f"side_by_side.compare: names is {columns}, not {X.shape[1]} that differ, none 'noise'"
        )
    if held_out is not None:
        shapes = tuple(np.shape(each) for each in held_out)
        if len(shapes) != 2 or shapes[0] != (*shapes[1], X.shape[1]) or not shapes[0][0]:
            raise ValueError(
                f"side_by_side.compare: held_out has shapes {shapes}, not (m, {X.shape[1]}) and "
                "(m,)"
            )
        _refuse_integers("X and y of held_out", *held_out)


def _refuse_integers(names: str, X: Any, y: Any) -> None:
    of_X, of_y = (jnp.asarray(each).dtype for each in (X, y))
    if not all(jnp.issubdtype(each, jnp.floating) for each in (of_X, of_y)):
        raise ValueError(f"side_by_side.compare: {names} are of {of_X} and {of_y}, not of floats")


def _held_out(
    key: Array, draws: Draws, held_out: Any, family: Family
) -> tuple[float | None, float | None]:
    if held_out is None:
        return None, None
    X, y = held_out
    score = float(predictive.log_density(draws, X, y, family=family).mean())
    if family == "bernoulli":
        return score, None
    found = predictive.predict(key, draws, X, family=family)
    low, _, high = np.asarray(found.quantiles)
    return score, float(((low <= np.asarray(y)) & (np.asarray(y) <= high)).mean())


def _number(value: Array | None) -> float | None:
    return None if value is None else float(value)


def _worst(row: Row) -> float | None:
    known = [each.rhat for each in row.estimates.values() if each.rhat is not None]
    return max(known, default=None)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _aligned(columns: dict[str, list[str]]) -> str:
    widths = [max(map(len, (title, *cells))) for title, cells in columns.items()]
    lines = [[*columns], *zip(*columns.values(), strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
