import pytest

from tests.compare.known import SWEEP, measured
from tests.folders import write_sweep


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path, "20261124-091200-sweep-0123ab", SWEEP, measured)
