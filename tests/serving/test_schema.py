"""Every route, as its own documents describe it, fuzzed over a real connection.

What a model takes is its own affair, so that a body of the right form may be refused: that check
is left out.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.serving import served

FEW = settings(
    max_examples=20, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def documented(published):
    with served.running(models=published) as (address, _):
        yield schemathesis.openapi.from_url(f"http://{address}/docs/openapi.json")


def test_no_route_fails_or_answers_otherwise_than_documented(documented):
    told = []
    for found in documented.get_all_operations():
        operation = found.ok()

        @FEW
        @given(case=operation.as_strategy())
        def ask(case):
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        try:
            ask()
        except (Exception, BaseExceptionGroup) as error:  # the others are tried all the same
            told.append(f"{operation.label}: {error}")
    assert not told, "\n\n".join(told)
