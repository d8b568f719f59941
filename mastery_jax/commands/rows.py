"""The rows that ``mastery query`` sends: NumPy's, or those of a CSV, whose columns have names."""

import csv
import io
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mastery_jax.workflow import spelling
from mastery_jax.workflow.errors import DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Sheet", "arrange", "read"]


class Sheet(NamedTuple):
    """A CSV as it was read."""

    file: str
    lines: list[tuple[int, list[str]]]  # the number of a line in the file, and its cells


def read(file: str) -> "np.ndarray | Sheet":
    """Return the rows of NumPy's own file, or the lines of a CSV; ``-`` is standard input.

    Raises:
        DataError: it cannot be read, or holds no table.
    """
    import numpy as np

    try:
        if not file.endswith(".npy"):
            path = pathlib.Path(file)
            text = sys.stdin.read() if file == "-" else path.read_text(encoding="utf-8-sig")
            return Sheet(file, list(_lines(text)))
        rows = np.load(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, csv.Error) as error:
        raise DataError(f"{file} is no table of numbers: {error}") from None
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise DataError(f"{file} holds {rows.dtype}{list(rows.shape)}, wanted rows of numbers")
    return rows


def arrange(sheet: Sheet, features: Sequence[str]) -> tuple["np.ndarray", list[str]]:
    """Return the numbers of a CSV, and the names of the columns that were left out.

    Args:
        sheet: Its first line may be names.
        features: Of the model, in its order; columns with names are put in this order, and
            without them they are taken as they stand.

    Raises:
        DataError: a feature has no column or two; or a cell is no number.
    """
    import numpy as np

    (_, first), *rest = sheet.lines
    names = [cell.strip() for cell in first]
    if all(map(_is_number, names)) and not (features and set(features) <= set(names)):
        names, lines = [f"{i + 1}" for i in range(len(names))], sheet.lines
        picked = range(len(names))
    else:
        lines = rest
        picked = _picked(sheet.file, names, features) if features else range(len(names))
    if not lines:
        raise DataError(f"{sheet.file} is no table of numbers: it has no rows")
    found = np.empty((len(lines), len(picked)))
    for row, (number, cells) in zip(found, lines, strict=True):
        for to, column in enumerate(picked):
            try:
                row[to] = float(cells[column])
            except ValueError:
                raise DataError(
                    f"{sheet.file}: line {number}, column {names[column]}: "
                    f"{cells[column]!r} is no number"
                ) from None
    return found, [name for i, name in enumerate(names) if i not in picked]


def _picked(file: str, names: Sequence[str], features: Sequence[str]) -> list[int]:
    """Return the column of each feature."""
    for name in features:
        count = names.count(name)
        if count > 1:
            raise DataError(f"{file} has {count} columns with the name {name}")
        if not count:
            others = [each for each in names if each not in features]
            raise DataError(
                f"{file} has no column {name!r}, wanted {', '.join(features)}; its first line is "
                f"{', '.join(names)}{spelling.hint(name, others)}"
            )
    return [names.index(name) for name in features]


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give the lines of a CSV that hold something.

    Raises:
        ValueError: a line has other columns than the first, or there is none.
    """
    reader, width = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")), None
    for cells in reader:
        if not cells:
            continue
        width = width or len(cells)
        if len(cells) != width:
            raise ValueError(f"line {reader.line_num} has {len(cells)} columns, wanted {width}")
        yield reader.line_num, cells
    if width is None:
        raise ValueError("it has no rows")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
