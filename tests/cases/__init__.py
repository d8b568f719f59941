"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    convex,
    core,
    first_order,
    inference,
    learning,
    networks,
    numerics,
    probability,
)

CASES = (
    *core.CASES,
    *numerics.CASES,
    *first_order.CASES,
    *convex.CASES,
    *probability.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
