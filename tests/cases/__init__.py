"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    bayesian_quadrature,
    bayesopt,
    calculus,
    convex,
    core,
    first_order,
    gaussian_process,
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
    *gaussian_process.CASES,
    *bayesian_quadrature.CASES,
    *inference.CASES,
    *bayesopt.CASES,
    *learning.CASES,
    *networks.CASES,
)
