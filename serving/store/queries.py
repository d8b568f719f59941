"""What is asked of the tables."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from sqlalchemy.dialects import postgresql, sqlite

from serving.engine.packed import unpack
from serving.errors import shown
from serving.models.registry import Snapshot
from serving.store.records import predictions_of
from serving.store.tables import FEEDBACK, PREDICTIONS
from serving.wire import Judged, Recorded, Truth

__all__ = ["Agreement", "agreements", "delete", "insert", "judge", "newest"]

FIELDS = tuple(column.name for column in PREDICTIONS.c if not column.primary_key)
SQLITE = (
    f"INSERT INTO predictions ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))}) "
    "ON CONFLICT DO NOTHING"
)
LARGEST = 3.4028234663852886e38  # of single precision: the square of what is above has no room


class Agreement(NamedTuple):
    """How the predictions of one version agree with what was true."""

    model: str
    version: int
    is_class: bool
    rows: int  # with truth
    accuracy: float  # of classes
    rmse: float  # of values


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    library = sqlite if connection.dialect.name == "sqlite" else postgresql
    return library.insert(table)


def insert(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add predictions; those that are there already (an end that nobody heard of) stay."""
    if connection.dialect.name == "sqlite":  # the driver alone takes half of the time
        connection.exec_driver_sql(SQLITE, [tuple(row[name] for name in FIELDS) for row in rows])
        return
    connection.execute(_insert(connection, PREDICTIONS).on_conflict_do_nothing(), list(rows))


def newest(connection: sa.Connection, model: str | None, limit: int) -> list[Recorded]:
    """Return the newest predictions first."""
    table = PREDICTIONS.c
    fields = (table.id, table.created, table.model, table.version, table.method)
    query = sa.select(*fields, table.request_id, table.rows, table.predicted)
    if model is not None:
        query = query.where(table.model == model)
    found = connection.execute(query.order_by(table.number.desc()).limit(limit))
    return [Recorded(*each) for each in found]


def delete(connection: sa.Connection, before: float, most: int) -> int:
    """Delete the oldest predictions and their feedback; return how many."""
    table = PREDICTIONS.c
    old = sa.select(table.number).where(table.created < before).order_by(table.created).limit(most)
    return connection.execute(sa.delete(PREDICTIONS).where(table.number.in_(old))).rowcount


def judge(connection: sa.Connection, snapshot: Snapshot, name: str, said: Truth) -> Judged:
    """Keep what was true of one row of a prediction, and say how it was predicted.

    Raises:
        HTTPException: there is no such prediction or row, or the truth is none of its kind.
    """
    table = PREDICTIONS.c
    found = connection.execute(
        sa.select(table.model, table.version, table.method, table.rows, table.outputs).where(
            table.id == name
        )
    ).one_or_none()
    if found is None:
        raise NotFoundException(f"prediction {name} is not recorded")
    if said.row >= found.rows:
        raise ClientException(f"row: {said.row} came, the prediction has {found.rows} from 0 on")
    predictions = predictions_of(unpack(found.outputs))
    if predictions is None:
        raise ClientException(
            f"prediction {name} is of {found.model}:{found.method}, which predicts nothing "
            "that a truth could be held against"
        )
    is_class = predictions.dtype.kind != "f"
    classes = _classes(snapshot, found.model, found.version)
    truth = _code(said.truth, classes, f"{found.model}/{found.version}") if is_class else None
    truth = _value("truth", said.truth) if truth is None else truth
    predicted = _value("prediction", predictions[said.row].item())
    key = {"prediction": name, "row": said.row}
    there = connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK).filter_by(**key))
    new = {"truth": truth, "created": time.time()}
    added = _insert(connection, FEEDBACK).values(
        **key, **new, predicted=predicted, is_class=is_class
    )
    keys = [FEEDBACK.c.prediction, FEEDBACK.c.row]
    connection.execute(added.on_conflict_do_update(index_elements=keys, set_=new))
    return Judged(
        prediction_id=name,
        row=said.row,
        model_id=found.model,
        model_version=found.version,
        predicted=int(predicted) if is_class else predicted,
        truth=int(truth) if is_class else truth,
        is_replaced=bool(there),
    )


def _classes(snapshot: Snapshot, model: str, version: int) -> list[str] | None:
    """Return the names of a version's classes; None where it is not loaded now."""
    served = snapshot.models.get(model)
    found = served.versions.get(version) if served else None
    return found.info.classes if found else None


def _code(truth: float | str, classes: list[str] | None, where: str) -> float:
    """Return the code of a class that is given by its code or its label.

    Raises:
        HTTPException: 400, it is no class; 409, the labels are not known now.
    """
    if isinstance(truth, str):
        if classes is None:
            detail = f"truth: {where} is not loaded, and its labels with it: give the class's code"
            raise HTTPException(detail, status_code=409)
        if truth not in classes:
            wanted = ", ".join(classes) or "a class's code: they have no labels"
            raise ClientException(f"truth: {shown(truth)} came, wanted {wanted}")
        return float(classes.index(truth))
    most = len(classes) - 1 if classes else 2**31 - 1
    if truth != int(truth) or not 0 <= truth <= most:
        raise ClientException(f"truth: {truth} came, wanted a class's code from 0 to {most}")
    return float(truth)


def _value(field: str, number: float | str) -> float:
    """Return a number that can be squared.

    Raises:
        ClientException: it is none.
    """
    if isinstance(number, str):
        raise ClientException(f"{field}: {shown(number)} came, wanted a number")
    if not -LARGEST <= number <= LARGEST:
        raise ClientException(f"{field}: {shown(str(number))} is out of range")
    return float(number)


def agreements(
    connection: sa.Connection, *, since: float, model: str | None = None
) -> list[Agreement]:
    """Return how each version did with what it was asked since then."""
    made, told = PREDICTIONS.c, FEEDBACK.c
    by = (made.model, made.version, told.is_class)
    error = told.truth - told.predicted
    query = (
        sa.select(
            *by,
            sa.func.count(),
            sa.func.avg(sa.case((error == 0, 1.0), else_=0.0)),
            sa.func.avg(error * error),
        )
        .join_from(FEEDBACK, PREDICTIONS, told.prediction == made.id)
        .where(made.created >= since)
        .group_by(*by)
        .order_by(*by)
    )
    if model is not None:
        query = query.where(made.model == model)
    return [
        Agreement(name, version, is_class, rows, float(accuracy), math.sqrt(square))
        for name, version, is_class, rows, accuracy, square in connection.execute(query)
    ]
