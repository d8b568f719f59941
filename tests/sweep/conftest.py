"""What the tests of spaces begin with."""

import pytest

from tests.test_config import HEAD


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the file of a config that sets none of its fields."""
    path = tmp_path_factory.mktemp("configs") / "bare.yaml"
    path.write_text(HEAD)
    return path


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path
