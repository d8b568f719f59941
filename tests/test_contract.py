"""Every law on every case, and a reason for every exemption."""

import pytest

from tests.cases import CASES
from tests.contract import LAWS, unexplained


def grouped(case):
    """Keep the laws of a case on one worker: they share its compiled programs."""
    return pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(case.name))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", [grouped(case) for case in CASES])
def test_contract(case, law):
    law(case)


def test_every_exemption_has_a_reason():
    assert unexplained(CASES) == []


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
