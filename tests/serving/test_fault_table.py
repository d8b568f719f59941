"""The table of faults names tests that there are."""

import re

import pytest

from tests import faults


@pytest.mark.parametrize("family", faults.FAMILIES, ids=lambda family: family.title)
def test_a_family_names_tests_that_there_are(family):
    for test in family.tests:
        file, _, name = test.partition("::")
        text = (faults.FOLDER / file).read_text()
        assert name == "" or re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), test


def test_families_have_titles_of_their_own():
    titles = [family.title for family in faults.FAMILIES]
    assert len(set(titles)) == len(titles)
