"""The measurements of a search, told one by one, and the Gaussian processes that stand for them.

The search is for the least value of an expensive function in a box; constraints hold where their
values are at most 0. A ``State`` has room for a fixed number of measurements, so that one compiled
program serves a whole search. ``fit`` puts inputs on the unit cube and outputs at mean 0 and
variance 1, and takes the likeliest hyperparameters under the prior

    f ~ GP(0, exp(−r²/2) + v [x = x']),   log l_i ~ N(√2 + log(d)/2 − 3, 3),   log v ~ N(−5, 9)

where lengthscales grow with the dimension as distances in a cube do (the mode is that of Hvarfner's
log-normal density of l), and v may be anything from noise to none. A measurement that failed is
told as NaN: it stands in the model as the worst value seen, so that the search keeps away.

Source: Hvarfner, Hellsten & Nardi (2024), *Vanilla Bayesian Optimization Performs Great in High
Dimensions*, eq. 6 (prior); Snoek, Larochelle & Adams (2012), *Practical Bayesian Optimization*,
section 2; Gelbart, Snoek & Adams (2014), section 3 (constraints with processes of their own).
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.bayesopt import acquisition
from mastery_jax.numerics.linalg.scale import power_of_two
from mastery_jax.probability.gaussian_process import gp_regression, kernels, marginal_likelihood

__all__ = ["Model", "State", "best", "fit", "init", "log_feasibility", "tell", "to_box", "to_cube"]


class State(NamedTuple):
    """What was measured, with room for more."""

    X: Float[Array, "capacity d"]  # unit of x; what is not told yet is at ``lower``
    y: Float[Array, " capacity"]  # objective, unit of y; NaN where it failed
    constraints: Float[Array, "capacity k"]  # each holds at 0 and below
    num_told: Int[Array, ""]  # more than capacity: the last ones were lost
    lower: Float[Array, " d"]  # of the box, unit of x
    upper: Float[Array, " d"]
    is_integer: Bool[Array, " d"]  # coordinates that take whole numbers only


class Model(NamedTuple):
    """What is believed of the functions, on the unit cube, at mean 0 and variance 1."""

    objective: gp_regression.State
    constraints: Any  # gp_regression.State, with a leading axis of k in every leaf
    limits: Float[Array, " k"]  # below them, a constraint holds
    best: Float[Array, ""]  # least value of a point where all constraints hold
    best_at: Float[Array, " d"]  # that point
    has_best: Bool[Array, ""]  # some point so far did not fail, and its constraints hold
    status: Int[Array, ""]  # core.status.Status of the fit


class _Outputs(NamedTuple):
    values: Float[Array, " capacity"]  # at mean 0 and variance 1
    center: Float[Array, ""]
    scale: Float[Array, ""]


@partial(jax.jit, static_argnames=("capacity", "num_constraints"))
@checked
def init(
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    capacity: int,
    num_constraints: int = 0,
    is_integer: Bool[Array, " d"] | None = None,
) -> State:
    """Return a search without measurements. O(capacity d).

    Args:
        lower: Of the box, unit of x; whole numbers for whole coordinates.
        upper: Of the box, above ``lower``.
        capacity: Measurements that it can hold. Static.
        num_constraints: k. Static.
        is_integer: Coordinates that take whole numbers only.

    Raises:
        ValueError: there is no room for a measurement.
    """
    if capacity < 1:
        raise ValueError(f"surrogate.init: capacity is {capacity}, not at least 1")
    return State(
        X=jnp.broadcast_to(lower[None, :], (capacity, len(lower))),
        y=jnp.zeros(capacity, lower.dtype),
        constraints=jnp.zeros((capacity, num_constraints), lower.dtype),
        num_told=jnp.zeros((), jnp.int32),
        lower=lower,
        upper=upper,
        is_integer=jnp.zeros(len(lower), bool) if is_integer is None else is_integer,
    )


@jax.jit
@checked
def tell(
    state: State,
    x: Float[Array, " d"],
    y: Scalar,
    *,
    constraints: Float[Array, " k"] | None = None,
) -> State:
    """Add one measurement. O(1).

    Args:
        state: The search so far.
        x: Where it was, unit of x.
        y: What came, to be minimized; NaN or infinite for a failure.
        constraints: Their values there, each to be at most 0. Needed where ``init`` was given a
            number of them.

    Returns:
        The search with it. A full one keeps what it has; ``num_told`` then exceeds the capacity,
        and asking gives BAD_INPUT.

    Raises:
        ValueError: constraints are missing, or as many as were not announced.
    """
    num_constraints = state.constraints.shape[1]
    given = jnp.zeros(0, state.y.dtype) if constraints is None else constraints
    if len(given) != num_constraints:
        raise ValueError(
            f"surrogate.tell: constraints has {len(given)} values, not {num_constraints}"
        )
    row = state.num_told  # beyond the last one, nothing is written
    return state._replace(
        X=state.X.at[row].set(x),
        y=state.y.at[row].set(y),
        constraints=state.constraints.at[row].set(given),
        num_told=row + 1,
    )


@jax.jit
@checked
def best(state: State) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point with the least value so far where all constraints hold, and that value.

    O(capacity). NaN where there is none.
    """
    row, value = _best(state)
    is_one = jnp.isfinite(value)
    return jnp.where(is_one, state.X[row], jnp.nan), jnp.where(is_one, value, jnp.nan)


