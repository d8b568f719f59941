"""A file becomes named columns, and a column becomes numbers or class labels.

Rows are counted from 1, the line of names not among them. Nothing is filled in or left out: a
missing value, a word among numbers or a line of another length is refused with its place.
"""

import csv
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TextIO

import numpy as np

from mastery_jax.workflow.errors import DataError

__all__ = ["Table", "labels", "numbers", "read"]


class Table(NamedTuple):
    """Named columns of equal length."""

    name: str  # of the set or the file, for messages
    columns: Mapping[str, np.ndarray]  # by name; words as objects
    target: str | None  # the column to predict, where the source itself says so


def read(source: str) -> Table:
    """Read a .csv, .parquet or .npz file.

    Raises:
        DataError: The file is missing or damaged, of another kind, or its columns do not fit
            together.
    """
    path = pathlib.Path(source).expanduser()
    readers = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
    if path.is_dir():
        raise DataError(f"{source} is a folder; a data file is .csv, .parquet or .npz")
    if path.suffix.lower() not in readers:
        raise DataError(f"{source} is of no known kind; a data file is .csv, .parquet or .npz")
    try:
        table = readers[path.suffix.lower()](path)
    except FileNotFoundError:
        raise DataError(f"{source}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from None
    lengths = {name: len(column) for name, column in table.columns.items()}
    if not any(lengths.values()):
        raise DataError(f"{source} holds no rows")
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"{source}: the columns differ in length: {each}")
    return table


def _csv(path: pathlib.Path) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = next((row for row in lines if row), [])
            _check_header(path, header)
            columns = _all_numbers(file, len(header))
        if columns is None:
            columns = _words(path, len(header))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}") from None
    return Table(str(path), dict(zip(header, columns, strict=True)), None)


def _all_numbers(file: TextIO, width: int) -> Iterable[np.ndarray] | None:
    """Return the columns of what is left of a file; ``None`` where it is not all numbers.

    Cost: a tenth of :func:`_words`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a file without rows: read() says so
        try:
            rows = np.loadtxt(file, delimiter=",", quotechar='"', comments=None, ndmin=2)
        except ValueError:
            return None
    return rows.T.copy() if rows.shape[1] == width else None


def _words(path: pathlib.Path, width: int) -> Iterable[np.ndarray]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        _, *rows = [row for row in csv.reader(file, strict=True) if row]
    for index, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(
                f"{path}: row {index} has {len(row)} values, the header names {width} columns"
            )
    return np.array(rows, object).reshape(-1, width).T


def _check_header(path: pathlib.Path, header: list[str]) -> None:
    if not header:
        raise DataError(f"{path} is empty")
    if all(_is_number(name) for name in header):
        raise DataError(f"{path}: the first line must name the columns, it holds numbers")
    for index, name in enumerate(header, 1):
        if not name.strip():
            raise DataError(f"{path}: column {index} has no name")
    _refuse_twins(path, header)
    if len(header) == 1 and (other := next((c for c in ";\t|" if c in header[0]), "")):
        raise DataError(f"{path}: values must be separated by commas, they are by {other!r}")


def _refuse_twins(path: pathlib.Path, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise DataError(f"{path}: two columns are named {name}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(path: pathlib.Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise DataError(f"{path} needs pyarrow: pip install 'mastery-jax[parquet]'") from None
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} is not Parquet: {str(error).splitlines()[0]}") from None
    _refuse_twins(path, table.column_names)
    arrays = (column.to_numpy() for column in table.columns)
    return Table(str(path), dict(zip(table.column_names, arrays, strict=True)), None)


def _npz(path: pathlib.Path) -> Table:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("it holds one array without a name")
            arrays = dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not an .npz file of plain arrays: {error}") from None
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if name == "X" and array.ndim == 2:
            columns |= {f"x{index}": column for index, column in enumerate(array.T)}
        elif array.ndim == 1:
            columns[name] = array
        else:
            raise DataError(
                f"{path}: {name} has shape {array.shape}; X may have two axes, others have one"
            )
    return Table(str(path), columns, "y" if "X" in arrays and "y" in arrays else None)


def numbers(table: Table, name: str) -> np.ndarray:
    """Return a column as float64.

    Raises:
        DataError: A value is a word, missing or not finite; the first such row is named.
    """
    column = table.columns[name]
    where = f"{table.name}: column {name}"
    if column.dtype.kind not in "fiubOU":  # dates and complex numbers
        raise DataError(f"{where} must hold numbers, row 1 holds {column[0]!r}")
    try:
        values = np.asarray(column, np.float64)
    except (ValueError, TypeError):
        values = np.array([_number(cell, row, where) for row, cell in enumerate(column, 1)])
    finite = np.isfinite(values)
    if not finite.all():
        raise DataError(
            f"{where} has {np.count_nonzero(~finite)} missing or infinite values, "
            f"the first in row {np.argmin(finite) + 1}"
        )
    return values


def _number(cell: Any, row: int, where: str) -> float:
    try:
        return float("nan" if cell is None or cell == "" else cell)
    except (ValueError, TypeError):
        raise DataError(f"{where} must hold numbers, row {row} holds {cell!r}") from None


def labels(table: Table, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a column as class codes (int32), and the names of the classes in their order.

    Whole numbers are ordered by value, words by letters.

    Raises:
        DataError: A label is missing, or a number that is not whole.
    """
    column = table.columns[name]
    cells = [_label(cell) for cell in column.tolist()]
    where = f"{table.name}: column {name}"
    if "" in cells:
        raise DataError(f"{where} has no label in row {cells.index('') + 1}")
    known = set(cells)
    if all(_is_number(label) for label in known):
        for label in known:
            if not float(label).is_integer():
                raise DataError(
                    f"{where} holds {label} in row {cells.index(label) + 1}; classes are words or "
                    "whole numbers, other numbers are for a regression"
                )
        whole = {label: str(int(float(label))) for label in known}
        cells = [whole[label] for label in cells]
        order = sorted(set(cells), key=int)
    else:
        order = sorted(known)
    code = {label: index for index, label in enumerate(order)}
    return np.array([code[label] for label in cells], np.int32), tuple(order)


def _label(cell: Any) -> str:
    text = "" if cell is None or cell != cell else str(cell).strip()
    return "" if text.lower() == "nan" else text
