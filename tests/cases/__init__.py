"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    calculus,
    convex,
    core,
    first_order,
    inference,
    learning,
    linalg,
    monte_carlo,
    networks,
    numerics,
    probability,
    quadrature,
    second_order,
)

CASES = (
    *core.CASES,
    *numerics.CASES,
    *linalg.CASES,
    *calculus.CASES,
    *second_order.CASES,
    *quadrature.CASES,
    *monte_carlo.CASES,
    *first_order.CASES,
    *convex.CASES,
    *probability.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
