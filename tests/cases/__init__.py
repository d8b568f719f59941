"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    bayesian_quadrature,
    bayesopt,
    core,
    gaussian_process,
    inference,
    learning,
    networks,
    numerics,
    probability,
    second_order,
)

CASES = (
    *core.CASES,
    *numerics.CASES,
    *second_order.CASES,
    *probability.CASES,
    *gaussian_process.CASES,
    *bayesian_quadrature.CASES,
    *inference.CASES,
    *bayesopt.CASES,
    *learning.CASES,
    *networks.CASES,
)
