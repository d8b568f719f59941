"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import calculus, core, inference, learning, linalg, networks, numerics, probability

CASES = (
    *core.CASES,
    *numerics.CASES,
    *linalg.CASES,
    *calculus.CASES,
    *probability.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
