"""One input of a method: from nested lists, or an array, to an array that the program takes."""

import functools

import numpy as np
from litestar.exceptions import ClientException

from mastery_jax.workflow import artifact
from mastery_jax.workflow.stablehlo import dtype
from serving.wire import Rows

__all__ = ["Field", "number"]

NUMBERS = {"b": bool, "i": int, "u": int}  # NumPy's letter -> what JSON must hold; else float


def number(tensor: artifact.Tensor) -> type:
    """Return what JSON holds of a tensor: bool, int or float."""
    return NUMBERS.get(dtype(tensor).kind, float)


class Field:
    """One input of a method."""

    def __init__(self, name: str, tensor: artifact.Tensor) -> None:
        self.name = name
        self.dtype = dtype(tensor)
        self.row = tensor.shape[1:]
        self.number = number(tensor)
        self.type = functools.reduce(lambda inner, _: list[inner], tensor.shape, self.number)

    def read(self, rows: Rows) -> np.ndarray:
        """Return rows of numbers as an array; no rows are none.

        Raises:
            ClientException: they are ragged, of another shape, or out of range.
        """
        if not rows:
            return np.empty((0, *self.row), self.dtype)
        try:
            with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
                array = np.array(rows, self.dtype)
        except OverflowError:
            raise self.refusal("a number is out of range") from None
        except ValueError:
            raise self.refusal(self._odd(rows)) from None
        return self.hold(array)

    def hold(self, array: np.ndarray) -> np.ndarray:
        """Return an array of this field's dtype if its shape and its numbers are fit.

        Raises:
            ClientException: they are not.
        """
        if array.shape[1:] != self.row:
            raise self.refusal(f"the shape is {list(array.shape)}")
        if self.number is float and not np.isfinite(array).all():
            row = int(np.isfinite(array).reshape(len(array), -1).all(axis=1).argmin())
            is_nan = np.isnan(array[row]).any()
            what = "NaN" if is_nan else "an infinity, or a number that is out of range"
            raise self.refusal(f"row {row} has {what}")
        return array

    def read_row(self, row: Rows) -> np.ndarray:
        """Return one row of numbers as an array of one row.

        Raises:
            ClientException: as :meth:`read`.
        """
        if (len(row),) != self.row:
            came = f"{self.name} has {len(row)} numbers"
            raise ClientException(f"{came}, wanted {', '.join(map(str, self.row))}")
        return self.read([row])

    def _odd(self, rows: Rows) -> str:
        """Say which of the rows is the first that has not the shape of a row."""
        for i, row in enumerate(rows):
            try:
                shape = np.shape(row)
            except ValueError:
                return f"row {i} is ragged"
            if shape != self.row:
                return f"row {i} has the shape {list(shape)}"
        return "the rows differ in shape"

    def refusal(self, came: str) -> ClientException:
        """Return the refusal that says what came and what was wanted."""
        wanted = ", ".join(["rows", *map(str, self.row)])
        return ClientException(f"{self.name}: {came}, wanted {self.dtype}[{wanted}]")
