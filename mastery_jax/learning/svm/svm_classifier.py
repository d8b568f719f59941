"""A support vector machine for two or more classes, one against one.

    minimize  ½ |w|² + C Σ_i w_i max(0, 1 − y_i f(x_i)),      f(x) = w·φ(x) + b,   y_i = ±1

by its dual, for every pair of classes i < j, with y = 1 for i. Every f that is positive is a vote
for i, else for j, and the class of most votes is predicted, of equal ones the first. Probabilities
of a pair are P(i | i or j, x) = 1 / (1 + exp(A f(x) + B)), with A and B fitted to the f of rows
that were left out, towards (n_i + 1) / (n_i + 2) and 1 / (n_j + 2), and those of all classes are

    minimize over p:  Σ_i Σ_j (r_ji p_i − r_ij p_j)²,      Σ_i p_i = 1

Source: Cortes & Vapnik (1995), *Machine Learning* 20; Chang & Lin (2011), *ACM TIST* 2(3),
sections 4.1, 7 (votes) and 8; Platt (1999); Lin, Lin & Weng (2007), *Machine Learning* 68 (A, B);
Wu, Lin & Weng (2004), *JMLR* 5, eq. 15-18 (coupling).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.svm import coupling, pairs, similarity

__all__ = ["Info", "State", "decision_function", "fit", "predict", "predict_proba"]


class State(NamedTuple):
    """A fitted classifier; of K classes there are K (K − 1) / 2 pairs: (0, 1), (0, 2) and so on."""

    rows: Float[Array, "n d"]  # the training rows; if precomputed, none of them is read
    coefs: Float[Array, "pairs n"]  # y_i α_i; 0 for all that is no support vector
    bias: Float[Array, " pairs"]
    kernel: similarity.Kernel
    links: Float[Array, "pairs 2"]  # (A, B); NaN where no folds were asked for


class Info(NamedTuple):
    """How the fits of the pairs ended."""

    objective: Float[Array, " pairs"]  # of the dual, which is minimized
    gap: Float[Array, " pairs"]  # by which the optimality conditions are violated
    num_steps: Int[Array, " pairs"]
    num_support: Int[Array, " classes"]  # rows with a coefficient in some pair
    is_done: Bool[Array, ""]  # of all pairs
    status: Int[Array, ""]  # core.status.Status, of the worst pair, or fold of it


@partial(
    jax.jit,
    static_argnames=(
        "num_classes", "kernel", "degree", "num_folds", "rows_per_class", "max_steps"
    ),
)  # fmt: skip
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    kernel: similarity.Name = "rbf",
    C: Scalar = 1.0,
    gamma: Scalar | None = None,
    offset: Scalar = 0.0,
    degree: int = 3,
    num_folds: int = 0,
    rows_per_class: int | None = None,
    coefs: Float[Array, "pairs n"] | None = None,
    atol: Scalar = 1e-3,
    max_steps: int = 1_000_000,
) -> tuple[State, Info]:
    """Solve the dual of every pair. O(n² d) once, O(n) a step, n² numbers held.

    The Gram matrix is computed once for all pairs and folds. scikit-learn's SVC has the same
    optimum, ``coef0`` for ``offset`` and ``tol`` for ``atol``.

    Args:
        X: One row per sample, standardized as a rule; if precomputed, the Gram matrix.
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None: factors of C. A row of weight 0 is as if it were absent.
        kernel: ``linear``, ``rbf``, ``poly`` or ``precomputed``. Static.
        C: > 0, the price of a violated margin, per row. Traced: sweep it with ``lax.map``.
        gamma: Of rbf and poly, per squared unit of the features; None for ``similarity.scale``.
        offset: Of poly.
        degree: Of poly. Static.
        num_folds: Folds that are left out in turn for probabilities; 0 leaves them out. Rows go
            to the folds in turn, class by class, so that no randomness is needed. Static.
        rows_per_class: Rows of the largest class, or more, where it is known:
            ``int(np.bincount(labels).max())``. A step then costs O(rows_per_class), which makes
            ten classes some three times faster. Static.
        coefs: Those of a fit to the same rows that was stopped, or had a smaller C, to go on from.
        atol: Largest violation of the optimality conditions at which a pair is solved.
        max_steps: Of each pair. Static.

    Returns:
        The model, and Info: CONVERGED; OUT_OF_STEPS; STALLED in float32 for a C beyond some 1e5;
        BAD_INPUT, with NaN, for C or γ ≤ 0, weights that are negative or all 0, a label that is no
        code, fewer than two classes with weight, a class of more than ``rows_per_class`` rows, or
        ``coefs`` out of their ends; NOT_FINITE for a row with weight that is not.

    Raises:
        ValueError: fewer than two classes, one fold, no such kernel, a Gram matrix that is not
            square, or no rows per class.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1])
        >>> state, info = fit(X, labels, num_classes=2, kernel="linear", C=10.0)
        >>> predict(state, X), info.num_support
        (Array([0, 0, 1, 1], dtype=int32), Array([1, 1], dtype=int32))
    """
    _insist_on_options(num_classes, num_folds, rows_per_class)
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights.astype(X.dtype)
    raw, X = X, similarity.without_absent(X, weights)
    gamma = similarity.scale(X, weights=weights) if gamma is None else gamma
    form = similarity.make(kernel, gamma, offset, degree, X)
    is_bad = _is_bad(labels, weights, C, num_classes) | ~similarity.is_sound(form)
    starts, order, ordered = None, None, X
    size = len(X) if rows_per_class is None else rows_per_class
    size += -size % 8  # of both classes it is then a multiple of the dual's pieces
    if 2 * size < len(X):
        order, starts, most = pairs.by_class(labels, num_classes)
        is_bad = is_bad | (most > size)
        labels, weights = labels[order], weights[order]
        coefs = None if coefs is None else coefs[:, order]
        ordered = raw[order]
        if isinstance(form, similarity.Precomputed):
            ordered = ordered.T[order]  # it is symmetric, and rows are copied fast
        # Masked last: what depends on no weights is computed once for all folds of a loop.
        ordered = similarity.without_absent(ordered, weights)
    gram = similarity.gram("svm_classifier.fit", form, ordered)
    rows = pairs.Rows(gram, labels, jnp.where(is_bad, jnp.nan, C * weights), starts)
    solution = partial(pairs.solution, size=size, atol=atol, max_steps=max_steps)
    every = pairs.all_of(num_classes)

    def of_pair(_: None, given: tuple[Array, Array | None]) -> tuple[None, Any]:
        return None, solution(rows, *given)

    _, (found, info) = loop.scan(of_pair, None, (every, coefs))
    links, status = jnp.full((len(every), 2), jnp.nan, X.dtype), info.status.max()
    if num_folds:
        left_out = partial(_left_out, rows=rows, solution=solution, num_folds=num_folds)
        _, (links, ends) = loop.scan(lambda _, pair: (None, left_out(pair)), None, every)
        status = jnp.maximum(status, ends.max())
    is_support = (jnp.abs(found.coefs) > 0).any(axis=0)  # NaN is none
    codes = jnp.arange(num_classes, dtype=labels.dtype)
    num_support = (is_support[None, :] & (labels[None, :] == codes[:, None])).sum(axis=1)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    found_coefs = found.coefs
    if order is not None:
        found_coefs = jnp.zeros_like(found_coefs).at[:, order].set(found_coefs)
    state = State(X, found_coefs, found.bias, form, links)
    num_support = num_support.astype(jnp.int32)
    return state, Info(
        info.objective, info.gap, info.num_steps, num_support, info.is_done.all(), status
    )


@partial(jax.jit, static_argnames=("shape",))
@checked
def decision_function(
    state: State, X: Float[Array, "m d"], *, shape: Literal["ovr", "ovo"] = "ovr"
) -> Float[Array, "m *columns"]:
    """Return how far every row is on the one side of each pair, or how much it is of each class.

    O(m n d + m n K²).

    Args:
        state: What ``fit`` returned.
        X: One row per sample; if precomputed, its kernel with the training rows.
        shape: ``ovo`` for one column per pair (i, j), positive for i; ``ovr`` for one per class:
            its votes, and less than half a vote for how clear they were. Static.

    Returns:
        For two classes one number a row, positive for class 1.

    Raises:
        ValueError: no such shape.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1])
        >>> state, _ = fit(X, labels, num_classes=2, kernel="linear", C=10.0)
        >>> decision_function(state, X).round(2)
        Array([-3., -1.,  1.,  3.], dtype=float32)
    """
    sides = _decide(state, X)
    if sides.shape[1] == 1:
        return -sides[:, 0]
    if shape == "ovo":
        return sides
    if shape != "ovr":
        raise ValueError(f"svm_classifier.decision_function: shape is {shape!r}, not ovr or ovo")
    # By scikit-learn's rule the sums are squeezed into (−1/3, 1/3), so that no vote is overturned.
    votes, sums = _votes(sides, (sides > 0).astype(sides.dtype)), _votes(sides, sides, signed=True)
    return votes + sums / (3 * (jnp.abs(sums) + 1))


@jax.jit
@checked
def predict(state: State, X: Float[Array, "m d"]) -> Int[Array, " m"]:
    """Return the code of the class with most votes, the first of equal ones. O(m n (d + K²))."""
    sides = _decide(state, X)
    return _votes(sides, (sides > 0).astype(sides.dtype)).argmax(axis=1).astype(jnp.int32)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "m d"]) -> Float[Array, "m classes"]:
    """Return every class's probability for every row. O(m n (d + K²) + m K³).

    It may disagree with ``predict``, which asks the votes.

    Args:
        state: Fitted with ``num_folds``; otherwise all is NaN.
        X: One row per sample; if precomputed, its kernel with the training rows.
    """
    sides = _decide(state, X)
    A, B = state.links.T
    return coupling.couple(jax.nn.sigmoid(-(A[None, :] * sides + B[None, :])))


def _decide(state: State, X: Array) -> Array:
    """Return f of every row and pair, positive for the first of the pair."""
    is_given = isinstance(state.kernel, similarity.Precomputed)
    rows = X if is_given else similarity.cross(state.kernel, X, state.rows)
    with jax.default_matmul_precision("highest"):
        return rows @ state.coefs.T + state.bias[None, :]


def _votes(sides: Array, values: Array, *, signed: bool = False) -> Array:
    """Add up what the pairs give to the first of them, and the rest of it to the second."""
    num_classes = coupling.count(sides.shape[1])
    one, other = jnp.triu_indices(num_classes, 1)
    rest = -values if signed else 1 - values
    codes = jnp.arange(num_classes)[None, :]
    to_one, to_other = ((pair[:, None] == codes).astype(sides.dtype) for pair in (one, other))
    with jax.default_matmul_precision("highest"):
        return values @ to_one + rest @ to_other


def _insist_on_options(num_classes: int, num_folds: int, rows_per_class: int | None) -> None:
    if num_classes < 2:
        raise ValueError(f"svm_classifier.fit: num_classes is {num_classes}, not at least 2")
    if num_folds < 0 or num_folds == 1:
        raise ValueError(f"svm_classifier.fit: num_folds is {num_folds}, not 0 or at least 2")
    if rows_per_class is not None and rows_per_class < 1:
        raise ValueError(f"svm_classifier.fit: rows_per_class is {rows_per_class}, not at least 1")


def _is_bad(labels: Array, weights: Array, C: Scalar, num_classes: int) -> Array:
    is_code = (labels >= 0) & (labels < num_classes)
    codes = jnp.arange(num_classes, dtype=labels.dtype)
    is_there = ((labels[None, :] == codes[:, None]) & (weights > 0)[None, :]).any(axis=1)
    is_wrong = (~is_code & (weights != 0)).any() | ~(weights >= 0).all() | (is_there.sum() < 2)
    return is_wrong | ~(jnp.asarray(C, weights.dtype) > 0)


def _left_out(
    pair: Array, *, rows: pairs.Rows, solution: Callable[..., Any], num_folds: int
) -> tuple[Array, Array]:
    """Return A and B of a pair, fitted to rows that other rows have judged, and the worst end."""
    folds = pairs.folds(rows.labels, rows.costs, num_folds)

    def judge(_: None, fold: Array) -> tuple[None, tuple[Array, Array]]:
        trained = rows._replace(costs=jnp.where(folds == fold, 0, rows.costs))
        state, info = solution(trained, pair, None)
        with jax.default_matmul_precision("highest"):
            return None, (rows.gram @ state.coefs + state.bias, info.status)

    _, (judged, ends) = loop.scan(judge, None, jnp.arange(num_folds))
    decided = jnp.take_along_axis(judged, folds[None, :], axis=0)[0]
    targets = pairs.sides(rows.labels, pair, rows.costs)[0]
    links, end = coupling.link(decided, targets, jnp.where(rows.costs > 0, 1, 0))
    return links, jnp.maximum(ends.max(), end)
