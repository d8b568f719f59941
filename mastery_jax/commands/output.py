"""Results on standard output: text, or one JSON object."""

from typing import Any

import rich_click as click

__all__ = ["json", "show", "summary"]


def json(value: Any) -> str:
    """Return ``value`` as indented JSON, NaN as null."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def show(value: Any) -> int:
    """Print text, or anything else as JSON; succeed."""
    click.echo(value if isinstance(value, str) else json(value))
    return 0


def summary(found: Any) -> dict[str, Any]:
    """Return a run or a sweep as plain data."""
    return {"folder": str(found.folder), "kind": found.kind, **found.status}
