"""An explanation: a number for every row, feature and output, and where the sum starts.

    f(x) = expected + Σ_j φ_j(x)                                        (additivity)

The gap is what is missing on one side of it. It is zero but for rounding where a method is exact
or holds the sum by a constraint; of integrated and expected gradients it says how well the integral
was taken. f(x) is what the model answers, where the model is given. Trees are given as paths: f(x)
is then ``answers``, the model's own, and the gap sees a bias that was forgotten or a tree that was
read wrongly; without them f(x) is the sum of the paths and of ``bias``, and it sees rounding alone.

Source: Lundberg & Lee (2017), *A unified approach to interpreting model predictions*, property 1.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Explanation", "Info", "close"]


class Explanation(NamedTuple):
    """What each feature adds to each answer."""

    values: Float[Array, "n d outputs"]  # φ, unit of the answer
    expected: Float[Array, " outputs"]  # the answer when nothing is known of the row


class Info(NamedTuple):
    """How far the sums are from the model's answers; of trees, from ``answers`` where given."""

    gap: Float[Array, " n"]  # |f(x) − expected − Σ φ|, the greatest of the outputs; unit of f


def close(values: Array, expected: Array, answers: Array) -> tuple[Explanation, Info]:
    """Return an explanation with its gap; ``expected`` may differ from row to row. O(n d outputs).

    Args:
        values: (n, d, outputs).
        expected: (outputs,).
        answers: f of every row, (n, outputs).
    """
    off = answers - expected[None, :] - values.sum(axis=1)
    return Explanation(values, expected), Info(jnp.abs(off).max(axis=1))
