"""Every law on every case; the run prints how many exemptions the table grants."""

import pytest

from tests.cases import CASES
from tests.contract import LAWS


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract(case, law):
    law(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_exemption_has_a_reason(case):
    assert not case.exemptions or len(case.because) > 15, case.exemptions


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
