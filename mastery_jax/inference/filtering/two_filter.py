"""Two-filter smoother: what was hidden, given the whole series, from a flat belief on.

    p(y_{t+1} … y_T | x_t) ∝ ψ_t(x_t):   ψ_T = 1,   ψ_t(x) = E ψ_{t+1}(x') N(y_{t+1}; H x' + d, R),
                                         x' = F x + w,  w ~ N(b, Q)
    p(x_t | y_1 … y_T) ∝ φ_t(x_t) ψ_t(x_t)

with the φ of ``information``, by the algebra of ``quadratic``. Where ``rts`` needs a covariance at
every t, this needs none: at a t where the past leaves x unknown, what came later may tell it.

Source: Fraser & Potter (1969), *IEEE Transactions on Automatic Control* 14(4), 387; Särkkä (2013),
*Bayesian Filtering and Smoothing*, section 8.1.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix, quadratic
from mastery_jax.inference.filtering.information import Beliefs
from mastery_jax.inference.filtering.linear_gaussian import Model, over_time
from mastery_jax.inference.filtering.quadratic import State

__all__ = ["smooth"]


@jax.jit
@checked
def smooth(
    filtered: Beliefs,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> Beliefs:
    """Return the belief at every t given all observations. O(time (state³ + obs³)).

    Args:
        filtered: What ``information.filter`` returned of ``ys``.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: The model that the filter had. Its transition need have no inverse here.
        is_observed: As the filter had it.

    Returns:
        Smoothed beliefs; at the last t they are the filter's. ``information.moments`` gives means
        and covariances. NaN at and before a t where a covariance of the model is none.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> from mastery_jax.inference.filtering import information
        >>> one = jnp.ones((1, 1))
        >>> model = Model(one, one, one, one)
        >>> nothing = information.init(jnp.zeros(1), one, is_flat=jnp.array([True]))
        >>> ys = jnp.array([[0.0], [3.0]])
        >>> smoothed = smooth(information.filter(nothing, ys, model=model)[0], ys, model=model)
        >>> information.moments(smoothed).mean[:, 0].round(4)
        Array([1., 2.], dtype=float32)
    """
    varying = over_time("two_filter.smooth", model, len(ys))
    if not len(ys):
        return filtered

    def back(ahead: State, now: tuple[Array, Array | None, Any, Array | None]) -> tuple:
        y, is_observed, fields, root = now
        here = model._replace(**fields)
        told = quadratic.likelihood(y, here, is_observed)
        root = constant if root is None else root
        away = None if here.process_mean is None else -here.process_mean
        moved = quadratic.blurred(jax.tree.map(jnp.add, ahead, told), here.process_cov, root, away)
        state = quadratic.pulled(moved, here.transition)._replace(log_scale=ahead.log_scale)
        return state, Beliefs(state.information, state.precision)

    with jax.default_matmul_precision("highest"):
        is_moving = "process_cov" in varying
        constant: Any = None if is_moving else matrix.root(model.process_cov)
        roots = jax.vmap(matrix.root)(model.process_cov) if is_moving else None
        rows = jax.tree.map(lambda x: x[:0:-1], (ys, is_observed, varying, roots))
        last = jax.tree.map(lambda x: jnp.zeros_like(x[-1]), filtered)
        nothing = State(last.information, last.precision, jnp.zeros((), ys.dtype))
        _, ahead = loop.scan(back, nothing, rows)
        return jax.tree.map(lambda x, later: x.at[:-1].add(later[::-1]), filtered, ahead)
