"""Support vector regression: a tube of width ε about the targets, a price for what lies outside.

    minimize  ½ |w|² + C Σ_i w_i max(0, |y_i − f(x_i)| − ε),      f(x) = w·φ(x) + b

by its dual, with one coefficient a row, that is 0 inside of the tube.

Source: Vapnik (1995), *The Nature of Statistical Learning Theory*, section 6.3; Smola & Schölkopf
(2004), *Statistics and Computing* 14, eq. 10.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.svm import dual, similarity

__all__ = ["Info", "State", "fit", "predict"]


class State(NamedTuple):
    """A fitted regression."""

    rows: Float[Array, "n d"]  # the training rows; if precomputed, none of them is read
    coefs: Float[Array, " n"]  # 0 for all that is no support vector
    bias: Float[Array, ""]  # unit of y
    kernel: similarity.Kernel


class Info(NamedTuple):
    """How the fit ended."""

    objective: Float[Array, ""]  # of the dual, which is minimized
    gap: Float[Array, ""]  # by which the optimality conditions are violated, unit of y
    num_steps: Int[Array, ""]
    num_support: Int[Array, ""]
    is_done: Bool[Array, ""]
    status: Int[Array, ""]  # core.status.Status


@partial(jax.jit, static_argnames=("kernel", "degree", "max_steps"))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    kernel: similarity.Name = "rbf",
    C: Scalar = 1.0,
    epsilon: Scalar = 0.1,
    gamma: Scalar | None = None,
    offset: Scalar = 0.0,
    degree: int = 3,
    coefs: Float[Array, " n"] | None = None,
    atol: Scalar = 1e-3,
    max_steps: int = 1_000_000,
) -> tuple[State, Info]:
    """Solve the dual by pairs. O(n² d) once, O(n) a step, n² numbers held.

    scikit-learn's SVR has the same optimum, ``coef0`` for ``offset`` and ``tol`` for ``atol``.

    Args:
        X: One row per sample, standardized as a rule; if precomputed, the Gram matrix.
        y: One target per sample. C and ε are in its unit: standardize it too.
        weights: ≥ 0, one where None: factors of C. A row of weight 0 is as if it were absent.
        kernel: ``linear``, ``rbf``, ``poly`` or ``precomputed``. Static.
        C: > 0, largest coefficient of a row, in the unit of y for rbf. Traced: sweep it with
            ``lax.map``.
        epsilon: ≥ 0, half the width of the tube, in the unit of y. Traced.
        gamma: Of rbf and poly, per squared unit of the features; None for ``similarity.scale``.
        offset: Of poly.
        degree: Of poly. Static.
        coefs: Those of a fit to the same rows that was stopped, or had a smaller C, to go on from.
        atol: Largest violation of the optimality conditions at which it is solved, unit of y.
        max_steps: Pairs at most. Static.

    Returns:
        The model, and Info: CONVERGED; OUT_OF_STEPS; STALLED where rounding hides a gap;
        BAD_INPUT, with NaN, for C or γ ≤ 0, ε < 0, weights that are negative or all 0, or
        ``coefs`` out of their ends; NOT_FINITE for a row with weight that is not.

    Raises:
        ValueError: no such kernel, or a Gram matrix that is not square.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0])
        >>> state, info = fit(X, y, kernel="linear", C=10.0, epsilon=0.5)
        >>> predict(state, X).round(2)
        Array([1.5, 3. , 4.5], dtype=float32)
    """
    y = y.astype(X.dtype)
    weights = jnp.ones_like(y) if weights is None else weights.astype(X.dtype)
    X = similarity.without_absent(X, weights)
    gamma = similarity.scale(X, weights=weights) if gamma is None else gamma
    form = similarity.make(kernel, gamma, offset, degree, X)
    gram = similarity.gram("svm_regressor.fit", form, X)
    is_bad = ~(weights >= 0).all() | (weights == 0).all() | ~(jnp.asarray(C, y.dtype) > 0)
    is_bad = is_bad | ~(jnp.asarray(epsilon, y.dtype) >= 0) | ~similarity.is_sound(form)
    costs = jnp.where(is_bad, jnp.nan, C * weights)
    # The coefficients add up to 0: what all targets have in common is in the bias alone.
    center = jnp.where(weights > 0, y, 0).sum() / jnp.maximum((weights > 0).sum(dtype=y.dtype), 1)
    found, info = dual.solve(
        gram,
        y - center,
        -costs,
        costs,
        epsilon=epsilon,
        coefs=coefs,
        atol=atol,
        max_steps=max_steps,
    )
    num_support = (jnp.abs(found.coefs) > 0).sum().astype(jnp.int32)  # NaN is none
    status = jnp.where(is_bad, Status.BAD_INPUT, info.status).astype(jnp.int32)
    return State(X, found.coefs, found.bias + center, form), Info(
        info.objective, info.gap, info.num_steps, num_support, info.is_done, status
    )


@jax.jit
@checked
def predict(state: State, X: Float[Array, "m d"]) -> Float[Array, " m"]:
    """Return f of every row, in the unit of y; rows as for ``fit``. O(m n d).

    If precomputed, X is the kernel of the new rows with the training rows.
    """
    is_given = isinstance(state.kernel, similarity.Precomputed)
    rows = X if is_given else similarity.cross(state.kernel, X, state.rows)
    with jax.default_matmul_precision("highest"):
        return rows @ state.coefs + state.bias
