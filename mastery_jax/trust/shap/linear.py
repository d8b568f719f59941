"""Linear SHAP: Shapley values of f(x) = W x + b, in closed form.

    features that are not known are taken from the background, jointly:   φ_j = W_j (x_j − mean_j)

The game is a sum over features, so that every order of them gives the same; no correlation between
features enters, since what is known does not change what is not.

Source: Lundberg & Lee (2017), *A unified approach to interpreting model predictions*, corollary 1.
"""

import jax
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.trust.shap import coalitions, explanation
from mastery_jax.trust.shap.explanation import Explanation, Info

__all__ = ["explain"]


@jax.jit
@checked
def explain(
    X: Float[Array, "n d"],
    background: Float[Array, "rows d"],
    coefficients: Float[Array, "outputs d"],
    bias: Float[Array, " outputs"],
    *,
    weights: Float[Array, " rows"] | None = None,
) -> tuple[Explanation, Info]:
    """Attribute a linear model to its features. O((n + rows) d outputs).

    Args:
        X: The rows to explain.
        background: What unknown features are taken from; only its mean is read.
        coefficients: W, one line an output: ``ridge.State.weights[None]``.
        bias: b of each output.
        weights: Of the background, ≥ 0; one where None. Only their ratios count.

    Returns:
        The attributions, in the unit of the model (of logistic regression: of log odds); NaN where
        the background has no weight or a negative one.

    Raises:
        ValueError: shapes disagree, or the background has no rows.

    Example:
        >>> import jax.numpy as jnp
        >>> X, background = jnp.array([[3.0, 1.0]]), jnp.array([[0.0, 0.0], [2.0, 0.0]])
        >>> found, info = explain(X, background, jnp.array([[2.0, 5.0]]), jnp.array([1.0]))
        >>> found.values[0, :, 0].tolist(), found.expected.tolist()
        ([4.0, 5.0], [3.0])
    """
    with jax.default_matmul_precision("highest"):
        mean = coalitions.shares("linear.explain", background, weights) @ background
        values = (X - mean[None, :])[:, :, None] * coefficients.T[None, :, :]
        answers = X @ coefficients.T + bias[None, :]
        return explanation.close(values, coefficients @ mean + bias, answers)
