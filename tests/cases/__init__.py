"""One Case per public function of arrays. A new algorithm enters the contract by one entry."""

from tests.cases import (
    core,
    distributions,
    inference,
    information,
    learning,
    networks,
    numerics,
    probability,
)

CASES = (
    *core.CASES,
    *numerics.CASES,
    *probability.CASES,
    *information.CASES,
    *distributions.CASES,
    *inference.CASES,
    *learning.CASES,
    *networks.CASES,
)
