"""What waits for the database: arrays as bytes, and the bounds."""

import numpy as np
import pytest

from serving.engine.packed import pack, unpack
from serving.store import log as logs


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (2, 0), ()])
@pytest.mark.parametrize("kind", ["float32", "int32", "uint8", "bool"])
def test_packing_keeps_every_array(shape, kind):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    found = unpack(pack({"x": array, "y": array.T}))
    np.testing.assert_array_equal(found["x"], array)
    np.testing.assert_array_equal(found["y"], array.T)
    assert found["x"].dtype == array.dtype


@pytest.mark.parametrize(
    "content",
    [b"", b"\xc1", pack({"x": np.ones(3)})[:-1], pack({"x": np.ones(3)}) + b"\0"]
    + [pack({"x": np.ones(3)}).replace(b"float64", name) for name in (b"floatxx", b"uint168")],
)
def test_what_was_not_packed_is_refused(content):
    with pytest.raises(ValueError, match="no packed arrays"):
        unpack(content)


def test_the_bounds_of_what_waits():
    waiting = logs.Waiting(logs.Bounds(records=2, bytes=10_000))
    assert waiting.has_room(6000)
    waiting.put(())
    assert not waiting.has_room(6000), "of bytes"
    assert waiting.has_room(1)
    waiting.put(())
    assert not waiting.has_room(1), "of records"
    assert waiting.dropped == 2
    waiting.take()
    assert not waiting.has_room(6000), "what is being written has its place still"
    waiting.free([6000, 1])
    assert waiting.has_room(6000)
