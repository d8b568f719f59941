"""The next point to measure: where an acquisition is greatest.

    x = argmax a(mean(x), variance(x), best) + Σ_j log P(c_j(x) ≤ 0)

over the box, from many candidates (a Latin hypercube, and points around the best so far) and
L-BFGS from the best of them. With constraints the acquisition is to be a logarithm; while no point
is known where they hold, their probability alone is maximized.

Source: Jones, Schonlau & Welch (1998), J. Global Optimization 13, section 4; Schonlau, Welch &
Jones (1998), *Global versus local search in constrained optimization*, section 4 (constraints).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.bayesopt import acquisition as acquisitions
from mastery_jax.inference.bayesopt import latin_hypercube, surrogate
from mastery_jax.numerics.optimize import multistart, report
from mastery_jax.probability.gaussian_process import gp_regression

__all__ = ["Info", "ask", "candidates", "conclude"]

LOG_EI = Partial(acquisitions.log_expected_improvement)
FTOL = 1e-6  # nats; the next point need not be known better


class Info(NamedTuple):
    """What the next point promises."""

    acquisition: Float[Array, ""]  # there, log feasibility included; of outputs at variance 1
    model: surrogate.Model  # that it comes from
    search: report.Info  # how its maximum was found; value is minus the acquisition
    status: Int[Array, ""]  # core.status.Status: that of the search, or what ails the model


@partial(jax.jit, static_argnames=("num_candidates", "num_searches", "num_starts"))
@checked
def ask(
    key: Key[Array, ""],
    state: surrogate.State,
    *,
    acquisition: Partial = LOG_EI,
    num_candidates: int = 512,
    num_searches: int = 8,
    num_starts: int = 4,
) -> tuple[Float[Array, " d"], Info]:
    """Return the point to measure next. O(capacity³ + num_candidates capacity²).

    Args:
        key: Consumed.
        state: What was told.
        acquisition: ``Partial(a, **data)``, called as a(mean, variance, best) for arrays; one of
            ``acquisition``, or one's own. The greatest wins.
        num_candidates: Points at which it is computed first. Static.
        num_searches: Candidates that L-BFGS goes on from. Static.
        num_starts: Searches for hyperparameters. Static.

    Returns:
        The point, unit of x, and Info: BAD_INPUT when more was told than there is room for,
        NOT_FINITE when the model or the acquisition is; the point is then a candidate.

    Example:
        >>> state = surrogate.init(jnp.zeros(1), jnp.ones(1), capacity=8)
        >>> for x in (0.0, 0.5, 1.0):
        ...     state = surrogate.tell(state, jnp.array([x]), jnp.array((x - 0.3) ** 2))
        >>> x, info = ask(jax.random.key(0), state)
        >>> bool((x > 0.2) & (x < 0.4))
        True
    """
    fit_key, candidate_key = jax.random.split(key)
    model = surrogate.fit(fit_key, state, num_starts=num_starts)
    points = candidates(candidate_key, state, model.best_at, num_points=num_candidates)
    unit = jnp.zeros_like(model.best_at)
    x, search = multistart.minimize(
        Partial(_loss, acquisition, model),
        points,
        lower=unit,
        upper=unit + 1,
        is_fixed=state.is_integer,
        ftol=FTOL,
        num_searches=num_searches,
    )
    return surrogate.to_box(state, x[None, :])[0], conclude(model, search)


@partial(jax.jit, static_argnames=("num_points",))
@checked
def candidates(
    key: Key[Array, ""],
    state: surrogate.State,
    center: Float[Array, " d"],
    *,
    num_points: int,
    radius: Scalar = 0.05,
) -> Float[Array, "num_points d"]:
    """Draw points of the unit cube where an acquisition is looked at first. O(num_points d).

    Args:
        key: Consumed.
        state: Says which coordinates are whole: those are on their grid.
        center: A point of the cube that a quarter of the others are near.
        num_points: Static.
        radius: Standard deviation of those, in widths of the cube.
    """
    spread_key, near_key = jax.random.split(key)
    unit, dtype = jnp.zeros_like(center), center.dtype
    num_near = num_points // 4
    spread = latin_hypercube.sample(spread_key, unit, unit + 1, num_points=num_points - num_near)
    shifts = jax.random.normal(near_key, (num_near, len(center)), dtype)
    near = jnp.clip(center[None, :] + jnp.asarray(radius, dtype) * shifts, 0, 1)
    return surrogate.to_cube(state, surrogate.to_box(state, jnp.concatenate([spread, near])))


def conclude(model: surrogate.Model, search: report.Info) -> Info:
    """Return what a search for the next point promises, and how it ended."""
    status = jnp.where(jnp.isfinite(search.value), search.status, Status.NOT_FINITE)
    status = jnp.where(model.status == Status.BAD_INPUT, model.status, status)
    return Info(-search.value, model, search, status.astype(jnp.int32))


def _loss(acquisition: Partial, model: surrogate.Model, x: Array) -> Array:
    """Return minus the worth of one point of the cube."""
    X = x[None, :]
    log_feasible = surrogate.log_feasibility(model, X)
    best = jnp.where(model.has_best, model.best, 0)  # else ∞, whose slope is no number
    worth = acquisition(*gp_regression.predict(model.objective, X), best)
    return -(jnp.where(model.has_best, worth, 0) + log_feasible)[0]
