"""Kalman filter and smoother by a parallel scan: O(log time) steps on many processors.

    p(x_t | y_t, x_{t-1}) = N(A x_{t-1} + b, C)
    p(y_t | x_{t-1}) ∝ exp(ηᵀ x_{t-1} − ½ x_{t-1}ᵀ J x_{t-1})
    S = H Q Hᵀ + R,  K = Q Hᵀ S⁻¹,  A = (I − K H) F,  C = (I − K H) Q,  J = Fᵀ Hᵀ S⁻¹ H F

Two such elements, i before j, make one of the same kind, whatever lies between:

    M = (I + C_i J_j)⁻¹,   A = A_j M A_i,   b = A_j M (b_i + C_i η_j) + b_j
    C = A_j M C_i A_jᵀ + C_j
    η = A_iᵀ Mᵀ (η_j − J_j b_i) + η_i,   J = A_iᵀ Mᵀ J_j A_i + J_i

and so do two of the smoother's, x_t | x_{t+1} ~ N(G x_{t+1} + a, C) of ``rts.conditional``. The
answers are those of ``kalman.filter`` and ``rts.smooth``, to rounding; in single precision some
times worse, for M is no covariance.

The work is several times that of the sequential loop, whose body is one small kernel. On a CPU it
is slower at every length: of 1,000 steps of four states by some twenty times, and it takes seconds
to compile. It is for accelerators and long series, where a step of the loop costs a launch.

Source: Särkkä & García-Fernández (2021), *IEEE Transactions on Automatic Control* 66(1), 299.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import kalman, matrix, observation, rts
from mastery_jax.inference.filtering.kalman import Beliefs, Info
from mastery_jax.inference.filtering.linear_gaussian import (
    Model,
    State,
    over_time,
    plus,
    trusted,
)

__all__ = ["filter", "smooth"]


class _Element(NamedTuple):
    """What some steps say of the state after them, and of the one before."""

    transition: Array  # A
    offset: Array  # b
    cov: Array  # C
    information: Array  # η
    precision: Array  # J


@jax.jit
@checked
def filter(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> tuple[Beliefs, Info]:
    """Return what ``kalman.filter`` does. O(time (state³ + obs³)) work, O(log time) deep.

    Args:
        state: Belief about x_0.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Its fields, all in one dtype, may have a leading axis of T steps.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.

    Returns:
        The belief at every t, and every step's info along a leading axis; NaN from the first step
        whose H Q Hᵀ + R is not positive definite; throughout as in ``kalman.predict``.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=0 * one, emission=one, emission_cov=one)
        >>> beliefs, info = filter(State(jnp.zeros(1), one), 3 * jnp.ones((2, 1)), model=model)
        >>> beliefs.mean[:, 0], beliefs.cov[0, 0]
        (Array([1.5, 2. ], dtype=float32), Array([0.5], dtype=float32))
    """
    state = trusted(state, model)
    rows = (ys, is_observed, over_time("associative.filter", model, len(ys)))
    if not len(ys):  # nothing to scan
        return kalman.filter(state, ys, model=model, is_observed=is_observed)

    def element(y: Array, is_observed: Array | None, fields: dict[str, Array]) -> _Element:
        return _element(y, observation.of_the_seen(model._replace(**fields), is_observed))

    def told(before: State, y: Array, is_observed: Array | None, fields: dict[str, Array]) -> Info:
        here = model._replace(**fields)
        ahead = kalman.predict(before, model=here)
        seen = observation.of_the_seen(here, is_observed)
        predicted = plus(matrix.product(seen.emission, ahead.mean), seen.emission_mean)
        innovation = observation.filled(y, is_observed) - predicted
        spread = matrix.congruence(seen.emission, ahead.cov) + seen.emission_cov
        density = observation.log_density(innovation[:, None], spread, is_observed)[0]
        return Info(density, innovation, spread)

    with jax.default_matmul_precision("highest"):
        first = kalman.step(
            state,
            ys[0],
            model=model._replace(**{name: field[0] for name, field in rows[2].items()}),
            is_observed=None if is_observed is None else is_observed[0],
        )[0]
        filled = (observation.filled(ys, is_observed), *rows[1:])
        elements = jax.vmap(element)(*filled)
        nothing = jnp.zeros_like(elements.transition[0])
        start = _Element(nothing, first.mean, first.cov, elements.information[0], nothing)
        elements = jax.tree.map(lambda every, one: every.at[0].set(one), elements, start)
        found = jax.lax.associative_scan(jax.vmap(_joined), elements)
        beliefs = Beliefs(mean=found.offset, cov=matrix.symmetric(found.cov))
        before = jax.tree.map(
            lambda start, rows: jnp.concatenate([start[None], rows[:-1]]), state, State(*beliefs)
        )
        return beliefs, jax.vmap(told)(before, *rows)


@jax.jit
@checked
def smooth(filtered: Beliefs, *, model: Model) -> Beliefs:
    """Return what ``rts.smooth`` does. O(time state³) work, O(log time) deep.

    Args:
        filtered: What a filter returned, perhaps with the belief about x_0 put in front.
        model: The model that the filter had.

    Returns:
        Smoothed beliefs; NaN as in ``rts.smooth``.

    Raises:
        ValueError: as in ``filter``.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> filtered = Beliefs(mean=jnp.array([[0.0], [3.0]]), cov=jnp.ones((2, 1, 1)))
        >>> smooth(filtered, model=model).mean[:, 0]
        Array([1.5, 3. ], dtype=float32)
    """
    if not len(filtered.mean):
        return filtered
    over_time("associative.smooth", model, len(filtered.mean) - 1, num_spare=1)
    filtered = trusted(filtered, model)
    backwards = rts.conditional(filtered, model=model)

    def joined(later: Any, earlier: Any) -> Any:
        gain = matrix.product(earlier.gain, later.gain)
        offset = matrix.product(earlier.gain, later.offset) + earlier.offset
        return rts.Conditional(
            gain, offset, matrix.congruence(earlier.gain, later.cov) + earlier.cov
        )

    with jax.default_matmul_precision("highest"):
        last = rts.Conditional(
            jnp.zeros_like(filtered.cov[-1:]), filtered.mean[-1:], filtered.cov[-1:]
        )
        elements = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), backwards, last)
        found = jax.lax.associative_scan(jax.vmap(joined), elements, reverse=True)
        return Beliefs(mean=found.offset, cov=matrix.symmetric(found.cov))


def _element(y: Array, model: Model) -> _Element:
    """Return what one step says, by itself."""
    F, Q, H, R = model.transition, model.process_cov, model.emission, model.emission_cov
    HQ = matrix.product(H, Q)
    S = matrix.product(HQ, H.T) + R
    gain = matrix.solve(S, HQ).T
    shrink = jnp.eye(len(F), dtype=F.dtype) - matrix.product(gain, H)
    ahead = plus(jnp.zeros_like(F[0]), model.process_mean)
    innovation = y - plus(matrix.product(H, ahead), model.emission_mean)
    HF = matrix.product(H, F)
    weighted = matrix.solve(S, HF).T
    return _Element(
        transition=matrix.product(shrink, F),
        offset=ahead + matrix.product(gain, innovation),
        cov=matrix.congruence(shrink, Q) + matrix.congruence(gain, R),
        information=matrix.product(weighted, innovation),
        precision=matrix.product(weighted, HF),
    )


def _joined(i: _Element, j: _Element) -> _Element:
    """Return what the steps of i and then those of j say together."""
    identity = jnp.eye(len(i.cov), dtype=i.cov.dtype)
    mixed = identity + matrix.product(i.cov, j.precision)
    # A_j M, and A_iᵀ Mᵀ, which is (I + J_j C_i)⁻¹ from the right.
    onward = jnp.linalg.solve(mixed.T, j.transition.T).T
    back = jnp.linalg.solve(mixed, i.transition).T
    between = matrix.product(j.precision, i.offset)
    spread = matrix.product(onward, matrix.product(i.cov, j.transition.T))
    precise = matrix.product(back, matrix.product(j.precision, i.transition))
    moved = i.offset + matrix.product(i.cov, j.information)
    return _Element(
        transition=matrix.product(onward, i.transition),
        offset=matrix.product(onward, moved) + j.offset,
        cov=matrix.symmetric(spread + j.cov),
        information=matrix.product(back, j.information - between) + i.information,
        precision=matrix.symmetric(precise + i.precision),
    )
