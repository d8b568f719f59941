"""The commands of the database of predictions."""

import pathlib

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, MODELS, STORE
from mastery_jax.commands.options import store as store_of

__all__ = ["db"]


@click.group()
def db() -> None:
    """Look at the database of predictions, bring it up to date, or take rows out of it."""


@db.command()
@STORE
@MODELS
@JSON
def upgrade(store: str | None, models: pathlib.Path, as_json: bool) -> int:
    """Make the tables, or take the steps that they lack; what is recorded stays."""
    from serving.store import maintenance

    before, after = maintenance.upgrade(store_of(store, models))
    if as_json:
        return output.show({"from": before, "to": after})
    if before == after:
        return output.show(f"revision {after}, as before")
    return output.show(f"revision {after}, was {before or 'without tables'}")


@db.command()
@STORE
@MODELS
@JSON
def status(store: str | None, models: pathlib.Path, as_json: bool) -> int:
    """Say of which revision the tables are, and how much they hold."""
    from serving.store import maintenance

    found = maintenance.status(store_of(store, models))
    if as_json:
        return output.show(found)
    lines = [f"{name}: {'none' if value is None else value}" for name, value in found.items()]
    return output.show("\n".join(lines))


@db.command()
@click.option("--model", required=True, help="Whose predictions are written.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    required=True,
    help="The file: .npz, or .csv.",
)
@click.option("--method", help="Which one; needed where several were asked.")
@click.option("--version", type=click.IntRange(min=1), help="Of this version only.")
@STORE
@MODELS
@JSON
def export(
    model: str,
    out: pathlib.Path,
    method: str | None,
    version: int | None,
    store: str | None,
    models: pathlib.Path,
    as_json: bool,
) -> int:
    """Write what was predicted, from what, and what was true: rows to train from again.

    `mastery db export --model iris --out rows.npz`
    """
    from serving.store import export as exporting

    if out.suffix not in exporting.KINDS:
        raise click.UsageError(f"--out is {out}, not a file with the end .npz or .csv.")
    rows = exporting.read(store_of(store, models), model, method=method, version=version)
    exporting.write(out, rows, _features(models / model, int(rows.version[-1])))
    known = int((rows.truth == rows.truth).sum())
    if as_json:
        return output.show({"file": str(out), "rows": len(rows.truth), "with_truth": known})
    return output.show(f"{out}: {len(rows.truth)} rows, {known} of them with the truth")


def _features(folder: pathlib.Path, version: int) -> tuple[str, ...]:
    """Return the names of the columns, where the model is there."""
    from mastery_jax.workflow import manifest
    from mastery_jax.workflow.errors import ArtifactError

    try:
        return manifest.verify(folder / str(version))[0].features
    except ArtifactError:
        return ()
