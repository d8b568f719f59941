"""Arrays as JSON in pieces: the same bytes as in one, and no piece is long."""

import msgspec
import numpy as np
import pytest

from serving.predict import pieces
from serving.predict.pieces import PIECE, numbers

SHAPES = [
    (0,),
    (1,),
    (3, 0),
    (PIECE,),
    (PIECE + 1,),
    (3 * PIECE + 7,),
    (2, PIECE),
    (7, PIECE // 2 + 1),
    (1, 3 * PIECE),
    (5, 3, PIECE),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "bool"])
def test_they_are_what_the_list_is(shape, kind):
    array = np.random.default_rng(0).normal(scale=3, size=shape).astype(kind)
    assert msgspec.json.encode(numbers(array)) == msgspec.json.encode(array.tolist())


def test_what_is_not_finite_is_null():
    array = np.full(2 * PIECE, np.nan)
    array[1] = np.inf
    assert msgspec.json.decode(msgspec.json.encode(numbers(array))) == [None] * len(array)


def test_no_piece_is_long(monkeypatch):
    sizes = []

    def encode(rows):
        sizes.append(np.size(rows))
        return msgspec.json.encode(rows)

    monkeypatch.setattr(pieces, "_encode", encode)
    numbers(np.ones((100_000, 3)))
    assert len(sizes) > 1
    assert max(sizes) <= PIECE
