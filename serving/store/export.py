"""Recorded predictions and their truths as arrays in a file, to train from again.

One row of the file is one row of a request: its inputs, its outputs, what was true of it where that
is known, and whence it is (``prediction_id``, ``row``, ``created``, ``version``).
"""

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy import exc

from mastery_jax.workflow import files, spelling
from mastery_jax.workflow.errors import ConfigError, DataError
from serving.engine.packed import unpack
from serving.store import maintenance
from serving.store.database import READS, Database
from serving.store.tables import FEEDBACK, PREDICTIONS

__all__ = ["KINDS", "Rows", "read", "write"]

KINDS = (".npz", ".csv")
CHUNK = 5000  # predictions that are read at once


class Rows(NamedTuple):
    """All rows of one method; every array has as many."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    truth: np.ndarray  # a class by its code, or a value; NaN where it is not known
    prediction_id: np.ndarray
    row: np.ndarray  # in its request, from 0
    created: np.ndarray  # seconds since 1970
    version: np.ndarray


def read(url: str, model: str, *, method: str | None = None, version: int | None = None) -> Rows:
    """Return what is recorded of a model, the oldest first.

    Args:
        url: Of the database.
        model: Its name.
        method: By default the one that was asked, if that is one.
        version: Of this one only.

    Raises:
        ConfigError: there is no such database.
        DataError: nothing is recorded of it; or several methods, or shapes that do not go together.
    """
    if maintenance.status(url)["revision"] is None:
        raise ConfigError("store: the database has no tables; `mastery db upgrade` makes them")
    database = Database(url)
    try:
        with database.engine.connect().execution_options(**{READS: True}) as connection:
            chosen = _method(connection, model, method)
            found = list(_records(connection, model, chosen, version))
            truths = _truths(connection, model)
    except exc.SQLAlchemyError as error:
        raise maintenance.refusal(database, error) from None
    finally:
        database.engine.dispose()
    if not found:
        raise DataError(f"version: nothing of version {version} of {model} is recorded")
    return _joined(model, found, truths)


def write(out: pathlib.Path, rows: Rows, features: Sequence[str] = ()) -> None:
    """Write a file of arrays, or a table whose columns have names.

    Args:
        out: ``.npz``: arrays by their names, as ``inputs.features``, ``outputs.predictions``,
            ``truth``; or ``.csv``.
        rows: What is written.
        features: Names of the columns of ``features``, where they are known.

    Raises:
        RunError: it cannot be written.
    """
    inputs = {f"inputs.{name}": array for name, array in rows.inputs.items()}
    outputs = {f"outputs.{name}": array for name, array in rows.outputs.items()}
    beside = {name: getattr(rows, name) for name in Rows._fields[2:]}
    arrays = {name: _plain(a) for name, a in {**inputs, **outputs, **beside}.items()}
    names = {"inputs.features": features} if features else {}
    content = _npz(arrays, names) if out.suffix == ".npz" else _csv(arrays, names)
    with files.writing(out.parent):
        files.write_bytes(out, content)


def _method(connection: sa.Connection, model: str, method: str | None) -> str:
    """Return the method whose predictions are meant."""
    table = PREDICTIONS.c
    known = sorted(
        connection.scalars(sa.select(table.method).where(table.model == model).distinct())
    )
    if not known:
        models = sorted(connection.scalars(sa.select(table.model).distinct()))
        raise DataError(
            f"model: no prediction of {model} is recorded{spelling.hint(model, models)} "
            f"(models: {', '.join(models) or 'none'})"
        )
    if method is None and len(known) > 1:
        raise DataError(f"method: several of {model} are recorded, say which: {', '.join(known)}")
    if method is not None and method not in known:
        raise DataError(
            f"method: no prediction by {method} of {model} is recorded, wanted {', '.join(known)}"
        )
    return method or known[0]


def _records(
    connection: sa.Connection, model: str, method: str, version: int | None
) -> Iterator[sa.Row]:
    """Give the records, some at a time."""
    table, last = PREDICTIONS.c, 0
    query = sa.select(PREDICTIONS).where(table.model == model, table.method == method)
    if version is not None:
        query = query.where(table.version == version)
    query = query.order_by(table.number).limit(CHUNK)
    while chunk := connection.execute(query.where(table.number > last)).all():
        yield from chunk
        last = chunk[-1].number


def _truths(connection: sa.Connection, model: str) -> dict[tuple[str, int], float]:
    """Return what was true, by prediction and row."""
    told, made = FEEDBACK.c, PREDICTIONS.c
    query = sa.select(told.prediction, told.row, told.truth)
    query = query.join(PREDICTIONS, told.prediction == made.id).where(made.model == model)
    return {(name, row): truth for name, row, truth in connection.execute(query)}


def _joined(model: str, found: list[sa.Row], truths: Mapping[tuple[str, int], float]) -> Rows:
    """Return the rows of all records, one below the other."""
    import ml_dtypes  # noqa: F401  (teaches NumPy the name of bfloat16)

    counts = [record.rows for record in found]
    ids = np.repeat([record.id for record in found], counts)
    row = np.concatenate([np.arange(count) for count in counts])
    pairs = zip(ids.tolist(), row.tolist(), strict=True)
    return Rows(
        inputs=_stacked(model, [(each.version, unpack(each.inputs)) for each in found]),
        outputs=_stacked(model, [(each.version, unpack(each.outputs)) for each in found]),
        truth=np.array([truths.get(pair, np.nan) for pair in pairs]),
        prediction_id=ids,
        row=row,
        created=np.repeat([record.created for record in found], counts),
        version=np.repeat([record.version for record in found], counts),
    )


def _stacked(model: str, parts: Sequence[tuple[int, dict[str, np.ndarray]]]) -> dict[str, Any]:
    first, form = parts[0][0], _form(parts[0][1])
    for version, part in parts:
        if _form(part) != form:
            raise DataError(
                f"version: versions {first} and {version} of {model} have arrays of other names or "
                "shapes; say which version"
            )
    return {name: np.concatenate([part[name] for _, part in parts]) for name in form}


def _form(part: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape[1:] for name, array in part.items()}


def _plain(array: np.ndarray) -> np.ndarray:
    """Return an array of a dtype that NumPy's own readers know."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _npz(arrays: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]) -> bytes:
    stream = io.BytesIO()
    said = {f"names.{name}": np.array(words) for name, words in names.items()}
    contents: dict[str, Any] = {**said, **arrays}
    np.savez_compressed(stream, **contents)
    return stream.getvalue()


def _csv(arrays: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]) -> bytes:
    head, columns = [], []
    for name, array in arrays.items():
        flat = array.reshape(len(array), -1)
        told = names.get(name, ())
        if len(told) != flat.shape[1] or not arrays.keys().isdisjoint(told):
            places = np.ndindex(array.shape[1:])
            told = [name + "".join(f"[{i}]" for i in place) for place in places]
        head += told
        columns += list(flat.T)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    for cells in zip(*(column.tolist() for column in columns), strict=True):
        writer.writerow(["" if cell != cell else cell for cell in cells])  # NaN: nothing is known
    return stream.getvalue().encode()
