"""The log loss of a softmax of linear scores, its slope and its curvature.

    f(U) = Σ_i w_i (log Σ_k e^{z_ik} − z_{i,label_i}) + ½ Σ_kj l_j U_kj²,   z = U A,   Σ w = 1
    ∇f = ((P − Y) ∘ w) Aᵀ + U ∘ l
    ∇²f V = (P ∘ (T − Σ_k P_k T_k) ∘ w) Aᵀ + V ∘ l,   T = V A

with probabilities P and targets Y (outputs, n). Two classes have one output, whose rival has score
0. A class that no row has is best predicted nowhere: its score is −∞, whatever its row of U. A
holds one feature a row and ends with a row of ones: with features in rows, both products read
memory in order. Its matrix is wanted for one or many rows of weights s: A diag(s) Aᵀ. One is a
product with A; many are one product with the pairs of rows of A, in blocks of columns, which is how
``vmap`` over penalties and folds runs as well.

Source: Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 4.90-4.97 (two classes) and
4.104-4.110 (more); Böhning (1992), *Ann. Inst. Statist. Math.* 44(1) (the curvature of a softmax).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.numerics.activations import sigmoid, softmax

__all__ = ["Problem", "gradient", "hessian", "hessian_product", "link", "objective", "scores"]

BLOCK = 2**21
"""Numbers in a block of pairs of rows: what a cache of some MB holds."""


class Problem(NamedTuple):
    """What is minimized."""

    A: Float[Array, "m n"]  # one feature a row, then ones
    targets: Float[Array, "outputs n"]  # 1 at the label
    shares: Float[Array, " n"]  # weights of the samples, of sum 1
    penalty: Float[Array, " m"]  # l2, and 0 for the bias
    spread: Float[Array, " m"]  # mean square of a row of A; 0 where that is nothing but rounding
    is_present: Bool[Array, " outputs"] | None = None  # some row has the class; None: all are


def scores(U: Array, A: Array) -> Array:
    """Return U A. One output is a product with a vector, which XLA does three times faster."""
    return (U[0] @ A)[None, :] if len(U) == 1 else U @ A


def link(logits: Array, is_present: Array | None = None) -> tuple[Array, Array]:
    """Return the log-normalizer (n) and the probabilities (outputs, n) of logits (outputs, n)."""
    if len(logits) == 1:
        return jax.nn.softplus(logits[0]), sigmoid(logits)
    if is_present is not None:
        logits = jnp.where(is_present[:, None], logits, -jnp.inf)
    return jax.nn.logsumexp(logits, axis=0), softmax(logits, axis=0)


def objective(U: Array, logits: Array, problem: Problem) -> Array:
    """Return f at U, whose scores are ``logits``."""
    losses = link(logits, problem.is_present)[0] - (problem.targets * logits).sum(axis=0)
    return (problem.shares * losses).sum() + (problem.penalty[None, :] * U**2).sum() / 2


def gradient(U: Array, P: Array, problem: Problem) -> Array:
    """Return ∇f at U, where the probabilities are P."""
    off = (P - problem.targets) * problem.shares[None, :]
    return _back(off, problem.A) + problem.penalty[None, :] * U


def hessian_product(V: Array, P: Array, problem: Problem) -> Array:
    """Return ∇²f V, where the probabilities are P."""
    T = scores(V, problem.A)
    T = P * (T - (P * T).sum(axis=0)[None, :]) * problem.shares[None, :]
    return _back(T, problem.A) + problem.penalty[None, :] * V


def hessian(P: Array, problem: Problem) -> Array:
    """Return ∇²f as a matrix (outputs m, outputs m), where the probabilities are P.

    With more than one output it has no say in a shift that they share, nor in the bias of a class
    that is absent; an addition keeps it positive definite in the biases, without moving a step
    whose shift is 0.
    """
    outputs, m = len(P), len(problem.A)
    first, second = np.triu_indices(outputs)
    own = jnp.asarray(first == second, P.dtype)[:, None]
    weights = P[first] * (own - P[second]) * problem.shares[None, :]
    parts = _grams(problem.A, weights)
    place = np.zeros((outputs, outputs), int)
    place[first, second] = place[second, first] = np.arange(len(first))
    blocks = parts[place]
    if outputs > 1:
        there = jnp.ones(outputs, P.dtype)
        if problem.is_present is not None:
            there = problem.is_present.astype(P.dtype)
        shift = there[:, None] * there[None, :] / there.sum() + jnp.diag(1 - there)
        blocks = blocks.at[:, :, -1, -1].add(shift)
    matrix = blocks.transpose(0, 2, 1, 3).reshape(outputs * m, outputs * m)
    return matrix + jnp.diag(jnp.tile(problem.penalty, outputs))


def _back(T: Array, A: Array) -> Array:
    return (A @ T[0])[None, :] if len(T) == 1 else T @ A.T


@jax.custom_batching.custom_vmap
def _grams(A: Array, weights: Array) -> Array:
    """Return A diag(s) Aᵀ for every row s of ``weights``."""
    if len(weights) == 1:
        return ((A * weights) @ A.T)[None]
    return _by_pairs(A, weights)


@_grams.def_vmap
def _grams_of_lanes(size: int, in_batched: Any, A: Array, weights: Array) -> tuple[Array, bool]:
    """Take the weights of all lanes together, where the lanes share A."""
    if in_batched[0]:
        each = jax.vmap(_by_pairs, (0, 0 if in_batched[1] else None))
        return each(A, weights), True
    found = _by_pairs(A, weights.reshape(-1, A.shape[1]))
    return found.reshape(size, -1, *found.shape[1:]), True


def _by_pairs(A: Array, weights: Array) -> Array:
    m, n = A.shape
    first, second = np.triu_indices(m)
    width = max(BLOCK // len(first), 64)

    def add(total: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        A, weights = block
        return total + weights @ (A[first] * A[second]).T, None

    total = jnp.zeros((len(weights), len(first)), A.dtype)
    if n <= width:
        total, _ = add(total, (A, weights))
    else:
        blocks = [_in_blocks(rows, width) for rows in (A, weights)]
        total, _ = loop.scan(add, total, tuple(blocks))
    place = np.zeros((m, m), int)
    place[first, second] = place[second, first] = np.arange(len(first))
    return total[:, place]


def _in_blocks(rows: Array, width: int) -> Array:
    """Return columns in blocks of one width, the last filled up with zeros."""
    size, n = rows.shape
    count = -(-n // width)
    return (
        jnp.pad(rows, ((0, 0), (0, count * width - n))).reshape(size, count, width).swapaxes(0, 1)
    )
