"""Summaries: which features matter over many rows, and one row in words.

    importance_j = mean over rows of |φ_j|

Source: Lundberg et al. (2020), *Nature Machine Intelligence* 2, 56, section "global importance".
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.trust.shap.explanation import Explanation

__all__ = ["describe", "importance"]


@jax.jit
@checked
def importance(
    explained: Explanation, *, weights: Float[Array, " n"] | None = None
) -> Float[Array, "d outputs"]:
    """Return the mean size of each feature's attributions. O(n d outputs).

    Args:
        explained: Of rows that stand for those one asks about.
        weights: Of the rows, ≥ 0; one where None. Only their ratios count.

    Returns:
        The means, in the unit of the answer; NaN where no row has weight.

    Raises:
        ValueError: shapes disagree.

    Example:
        >>> explained = Explanation(jnp.array([[[1.0], [0.0]], [[-3.0], [1.0]]]), jnp.zeros(1))
        >>> importance(explained)[:, 0].tolist()
        [2.0, 0.5]
    """
    sizes = jnp.abs(explained.values)
    if weights is None:
        return sizes.mean(axis=0)
    share = (weights / weights.sum()).astype(sizes.dtype)
    return (share[:, None, None] * sizes).sum(axis=0)


def describe(
    explained: Explanation,
    *,
    names: Sequence[str],
    row: int = 0,
    output: int = 0,
    most: int = 5,
    given: Sequence[object] | None = None,
) -> str:
    """Say in words what makes one answer, the greatest part first, on the host. O(d log d).

    Args:
        explained: The attributions.
        names: Of the features.
        row: Which row.
        output: Which output.
        most: Features that are named; the others are one line together.
        given: The row's values, to stand beside the names.

    Returns:
        A line for the start, each feature named, the others, and the answer.

    Raises:
        ValueError: the names or the values are not one a feature, or there is no such row or
            output.

    Example:
        >>> explained = Explanation(jnp.array([[[0.5], [-2.0], [0.25]]]), jnp.array([10.0]))
        >>> print(describe(explained, names=["age", "sex", "bmi"], most=2, given=[51, 1, 24.3]))
        10      expected
        -2      sex = 1
        +0.5    age = 51
        +0.25   1 other
        8.75    answer
    """
    values = np.asarray(explained.values)
    n, d, outputs = values.shape
    for name, wanted in (("names", names), ("given", given)):
        if wanted is not None and len(wanted) != d:
            raise ValueError(f"summary.describe: {name} has {len(wanted)} entries, not {d}")
    for name, index, size in (("row", row, n), ("output", output, outputs)):
        if not 0 <= index < size:
            raise ValueError(f"summary.describe: {name} is {index}, not 0 to {size - 1}")
    parts, start = values[row, :, output], float(explained.expected[output])
    order = np.argsort(-np.abs(parts), kind="stable")
    labels = (
        list(names) if given is None else [f"{n} = {v}" for n, v in zip(names, given, strict=True)]
    )
    named, others = order[: max(most, 0)], order[max(most, 0) :]
    lines = [(f"{start:.4g}", "expected")]
    lines += [(f"{parts[j]:+.4g}", labels[j]) for j in named]
    if len(others):
        word = "other" if len(others) == 1 else "others"
        lines.append((f"{parts[others].sum():+.4g}", f"{len(others)} {word}"))
    lines.append((f"{start + parts.sum():.4g}", "answer"))
    return "\n".join(f"{number:<7} {label}" for number, label in lines)
