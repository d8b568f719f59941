"""What waits to be recorded keeps little in memory beside itself."""

import numpy as np
import pytest

from serving.store import log

BODY = bytes(2**20)


@pytest.mark.parametrize(
    ("array", "is_copied"),
    [
        (np.zeros((64, 10), np.float32)[:1], False),  # a batch that is no larger than a record
        (np.zeros((64, 4000), np.float32)[3:4], True),
        (np.zeros((64, 4000), np.float32), False),
        (np.frombuffer(BODY, np.float32, 3), True),
        (np.frombuffer(memoryview(BODY)[64:76], np.float32).reshape(1, 3)[:, :2], True),
        (np.frombuffer(BODY[:12], np.float32), False),
        (np.array([1.0]), False),
    ],
)
def test_a_small_part_of_something_large_is_copied(array, is_copied):
    found = log.own({"x": array})["x"]
    np.testing.assert_array_equal(found, array)
    assert (found is not array) is is_copied
    assert log.held(found) <= log.SMALL + 2 * found.nbytes
