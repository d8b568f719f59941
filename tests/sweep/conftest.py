"""What the tests of spaces begin with."""

import pytest

from tests.test_config import HEAD


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the file of a config that sets none of its fields."""
    path = tmp_path_factory.mktemp("configs") / "bare.yaml"
    path.write_text(HEAD)
    return path
