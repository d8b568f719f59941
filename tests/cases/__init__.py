"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    calculus,
    convex,
    core,
    distributions,
    first_order,
    inference,
    information,
    learning,
    linalg,
    monte_carlo,
    networks,
    numerics,
    probability,
    quadrature,
    second_order,
)
from tests.cases import core, inference, learning, networks, numerics, ode, probability

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
    *ode.CASES,
    *probability.CASES,
    *information.CASES,
    *distributions.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
