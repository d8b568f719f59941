"""The command that asks a server for predictions."""

import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.workflow.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from serving.client import Client

__all__ = ["query"]

SHOWN = 20  # rows of the table; all with --json, a line each
PART = 4096  # rows of a request


@click.command()
@click.argument("model")
@click.argument("file", required=False, metavar="[FILE.csv|FILE.npy|-]")
@click.option("--features", metavar="5.1,3.5,...", help="One row, in place of a file.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option("--method", help="Of the model; by default the one that predicts.")
@click.option("as_json", "--json", is_flag=True, help="Print a JSON object a row.")
def query(
    model: str,
    file: str | None,
    features: str | None,
    url: str,
    method: str | None,
    as_json: bool,
) -> int:
    """Ask a server for the predictions of a model: NAME, NAME@LABEL or NAME@VERSION.

    `mastery query iris --features 5.1,3.5,1.4,0.2`, or `mastery query iris@canary rows.csv`
    """
    if (file is None) == (features is None):
        raise click.UsageError("Give a file, or - for standard input, or --features.")
    rows = _row(features) if features is not None else _read(file or "-")
    from serving.client import Client

    try:
        client = Client(url, retries=1)
    except Exception as error:  # httpx raises several kinds of an address that is none
        raise click.UsageError(f"--url is {url}: {error}.") from None
    with client:
        names, found = _names(client, model, rows, method), _asked(client, model, rows, method)
        if as_json:
            for answer in found:
                click.echo(_line(answer))
            return 0
        return output.show(_table(names, rows, list(found)))


def _names(client: "Client", model: str, rows: "np.ndarray", method: str | None) -> list[str]:
    """Return the columns' names; refuse rows of another width before any is computed.

    Raises:
        DataError: the rows have more or fewer columns than the model has features.
    """
    info = client.model(model)
    if method is None and info.n_features is not None and rows.shape[1] != info.n_features:
        raise DataError(
            f"the rows have {rows.shape[1]} columns, and {model} takes {info.n_features}"
            + (f": {', '.join(info.features)}" if info.features else "")
        )
    is_named = len(info.features) == rows.shape[1]
    return list(info.features) if is_named else [f"x{i}" for i in range(rows.shape[1])]


def _asked(
    client: "Client", model: str, rows: "np.ndarray", method: str | None
) -> Iterator[dict[str, Any]]:
    """Return what comes of each row."""
    if method is None:
        for part in client.stream(rows, model, size=PART):
            for i, value in enumerate(part.predictions):
                answer: dict[str, Any] = {"prediction": value}
                if part.labels is not None:
                    answer["label"] = part.labels[i]
                if part.probabilities is not None:
                    answer["probabilities"] = part.probabilities[i]
                yield answer
        return
    for i in range(0, len(rows), PART):
        outputs = client.infer(model, method, features=rows[i : i + PART]).outputs
        listed = {name: array.tolist() for name, array in outputs.items()}
        for values in zip(*listed.values(), strict=True):
            yield dict(zip(listed, values, strict=True))


def _line(answer: dict[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(answer).decode()


def _table(names: list[str], rows: "np.ndarray", answers: list[dict[str, Any]]) -> str:
    """Return the first rows, and what came of them."""
    from mastery_jax.workflow import tables

    if not answers:
        return "no rows"
    columns = (*names, *answers[0])
    lines = [
        tuple(map(_shown, (*row.tolist(), *answer.values())))
        for row, answer in zip(rows[:SHOWN], answers, strict=False)
    ]
    text = tables.grid(columns, lines)
    more = len(answers) - SHOWN
    return f"{text}\n... and {more} more; --json prints them all" if more > 0 else text


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(text: str) -> "np.ndarray":
    """Return the one row of ``--features``."""
    import numpy as np

    try:
        return np.array([[float(word) for word in text.split(",")]])
    except ValueError:
        raise click.UsageError(
            f"--features is {text}, not numbers with commas between them."
        ) from None


def _read(file: str) -> "np.ndarray":
    """Return the rows of a file: NumPy's own, or CSV with or without a line of names.

    Raises:
        DataError: it cannot be read, or holds no table of numbers.
    """
    import numpy as np

    try:
        if file.endswith(".npy"):
            rows = np.load(file, allow_pickle=False)
        else:
            rows = _csv(sys.stdin.read() if file == "-" else pathlib.Path(file).read_text())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise DataError(f"{file} is no table of numbers: {error}") from None
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise DataError(f"{file} holds {rows.dtype}{list(rows.shape)}, wanted rows of numbers")
    return rows


def _csv(text: str) -> "np.ndarray":
    """Return the numbers of a CSV; the first line may be names.

    Raises:
        ValueError: a line has other columns than the first, or something that is no number.
    """
    import csv

    import numpy as np

    lines = [(i, line) for i, line in enumerate(csv.reader(text.splitlines()), 1) if line]
    if lines and not _numbers(lines[0][1]):
        lines = lines[1:]
    found = []
    for number, line in lines:
        values = _numbers(line)
        if values is None:
            raise ValueError(f"line {number} has something that is no number")
        if found and len(values) != len(found[0]):
            raise ValueError(f"line {number} has {len(values)} columns, wanted {len(found[0])}")
        found.append(values)
    if not found:
        raise ValueError("it has no rows")
    return np.array(found)


def _numbers(words: list[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None
