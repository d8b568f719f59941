"""The command that asks a server for predictions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

from mastery_jax.commands import output, rows
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

    Where the first line of a CSV is names, its columns are found by them: a feature without a
    column is refused, a column that is no feature is left out.

    A key is read from the variable MASTERY_API_KEY; no option takes one, because others on the
    machine see the words of a command.
    """
    if (file is None) == (features is None):
        raise click.UsageError("Give a file, or - for standard input, or --features.")
    given = _row(features) if features is not None else rows.read(file or "-")
    from serving.client import Client

    try:
        client = Client(url, retries=1)
    except Exception as error:  # httpx raises several kinds of an address that is none
        raise click.UsageError(f"--url is {url}: {error}.") from None
    with client:
        names, X = _fit(client, model, given, method)
        found = _asked(client, model, X, method)
        if as_json:
            for answer in found:
                click.echo(_line(answer))
            return 0
        return output.show(_table(names, X, list(found)))


def _fit(
    client: "Client", model: str, given: "np.ndarray | rows.Sheet", method: str | None
) -> tuple[list[str], "np.ndarray"]:
    """Return the columns' names, and the rows as the model takes them.

    Raises:
        DataError: they do not fit the features of the model; nothing is computed.
    """
    info = client.model(model)
    X = given
    if isinstance(X, rows.Sheet):
        X, others = rows.arrange(X, info.features)
        if others:
            click.echo(f"left out, no feature of {model}: {', '.join(others)}", err=True)
    width = X.shape[1]
    if method is None and info.n_features is not None and width != info.n_features:
        raise DataError(
            f"the rows have {width} columns, and {model} takes {info.n_features}"
            + (f": {', '.join(info.features)}" if info.features else "")
        )
    is_named = len(info.features) == width
    return list(info.features) if is_named else [f"x{i}" for i in range(width)], X


def _asked(
    client: "Client", model: str, X: "np.ndarray", method: str | None
) -> Iterator[dict[str, Any]]:
    """Return what comes of each row."""
    if method is None:
        for part in client.stream(X, model, size=PART):
            for i, value in enumerate(part.predictions):
                answer: dict[str, Any] = {"prediction": value}
                if part.labels is not None:
                    answer["label"] = part.labels[i]
                if part.probabilities is not None:
                    answer["probabilities"] = part.probabilities[i]
                yield answer
        return
    for i in range(0, len(X), PART):
        outputs = client.infer(model, method, features=X[i : i + PART]).outputs
        listed = {name: array.tolist() for name, array in outputs.items()}
        for values in zip(*listed.values(), strict=True):
            yield dict(zip(listed, values, strict=True))


def _line(answer: dict[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(answer).decode()


def _table(names: list[str], X: "np.ndarray", answers: list[dict[str, Any]]) -> str:
    """Return the first rows, and what came of them."""
    from mastery_jax.workflow import tables

    if not answers:
        return "no rows"
    columns = (*names, *answers[0])
    lines = [
        tuple(map(_shown, (*row.tolist(), *answer.values())))
        for row, answer in zip(X[:SHOWN], answers, strict=False)
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