@partial(jax.jit, static_argnames=("num_starts",))
@checked
def fit(
    key: Key[Array, ""],
    state: State,
    *,
    kernel: kernels.Kernel | None = None,
    log_prior: Partial | None = None,
    num_starts: int = 4,
) -> Model:
    """Learn hyperparameters, and condition on what was told. O(capacity³) an evaluation.

    Args:
        key: Consumed.
        state: What was told.
        kernel: Of the objective and of every constraint, for inputs on the unit cube and outputs
            of variance 1: where its search starts. ``None``: that of the module's equation.
        log_prior: Of its hyperparameters, as in ``marginal_likelihood.maximize``; with ``None``
            and a kernel of one's own there is none.
        num_starts: Searches for hyperparameters. Static.

    Returns:
        The model; its status is NOT_FINITE where no hyperparameters gave a likelihood.
    """
    dim = state.X.shape[1]
    if kernel is None:
        log_prior = Partial(_log_prior)
        lengthscale = jnp.full(dim, 0.5, state.X.dtype)
        kernel = kernels.Sum((kernels.RBF(lengthscale), kernels.White(0.02)))
    columns = jnp.concatenate([state.y[:, None], state.constraints], axis=1)
    outputs = jax.vmap(partial(_standardize, is_told=_is_told(state)), in_axes=1)(columns)
    learn = partial(_learn, kernel, log_prior, num_starts, state)
    keys = jax.random.split(key, columns.shape[1])
    posteriors, status = jax.lax.map(lambda given: learn(*given), (keys, outputs.values))
    row, value = _best(state)
    return Model(
        objective=jax.tree.map(lambda leaf: leaf[0], posteriors),
        constraints=jax.tree.map(lambda leaf: leaf[1:], posteriors),
        limits=((0 - outputs.center) / outputs.scale)[1:],
        best=(value - outputs.center[0]) / outputs.scale[0],
        best_at=to_cube(state, state.X[row][None, :])[0],
        has_best=jnp.isfinite(value),
        status=jnp.where(state.num_told > len(state.y), Status.BAD_INPUT, status.max()).astype(
            jnp.int32
        ),
    )


@jax.jit
@checked
def log_feasibility(model: Model, X: Float[Array, "m d"]) -> Float[Array, " m"]:
    """Return the log probability that all constraints hold at rows of the cube. O(m k n²)."""

    def one(posterior: gp_regression.State, limit: Array) -> Array:
        return acquisition.log_feasibility(*gp_regression.predict(posterior, X), limit)

    return jax.vmap(one)(model.constraints, model.limits).sum(axis=0)


@jax.jit
@checked
def to_box(state: State, X: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Return rows on the unit cube as points of the box, whole where they have to be. O(n d)."""
    lower, upper = state.lower[None, :], state.upper[None, :]
    points = jnp.clip(lower + X * (upper - lower), lower, upper)  # rounding may leave the box
    return jnp.where(state.is_integer[None, :], jnp.round(points), points)


@jax.jit
@checked
def to_cube(state: State, X: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Return points of the box as rows on the unit cube, 0 where it has no width. O(n d)."""
    width = state.upper - state.lower
    return (X - state.lower[None, :]) / jnp.where(width == 0, 1, width)[None, :]


def _learn(
    kernel: kernels.Kernel,
    log_prior: Partial | None,
    num_starts: int,
    state: State,
    key: Array,
    values: Array,
) -> tuple[gp_regression.State, Array]:
    X, is_told = to_cube(state, state.X), _is_told(state)
    floor = jnp.sqrt(jnp.finfo(X.dtype).eps)  # below, a factorization may fail
    kernel, info = marginal_likelihood.maximize(
        key,
        kernel,
        X,
        values,
        lower=jax.tree.map(lambda leaf: jnp.maximum(leaf * 1e-5, floor), kernel),
        upper=jax.tree.map(lambda leaf: leaf * 1e3, kernel),
        is_observed=is_told,
        log_prior=log_prior,
        num_starts=num_starts,
    )
    return gp_regression.fit(kernel, X, values, is_observed=is_told), info.status


def _log_prior(kernel: Any) -> Array:
    """Return the log density of the logarithms, but for a constant."""
    parts: Any = kernel.parts
    smooth, noise = parts
    log_lengthscale, log_noise = jnp.log(smooth.lengthscale), jnp.log(noise.variance)
    center = math.sqrt(2) + math.log(len(log_lengthscale)) / 2 - 3
    return -((log_lengthscale - center) ** 2).sum() / 6 - (log_noise + 5) ** 2 / 18


def _is_told(state: State) -> Array:
    return jnp.arange(len(state.y), dtype=jnp.int32) < state.num_told


def _best(state: State) -> tuple[Array, Array]:
    holds = (state.constraints <= 0).all(axis=1) & jnp.isfinite(state.y) & _is_told(state)
    values = jnp.where(holds, state.y, jnp.inf)
    row = jnp.argmin(values)
    return row, values[row]


def _standardize(values: Array, *, is_told: Array) -> _Outputs:
    """Return outputs at mean 0 and variance 1, a failure at the greatest of them.

    Outputs that are all alike are 0: what rounding leaves of their difference is no variance.
    """
    is_good = is_told & jnp.isfinite(values)
    worst = jnp.where(is_good, values, -jnp.inf).max()
    worst = jnp.where(jnp.isfinite(worst), worst, 0)
    filled = jnp.where(is_good, values, worst)
    count = jnp.maximum(is_told.sum(), 1).astype(values.dtype)
    center = jnp.where(is_told, filled / count, 0).sum()
    center = jnp.where(filled.min() == worst, worst, center)
    apart = jnp.where(is_told, filled - center, 0)
    unit = power_of_two(jnp.abs(apart).max())
    spread = unit * jnp.sqrt(((apart / unit) ** 2).sum() / count)
    scale = jnp.where(spread > 0, spread, 1)
    return _Outputs((filled - center) / scale, center, scale)
