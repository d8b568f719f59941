"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import core, inference, learning, monte_carlo, networks, numerics, probability

CASES = (
    *core.CASES,
    *numerics.CASES,
    *monte_carlo.CASES,
    *probability.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
