"""Named sets and files become arrays, with what is wrong said in one sentence.

A config holds one of the blocks below. Features stay in raw units: ``center`` and ``scale`` are
the mean and the standard deviation of the training rows, and the experiment applies them inside
its functions, so that a served model takes raw features. Floats come in jax's default dtype,
float32 unless x64 is on.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from mastery_jax.workflow import bundled, columns, spelling
from mastery_jax.workflow.columns import Table
from mastery_jax.workflow.errors import DataError
from mastery_jax.workflow.experiment import Static

__all__ = [
    "Classification",
    "Columns",
    "Dataset",
    "Regression",
    "Samples",
    "Series",
    "load",
]

_TRUE = ("y", "yes", "t", "true", "on", "1")  # as jax reads its environment

Fraction = Annotated[float, Static, msgspec.Meta(gt=0, lt=1, description="rows kept for testing")]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows come from."""

    source: Annotated[
        str, msgspec.Meta(description="a bundled set, or a .csv, .parquet or .npz file")
    ]
    columns: Annotated[
        tuple[str, ...], msgspec.Meta(description="which to read; empty: all but the target")
    ] = ()


class Columns(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every row, an array for each column: ``{name: [n]}``."""


class Series(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every row in order: ``{"y": [time, obs]}``."""


class Samples(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows without a target: ``{"train": {"X"}, "test": {"X"}, "center", "scale"}``."""

    test_fraction: Fraction = 0.2
    split_seed: Annotated[int, msgspec.Meta(ge=0, description="which rows are for testing")] = 0
    standardize: Annotated[bool, msgspec.Meta(description="or leave center 0 and scale 1")] = True


class Regression(Samples, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows with a number to predict: as Samples, with ``y``, ``y_center`` and ``y_scale``."""

    target: Annotated[
        str | None, msgspec.Meta(description="column to predict; by default the last, y in .npz")
    ] = None


class Classification(Samples, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows with a class to predict: as Samples, with ``y`` in codes; every class is split alike."""

    target: Annotated[
        str | None, msgspec.Meta(description="column to predict; by default the last, y in .npz")
    ] = None


class Dataset(NamedTuple):
    """Arrays on the host, and what they are."""

    arrays: Any  # a dict, as the block's docstring says
    features: tuple[str, ...]  # column names, in the order of the last axis of X
    classes: tuple[str, ...]  # label names in the order of their codes; empty without classes
    fingerprint: str  # SHA-256 of the columns read: values, names, classes


def load(block: Source) -> Dataset:
    """Read what a block describes.

    Raises:
        DataError: The source or what is in it is not what the block needs; one sentence names the
            file, the column and the row.
    """
    table = bundled.read(block.source) if block.source in bundled.NAMES else _file(block.source)
    target = _target(block, table)
    names = _names(block, table, target)
    X = np.ascontiguousarray(np.stack([_numbers(table, name) for name in names]).T)
    y, classes = np.empty(0), ()
    if isinstance(block, Classification):
        y, classes = columns.labels(table, target)
    elif isinstance(block, Regression):
        y = _numbers(table, target)
        if (y == y[:1]).all():
            raise DataError(
                f"{table.name}: {target} is {y[0]:g} in every row; two values are needed"
            )
    return Dataset(
        arrays=_arrays(block, table, names, X, y, classes),
        features=names,
        classes=classes,
        fingerprint=_fingerprint(X, y, (*names, target, *classes)),
    )


def _file(source: str) -> Table:
    if "." not in source and "/" not in source:
        hint = spelling.hint(source, bundled.NAMES)
        raise DataError(
            f"no data set is named {source}{hint} (there are: {', '.join(bundled.NAMES)}; "
            "a file ends in .csv, .parquet or .npz)"
        )
    return columns.read(source)


def _target(block: Source, table: Table) -> str:
    """Return the column to predict, empty for a block that predicts nothing."""
    if not isinstance(block, Regression | Classification):
        return ""
    if block.target is None:
        return table.target or list(table.columns)[-1]
    _refuse_unknown(table, block.target)
    return block.target


def _names(block: Source, table: Table, target: str) -> tuple[str, ...]:
    names = block.columns or tuple(c for c in table.columns if c not in (target, table.target))
    if not names:
        raise DataError(f"{table.name} has no column beside the target {target}")
    for index, name in enumerate(names):
        _refuse_unknown(table, name)
        if name == target:
            raise DataError(f"columns: {name} is the target, it cannot predict itself")
        if name in names[:index]:
            raise DataError(f"columns: {name} is given twice")
    return names


def _refuse_unknown(table: Table, name: str) -> None:
    if name not in table.columns:
        said = spelling.hint(name, table.columns)
        raise DataError(f"{table.name} has no column {name}{said}")


def _numbers(table: Table, name: str) -> np.ndarray:
    """Return a column as float64 that can be cast to the default dtype."""
    values = columns.numbers(table, name)
    if np.abs(values).max() > np.finfo(float_dtype()).max:
        raise DataError(f"{table.name}: column {name} has values too large for {float_dtype()}")
    return values


def _arrays(
    block: Source,
    table: Table,
    names: Sequence[str],
    X: np.ndarray,
    y: np.ndarray,
    classes: Sequence[str],
) -> dict[str, Any]:
    X = X.astype(float_dtype())
    if isinstance(block, Columns):
        return {name: np.ascontiguousarray(X[:, index]) for index, name in enumerate(names)}
    if not isinstance(block, Samples):
        return {"y": X}
    if isinstance(block, Classification):
        parts = _stratified(block, table, y, classes)
    else:
        parts = _split(block, table, len(X))
    rows = dict(zip(("train", "test"), parts, strict=True))
    arrays: dict[str, Any] = {part: {"X": X[chosen]} for part, chosen in rows.items()}
    arrays["center"], arrays["scale"] = _moments(arrays["train"]["X"], block.standardize)
    if isinstance(block, Regression):
        y = y.astype(X.dtype)
        arrays["y_center"], arrays["y_scale"] = _moments(y[rows["train"]], block.standardize)
    if len(y):
        for part, chosen in rows.items():
            arrays[part]["y"] = y[chosen]
    return arrays


def float_dtype() -> np.dtype:
    """Return jax's default float dtype, without importing jax."""
    if jax := sys.modules.get("jax"):
        is_wide = jax.config.jax_enable_x64
    else:
        is_wide = os.environ.get("JAX_ENABLE_X64", "").lower() in _TRUE
    return np.dtype(np.float64 if is_wide else np.float32)


def _moments(values: np.ndarray, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation by column, 0 and 1 where they are not to be used."""
    center = values.mean(axis=0, dtype=np.float64)
    scale = values.std(axis=0, dtype=np.float64)
    is_constant = values.max(axis=0) == values.min(axis=0)
    scale = np.where(is_constant, 1.0, scale)
    if not standardize:
        center, scale = np.zeros_like(center), np.ones_like(scale)
    return np.asarray(center, values.dtype), np.asarray(scale, values.dtype)


def _split(block: Samples, table: Table, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    num_test = round(block.test_fraction * num_rows)
    _refuse_empty(block, table, num_rows, num_test)
    order = np.random.default_rng(block.split_seed).permutation(num_rows)
    return order[num_test:], order[:num_test]


def _refuse_empty(block: Samples, table: Table, num_rows: int, num_test: int) -> None:
    for part, count in (("testing", num_test), ("training", num_rows - num_test)):
        if count == 0:
            raise DataError(
                f"{table.name} has {num_rows} rows: test_fraction {block.test_fraction} "
                f"leaves none for {part}"
            )


def _stratified(
    block: Classification, table: Table, codes: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Split so that every class has its share of both parts, by largest remainders."""
    counts = np.bincount(codes, minlength=len(classes))
    if len(classes) < 2:
        raise DataError(f"{table.name}: every row is of class {classes[0]}; two are needed")
    if counts.min() < 2:
        rare = classes[int(np.argmin(counts))]
        raise DataError(
            f"{table.name}: class {rare} has one row ({len(classes)} classes in {len(codes)} "
            "rows); two are needed, one to learn from and one to test"
        )
    num_test = round(block.test_fraction * len(codes))
    _refuse_empty(block, table, len(codes), num_test)
    share = counts * num_test / len(codes)
    taken = np.floor(share).astype(np.int64)
    order = np.argsort(taken - share, kind="stable")
    taken[order[: num_test - taken.sum()]] += 1
    if (taken == counts).any():
        lost = classes[int(np.argmax(taken == counts))]
        raise DataError(
            f"{table.name}: test_fraction {block.test_fraction} leaves no row of class {lost} "
            "for training"
        )
    rng = np.random.default_rng(block.split_seed)
    members = [rng.permutation(np.flatnonzero(codes == code)) for code in range(len(classes))]
    test = np.concatenate([rows[:count] for rows, count in zip(members, taken, strict=True)])
    train = np.concatenate([rows[count:] for rows, count in zip(members, taken, strict=True)])
    return rng.permutation(train), rng.permutation(test)


def _fingerprint(X: np.ndarray, y: np.ndarray, names: Sequence[str]) -> str:
    total = hashlib.sha256("\0".join(names).encode())
    for array in (X, y):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
