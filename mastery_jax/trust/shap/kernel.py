"""KernelSHAP: Shapley values of any model, as the weights of a linear model of its coalitions.

    minimize  Σ_S π(|S|) (v(S) − v(∅) − Σ_{j∈S} φ_j)²,   Σ_j φ_j = v(all) − v(∅)
    π(s) = (d − 1) / (C(d, s) s (d − s))

over all 2^d − 2 sets, the minimum is Shapley's value. Where these are too many, sizes are taken
whole, S with its complement, from 1 and d − 1 inwards; of the other sizes sets are drawn in pairs,
S and its complement, which share what is left of the weight. Of weight μ by p pairs the variance
goes as μ²/p: a size is taken whole where that makes μ²/p no greater, and d pairs are left. The
constraint takes one feature out, and all rows share one factor of the (d − 1)² matrix.

The errors are those of the sets drawn (the sandwich of weighted least squares over pairs), each
residual divided by 1 − h, its pair's leverage h: what is missing when that pair is left out, since
few pairs are followed too closely. On average they are up to a quarter larger than the true ones.

Source: Lundberg & Lee (2017), *A unified approach to interpreting model predictions*, theorem 2;
Covert & Lee (2021), *Improving KernelSHAP*, section 3 (pairs); White (1980),
*Econometrica* 48, 817; MacKinnon & White (1985), *Journal of Econometrics* 29, 305 (the leverage).
"""

import itertools
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.trust.shap import coalitions, explanation
from mastery_jax.trust.shap.explanation import Explanation

__all__ = ["Info", "explain"]


class Info(NamedTuple):
    """How good the attributions are."""

    gap: Float[Array, " n"]  # |f(x) − expected − Σ φ|; unit of f
    std_error: Float[Array, "n d outputs"]  # of φ; 0 of all sets, NaN of fewer than d − 1 pairs


@partial(jax.jit, static_argnames=("num_coalitions",))
@checked
def explain(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    background: Float[Array, "rows d"],
    *,
    model: Partial,
    num_coalitions: int = 2048,
    weights: Float[Array, " rows"] | None = None,
) -> tuple[Explanation, Info]:
    """Fit a linear model to coalitions. O(n coalitions (rows f + d²)), f the cost of an answer.

    Args:
        key: Draws the sets; not read where all fit.
        X: The rows to explain.
        background: What unknown features are taken from, jointly.
        model: A ``Partial`` from (n, d) to (n,) or (n, outputs).
        num_coalitions: Sets beside none and all, at least 2 d. Static. From 2^d − 2 on, all are
            taken, and the values are exact.
        weights: Of the background, ≥ 0; one where None. Only their ratios count.

    Returns:
        The attributions, in the unit of the model, with their errors; NaN where the background has
        no weight or a negative one, or the model answers with NaN. Of fewer than 4 d − 2 sets that
        are not all, too few are drawn for an error, which is NaN.

    Raises:
        ValueError: shapes disagree, ``num_coalitions`` is too small for the regression, or the
            background has no rows.

    Example:
        >>> model = Partial(lambda X: X[:, 0] * X[:, 1])
        >>> X, background = jnp.array([[2.0, 3.0]]), jnp.zeros((1, 2))
        >>> found, info = explain(jax.random.key(0), X, background, model=model)
        >>> [round(float(value), 3) for value in found.values[0, :, 0]]
        [3.0, 3.0]
    """
    d = X.shape[1]
    if d > 1 and num_coalitions < min(2 * d, 2**d - 2):
        raise ValueError(
            f"kernel.explain: num_coalitions is {num_coalitions}, not at least {2 * d}"
        )
    share = coalitions.shares("kernel.explain", background, weights)
    ends = jnp.broadcast_to(jnp.array([[False], [True]]), (2, d))
    known, weight, num_fixed = _sets(key, d, num_coalitions, X.dtype)

    def one(x: Array) -> tuple[Array, Array, Array, Array]:
        found = coalitions.worth(model, x, jnp.concatenate([ends, known]), background, share)
        nothing, whole = found[0], found[1]
        values, error = _solve(known, weight, num_fixed, found[2:] - nothing[None], whole - nothing)
        return values, error, nothing, whole

    values, error, nothing, whole = jax.lax.map(one, X)
    explained, info = explanation.close(values, nothing[0], whole)
    return explained, Info(gap=info.gap, std_error=error)


