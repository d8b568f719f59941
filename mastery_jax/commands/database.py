"""The commands of the database of predictions."""

import pathlib

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, MODELS, STORE
from mastery_jax.commands.options import store as store_of

__all__ = ["db"]


@click.group()
def db() -> None:
    """Look at the database of predictions, or bring it up to date."""


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
