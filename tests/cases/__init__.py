"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    bayesopt,
    core,
    gaussian_process,
from tests.cases import calculus, core, inference, learning, linalg, networks, numerics, probability
from tests.cases import core, inference, learning, networks, numerics, probability, second_order
from tests.cases import core, inference, learning, networks, numerics, probability, quadrature
from tests.cases import core, inference, learning, monte_carlo, networks, numerics, probability
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
    bayesian_quadrature,
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