def _sets(key: Array, d: int, num_coalitions: int, dtype: np.dtype) -> tuple[Array, Array, int]:
    """Return sets, their weights, and how many of them, in front, were not drawn."""
    if d == 1:
        none = jnp.zeros((0, 1), bool)
        return none, jnp.zeros(0, dtype), 0
    sizes = np.arange(1, d)
    mass = (d - 1) / (sizes * (d - sizes))  # of all sets of a size
    mass = mass / mass.sum()
    num_whole, left = _whole(d, num_coalitions, mass)
    taken, weight = [], []
    for size in range(1, num_whole + 1):
        rows = np.zeros((math.comb(d, size), d), bool)
        for row, members in zip(rows, itertools.combinations(range(d), size), strict=True):
            row[list(members)] = True
        both = [rows] if 2 * size == d else [rows, ~rows]
        taken += both
        weight += [np.full(len(rows), mass[size - 1] / len(rows)) for _ in both]
    inner = np.arange(num_whole + 1, d - num_whole)
    pairs = left // 2 if len(inner) else 0
    fixed = jnp.asarray(np.concatenate([*taken, np.zeros((0, d), bool)]))
    of_fixed = np.concatenate([*weight, np.zeros(0)])
    drawn = _draw(key, pairs, d, mass[inner - 1]) if pairs else jnp.zeros((0, d), bool)
    of_drawn = np.full(2 * pairs, mass[inner - 1].sum() / max(2 * pairs, 1))
    return (
        jnp.concatenate([fixed, drawn]),
        jnp.asarray(np.concatenate([of_fixed, of_drawn]), dtype),
        len(of_fixed),
    )


def _whole(d: int, num_coalitions: int, mass: np.ndarray) -> tuple[int, int]:
    """Return up to which size sets are taken whole, and how many are left to be drawn."""
    left, rest = num_coalitions, 1.0
    for size in range(1, d // 2 + 1):
        times = 1 if 2 * size == d else 2
        spare = left - times * math.comb(d, size)
        kept = rest - times * mass[size - 1]
        is_all = 2 * size >= d - 1
        is_better = spare >= 2 * d and spare / left >= (kept / rest) ** 2
        # Without the sets of one feature, those that are drawn need not determine all values.
        if spare < 0 or not (size == 1 or is_all or is_better):
            return size - 1, left
        left, rest = spare, kept
    return d // 2, left


def _draw(key: Array, pairs: int, d: int, mass: np.ndarray) -> Bool[Array, "sets d"]:
    """Draw sets, a size by its mass and then the members; each is followed by its complement."""
    size_key, member_key = jax.random.split(key)
    first = (d - len(mass) + 1) // 2  # the smallest size that is not taken whole
    logits = jnp.log(jnp.asarray(mass))
    size = first + jax.random.categorical(size_key, logits, shape=(pairs,))
    order = jnp.argsort(jax.random.uniform(member_key, (pairs, d)), axis=1)
    rank = jnp.argsort(order, axis=1)
    known = rank < size[:, None].astype(rank.dtype)
    return jnp.stack([known, ~known], axis=1).reshape(2 * pairs, d)


def _solve(
    known: Array, weight: Array, num_fixed: int, worth: Array, total: Array
) -> tuple[Array, Array]:
    """Return the constrained minimum (d, outputs), and its errors from the pairs drawn."""
    z, d = known.astype(weight.dtype), known.shape[1]
    if d == 1:
        return total[None, :], jnp.zeros_like(total)[None, :]
    with jax.default_matmul_precision("highest"):
        design = z[:, :-1] - z[:, -1:]
        target = worth - z[:, -1:] * total[None, :]
        factor = cho_factor(design.T @ (weight[:, None] * design), lower=True)
        free = cho_solve(factor, design.T @ (weight[:, None] * target))
        values = jnp.concatenate([free, (total - free.sum(axis=0))[None, :]])
        num_drawn = len(known) - num_fixed
        if num_fixed == 2**d - 2:
            return values, jnp.zeros_like(values)
        if num_drawn < 2 * (d - 1):
            return values, jnp.full_like(values, jnp.nan)
        # A pair is one draw: its two sets say the same of the odd part of the model.
        off = weight[num_fixed:, None] * (target - design @ free)[num_fixed:]
        score = design[num_fixed:, :, None] * off[:, None, :]
        odd = design[num_fixed::2]
        leverage = 2 * weight[num_fixed] * (odd * cho_solve(factor, odd.T).T).sum(axis=1)
        score = (score[::2] + score[1::2]) / (1 - leverage)[:, None, None]
        meat = jnp.einsum("pik,pjk->kij", score, score)
        inner = jax.vmap(lambda m: cho_solve(factor, cho_solve(factor, m).T))(meat)
    spread = jnp.concatenate(
        [jnp.diagonal(inner, axis1=1, axis2=2), inner.sum(axis=(1, 2))[:, None]], axis=1
    )
    return values, jnp.sqrt(jnp.maximum(spread, 0)).T
