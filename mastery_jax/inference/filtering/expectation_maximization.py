"""Expectation-maximization: the linear Gaussian model itself, learned from a series.

    w_t = x_t − F x_{t-1} − b,   z_t = (x_{t-1}, 1)          v_t = y_t − H x_t − d,   z_t = (x_t, 1)
    Δ = E[Σ w zᵀ] E[Σ z zᵀ]⁻¹,   (F b) ← (F b) + Δ,   Q ← E[Σ (w − Δ z)(w − Δ z)ᵀ] / T

and likewise (H d) and R from v; E is given y_1 … y_T under the model as it was. What is kept fixed
has Δ = 0. Written by residuals, not by moments of x and y, no digits are lost in single precision
where a series is far from 0. The part of v that is missing is that of its regression on the rest:

    E[v_m | v_o] = R_mo R_oo⁻¹ v_o,   Cov(v_m | v_o) = R_mm − R_mo R_oo⁻¹ R_om

The likelihood never falls, and its steps get short long before it is at its top: where a variance
is nearly 0 thousands may be needed. By the gradient through ``kalman.filter`` it goes faster there.

Source: Shumway & Stoffer (1982), *Journal of Time Series Analysis* 3(4), 253; Särkkä (2013),
*Bayesian Filtering and Smoothing*, section 12.2.3.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.filtering import kalman, linear_gaussian, matrix, observation, rts
from mastery_jax.inference.filtering.linear_gaussian import Model, over_time, plus, varying

__all__ = ["FitInfo", "Info", "State", "fit", "step"]

_PROCESS = ("transition", "process_mean", "process_cov")
_EMISSION = ("emission", "emission_mean", "emission_cov")


class State(NamedTuple):
    """A model, and the belief that it starts from."""

    model: Model
    start: linear_gaussian.State  # about x_0


class Info(NamedTuple):
    """What one step tells about itself."""

    log_likelihood: Float[Array, ""]  # log p(y_1 … y_T) under the model before the step, nats


class FitInfo(NamedTuple):
    """How the iteration ended."""

    log_likelihood: Float[Array, ""]  # under the model before the last step, nats
    change: Float[Array, ""]  # by which the last step but one raised it, nats
    status: Int[Array, ""]  # CONVERGED, OUT_OF_STEPS or NOT_FINITE
    num_steps: Int[Array, ""]


class _Residuals(NamedTuple):
    """Expectations of a residual w, and of its product with z = (x, 1): sums over time."""

    square: Array  # E Σ w wᵀ
    cross: Array  # E Σ w zᵀ
    design: Array  # E Σ z zᵀ


@partial(jax.jit, static_argnames=("learned", "diagonal"))
@checked
def step(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    is_observed: Bool[Array, "time obs"] | None = None,
    learned: tuple[str, ...] = ("process_cov", "emission_cov"),
    diagonal: tuple[str, ...] = (),
) -> tuple[State, Info]:
    """Return a model under which the series is at least as likely. O(time (state³ + obs³)).

    Args:
        state: The model as it is. Fields with an axis of steps cannot be learned, but may be kept.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.
        learned: Names of the fields of the model that are learned, and "start". A mean that is
            ``None`` is 0 and cannot be learned. Static.
        diagonal: Which learned covariances are to be diagonal; others stay full. Static.

    Returns:
        The state, and what the likelihood was. NaN where ``kalman.filter`` or ``rts.smooth`` is.

    Raises:
        ValueError: shapes disagree, there is no step, a name is unknown, or a field that is learned
            has an axis of steps or is ``None`` (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> state = State(model=model, start=linear_gaussian.State(jnp.zeros(1), one))
        >>> ys = jnp.array([[0.0], [2.0], [1.0], [3.0]])
        >>> after, _ = step(state, ys)
        >>> after.model.emission_cov.round(3)
        Array([[0.887]], dtype=float32)
    """
    model = state.model
    _check("expectation_maximization.step", model, len(ys), learned, diagonal)
    filtered, info = kalman.filter(state.start, ys, model=model, is_observed=is_observed)
    every = jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]),
        kalman.Beliefs(*state.start),
        filtered,
    )
    backwards = rts.conditional(every, model=model)
    smoothed = rts.smooth(every, model=model)
    changed = {}
    with jax.default_matmul_precision("highest"):
        if set(_PROCESS) & set(learned):
            residuals = _process_residuals(smoothed, backwards, model)
            changed |= _improved(model, _PROCESS, residuals, len(ys), learned, diagonal)
        if set(_EMISSION) & set(learned):
            residuals = _emission_residuals(smoothed, ys, model, is_observed)
            changed |= _improved(model, _EMISSION, residuals, len(ys), learned, diagonal)
    first = linear_gaussian.State(smoothed.mean[0], smoothed.cov[0])
    start = first if "start" in learned else state.start
    return State(model._replace(**changed), start), Info(info.log_likelihood.sum())


@partial(jax.jit, static_argnames=("learned", "diagonal", "max_steps"))
@checked
def fit(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    is_observed: Bool[Array, "time obs"] | None = None,
    learned: tuple[str, ...] = ("process_cov", "emission_cov"),
    diagonal: tuple[str, ...] = (),
    atol: Scalar = 1e-6,
    max_steps: int = 1000,
) -> tuple[State, FitInfo]:
    """Apply ``step`` until the likelihood hardly rises. O(max_steps time (state³ + obs³)).

    Args:
        state: Where to start from.
        ys: As in ``step``.
        is_observed: As in ``step``.
        learned: As in ``step``. Static.
        diagonal: As in ``step``. Static.
        atol: Done when a step raises the log-likelihood by no more than this for each number that
            is observed, in nats, so that units do not matter. Traced.
        max_steps: At least 2, for there to be a change. Static.

    Returns:
        The last state, and ``info.status``. Forward-differentiable only.

    Raises:
        ValueError: as in ``step``, or ``max_steps`` is less than 2.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> state = State(model=model, start=linear_gaussian.State(jnp.zeros(1), one))
        >>> ys = jnp.array([[0.0], [2.0], [1.0], [3.0]])
        >>> Status(int(fit(state, ys, atol=1e-4)[1].status))
        <Status.CONVERGED: 1>
    """
    where = "expectation_maximization.fit"
    _check(where, state.model, len(ys), learned, diagonal)
    if max_steps < 2:
        raise ValueError(f"{where}: max_steps is {max_steps}, not at least 2")
    num_seen = ys.size if is_observed is None else is_observed.sum(dtype=ys.dtype)

    def improve(carried: tuple[State, Array]) -> tuple[tuple[State, Array], "_Progress"]:
        state, before = carried
        state, info = step(state, ys, is_observed=is_observed, learned=learned, diagonal=diagonal)
        now, is_lost = info.log_likelihood, ~jnp.isfinite(info.log_likelihood)
        is_settled = now - before <= atol * num_seen
        return (state, now), _Progress(now - before, is_settled, is_lost, is_settled | is_lost)

    begun = (state, jnp.asarray(-jnp.inf, ys.dtype))
    (state, last), progress, num_steps = loop.until(improve, begun, max_steps=max_steps)
    status = jnp.where(progress.is_settled, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(progress.is_lost, Status.NOT_FINITE, status)
    return state, FitInfo(last, progress.change, status, num_steps)


class _Progress(NamedTuple):
    change: Array
    is_settled: Array
    is_lost: Array
    is_done: Array


def _process_residuals(
    smoothed: kalman.Beliefs, backwards: rts.Conditional, model: Model
) -> _Residuals:
    """Return what is expected of w_t = x_t − F x_{t-1} − b and x_{t-1}."""

    def one(before: tuple, after: tuple, back: rts.Conditional, fields: dict) -> _Residuals:
        here = model._replace(**fields)
        (x, spread), (mean, cov), F = before, after, here.transition
        residual = mean - plus(matrix.product(F, x), here.process_mean)
        shrink = jnp.eye(len(F), dtype=F.dtype) - matrix.product(F, back.gain)
        onward = matrix.product(F, back.cov)
        square = matrix.congruence(shrink, cov) + matrix.product(onward, F.T)
        cross = matrix.product(matrix.product(shrink, cov), back.gain.T) - onward
        return _residuals(residual, square, cross, x, spread)

    before = (smoothed.mean[:-1], smoothed.cov[:-1])
    after = (smoothed.mean[1:], smoothed.cov[1:])
    each = jax.vmap(one)(before, after, backwards, varying(model))
    return jax.tree.map(lambda terms: terms.sum(axis=0), each)


def _emission_residuals(
    smoothed: kalman.Beliefs, ys: Array, model: Model, is_observed: Array | None
) -> _Residuals:
    """Return what is expected of v_t = y_t − H x_t − d and x_t."""

    def one(x: Array, spread: Array, y: Array, is_observed: Array | None, fields: dict):
        here = model._replace(**fields)
        seen = observation.of_the_seen(here, is_observed)
        predicted = plus(matrix.product(seen.emission, x), seen.emission_mean)
        residual = observation.filled(y, is_observed) - predicted
        through = matrix.product(seen.emission, spread)
        square, cross = matrix.product(through, seen.emission.T), -through
        if is_observed is not None:
            R = here.emission_cov
            known = jnp.where(is_observed[None, :], R, 0)
            regression = matrix.solve(seen.emission_cov, known.T).T
            residual = matrix.product(regression, residual)
            rest = matrix.symmetric(R - matrix.product(regression, known.T))
            square = matrix.congruence(regression, square) + rest
            cross = matrix.product(regression, cross)
        return _residuals(residual, square, cross, x, spread)

    each = jax.vmap(one)(smoothed.mean[1:], smoothed.cov[1:], ys, is_observed, varying(model))
    return jax.tree.map(lambda terms: terms.sum(axis=0), each)


def _residuals(residual: Array, cov: Array, cross: Array, x: Array, spread: Array) -> _Residuals:
    """Return the second moments of a residual and of z = (x, 1)."""
    z = jnp.append(x, jnp.ones((), x.dtype))
    return _Residuals(
        square=cov + residual[:, None] * residual[None, :],
        cross=jnp.pad(cross, ((0, 0), (0, 1))) + residual[:, None] * z[None, :],
        design=jnp.pad(spread, (0, 1)) + z[:, None] * z[None, :],
    )


def _improved(
    model: Model,
    names: tuple[str, str, str],
    residuals: _Residuals,
    num_steps: int,
    learned: tuple[str, ...],
    diagonal: tuple[str, ...],
) -> dict[str, Array]:
    """Return the fields that are learned, as they become."""
    matrix_name, mean_name, cov_name = names
    square, cross, design = residuals.square, residuals.cross, residuals.design
    # Of z = (x, 1).
    free = slice(0 if matrix_name in learned else -1, None if mean_name in learned else -1)
    change = jnp.zeros_like(cross)
    if {matrix_name, mean_name} & set(learned):
        found = matrix.solve(design[free, free], cross[:, free].T).T
        change = change.at[:, free].set(found)
    fields = {}
    if matrix_name in learned:
        fields[matrix_name] = getattr(model, matrix_name) + change[:, :-1]
    if mean_name in learned:
        fields[mean_name] = getattr(model, mean_name) + change[:, -1]
    if cov_name in learned:
        removed = matrix.product(change, cross.T)
        cov = square - removed - removed.T + matrix.congruence(change, design)
        cov = matrix.symmetric(cov / num_steps)
        fields[cov_name] = jnp.diag(jnp.diagonal(cov)) if cov_name in diagonal else cov
    return fields


def _check(
    where: str, model: Model, num_steps: int, learned: tuple[str, ...], diagonal: tuple[str, ...]
) -> None:
    if num_steps < 1:
        raise ValueError(f"{where}: ys has {num_steps} steps, not at least 1")
    over_time(where, model, num_steps)
    if unknown := set(learned) - {*_PROCESS, *_EMISSION, "start"}:
        known = ", ".join((*_PROCESS, *_EMISSION, "start"))
        raise ValueError(f"{where}: learned has {min(unknown)!r}, not one of {known}")
    if unknown := set(diagonal) - {"process_cov", "emission_cov"}:
        raise ValueError(f"{where}: diagonal has {min(unknown)!r}, not process_cov or emission_cov")
    for names in (_PROCESS, _EMISSION):
        fitted = set(names) & set(learned)
        # Steps of different covariances do not weigh alike in what is learned of the other fields.
        for name in (*fitted, *(names[2:] if fitted else ())):
            field = getattr(model, name)
            if field is None:
                raise ValueError(f"{where}: model.{name} is None, and learned; start it from zeros")
            if name in varying(model):
                shown = jax.typeof(field).str_short()
                raise ValueError(f"{where}: model.{name} is {shown}, not the same at all steps")
