"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import core, inference, learning, networks, numerics, ode, probability

CASES = (
    *core.CASES,
    *numerics.CASES,
    *ode.CASES,
    *probability.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
