"""Gradients along straight lines: integrated gradients, and their mean over a background.

    φ_j(x; r) = (x_j − r_j) ∫₀¹ ∂f/∂x_j (r + t (x − r)) dt,      Σ_j φ_j = f(x) − f(r)
    expected gradients: the mean of φ(x; r) over rows r of a background

This is Aumann and Shapley's value, of a model whose features grow together; it is Shapley's where
features do not interact, and where two at most do, multiplied. The integral is taken by Gauss and
Legendre's rule, exact for polynomials of degree 2 nodes; how far the sum is from f(x) − E f, in
``info.gap``, says how well. A model with kinks (relu) is taken less well by any rule.

Source: Sundararajan, Taly & Yan (2017), *Axiomatic attribution for deep networks*, eq. 1 and
proposition 1; Erion, Janizek, Sturmfels, Lundberg & Lee (2021), *Nature Machine Intelligence* 3,
620, eq. 3 (expected gradients); Aumann & Shapley (1974), *Values of non-atomic games*.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.trust.shap import coalitions, explanation
from mastery_jax.trust.shap.explanation import Explanation, Info

__all__ = ["explain"]


@partial(jax.jit, static_argnames=("num_nodes",))
@checked
def explain(
    X: Float[Array, "n d"],
    background: Float[Array, "rows d"],
    *,
    model: Partial,
    num_nodes: int = 16,
    weights: Float[Array, " rows"] | None = None,
) -> tuple[Explanation, Info]:
    """Integrate gradients from every row of a background. O(n rows nodes outputs), of the model.

    Args:
        X: The rows to explain.
        background: Where the lines start: one row, the baseline of integrated gradients, or many,
            of whose attributions the mean is returned.
        model: A differentiable ``Partial`` from (n, d) to (n,) or (n, outputs), each row of its
            answers a function of that row alone.
        num_nodes: Of the rule, at least 1. Static.
        weights: Of the background, ≥ 0; one where None. Only their ratios count.

    Returns:
        The attributions, in the unit of the model, and the gap that the rule leaves; NaN where the
        background has no weight or a negative one, or the model has no slope.

    Raises:
        ValueError: shapes disagree, ``num_nodes`` is less than 1, or the background has no rows.

    Example:
        >>> model = Partial(lambda X: X[:, 0] * X[:, 1])
        >>> found, info = explain(jnp.array([[2.0, 3.0]]), jnp.zeros((1, 2)), model=model)
        >>> [round(float(value), 3) for value in found.values[0, :, 0]]
        [3.0, 3.0]
    """
    if num_nodes < 1:
        raise ValueError(f"gradient.explain: num_nodes is {num_nodes}, not at least 1")
    share = coalitions.shares("gradient.explain", background, weights)
    nodes, lengths = np.polynomial.legendre.leggauss(num_nodes)
    t, length = (jnp.asarray(v / 2, X.dtype) for v in (nodes + 1, lengths))

    def slopes(rows: Array) -> Array:
        answers, pull = jax.vjp(partial(coalitions.answer, model), rows)
        # A row's answers depend on that row alone: one pull gives the slopes of all rows.
        units = jnp.eye(answers.shape[1], dtype=answers.dtype)
        return jax.vmap(lambda unit: pull(jnp.broadcast_to(unit, answers.shape))[0])(units)

    def one(x: Array) -> Array:
        away = x[None, :] - background
        rows = background[None] + t[:, None, None] * away[None]
        along = slopes(rows.reshape(-1, len(x))).reshape(-1, num_nodes, *away.shape)
        with jax.default_matmul_precision("highest"):
            return jnp.einsum("ktrd,t,r,rd->dk", along, length, share, away)

    values = jax.lax.map(one, X)
    with jax.default_matmul_precision("highest"):
        expected = share @ coalitions.answer(model, background)
    return explanation.close(values, expected, coalitions.answer(model, X))
