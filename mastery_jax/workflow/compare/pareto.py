"""Several objectives at once: what no other point is better than.

With every objective so that more is better, a dominates b where a_i >= b_i for all i and a_j > b_j
for some j. The front is what nothing dominates; equal points stay or go together.

Source: Kung, Luccio and Preparata (1975), On finding the maxima of a set of vectors.
"""

import math
from collections.abc import Sequence

__all__ = ["front"]


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Say of each point whether it is on the front. Cost: O(n log n + n f) for a front of f.

    Points are taken from the best first objective down, ties by the second and so on: what comes
    later never dominates what came before, and is held against the front so far alone.

    Args:
        points: One row a point, all of one length, more is better.

    Returns:
        False for a point with a NaN, which dominates nothing either.
    """
    found = [False] * len(points)
    kept: list[tuple[float, ...]] = []
    whole = [(tuple(point), i) for i, point in enumerate(points) if not any(map(math.isnan, point))]
    for point, index in sorted(whole, reverse=True):
        if any(_dominates(other, point) for other in kept):
            continue
        found[index] = True
        if point not in kept[-1:]:
            kept.append(point)
    return found


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))
