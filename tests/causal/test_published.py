"""Published effects on real data: every digit that was published, and their standard errors."""

import numpy as np
import pytest

from tests import effects

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def rows(reference):
    return effects.rows_of(reference)


def test_every_published_effect(rows):
    assert len(rows) == 22
    for row in rows:
        np.testing.assert_allclose(row.ours, row.published, rtol=2e-6, err_msg=str(row))


def test_every_published_standard_error(rows):
    told = [row for row in rows if row.error is not None]
    assert len(told) == 12
    for row in told:
        np.testing.assert_allclose(row.our_error, row.error, rtol=2e-6, err_msg=str(row))
