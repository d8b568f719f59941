"""The commands of keys: made, listed, removed."""

import pathlib
from typing import Any

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, KEYS

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make, list and remove the keys that a server asks for."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["predict", "read", "admin"]),
    multiple=True,
    required=True,
    help="What the key is for; may be given several times.",
)
@click.option("--rate", type=float, help="Requests a second; any number by default.")
@click.option("--burst", type=float, help="Requests at once; by default those of one second.")
@click.option("--expires", metavar="TIME", help="How long the key is good: 90d, 12h, 30m, 8w.")
@KEYS
def add(
    name: str,
    scopes: tuple[str, ...],
    rate: float | None,
    burst: float | None,
    expires: str | None,
    keys: pathlib.Path | None,
) -> int:
    """Make a key and print it; it is shown only now.

    `mastery keys add shop --scope predict --scope read --rate 100 --burst 200 --expires 90d`
    """
    from serving.access import keys as file
    from serving.access import terms

    time = None if expires is None else file.lifetime(expires)
    path = keys or terms.default_file()
    key = file.add(path, name, scopes, rate=rate, burst=burst, expires=time)
    click.echo(f"{name} is shown only now; {path} keeps its SHA-256", err=True)
    return output.show(key)


@keys.command("list")
@KEYS
@JSON
def list_keys(keys: pathlib.Path | None, as_json: bool) -> int:
    """List the keys: names, scopes, rates and times, never a key itself."""
    from mastery_jax.workflow import tables
    from serving.access import keys as file
    from serving.access import terms

    found = file.read(keys or terms.default_file())
    if as_json:
        return output.show([_plain(key) for key in found])
    columns = ("name", "scopes", "rate", "burst", "created", "expires")
    rows = [tuple("" if value is None else str(value) for value in _row(key)) for key in found]
    return output.show(tables.grid(columns, rows) if rows else "no keys")


@keys.command()
@click.argument("name")
@KEYS
def remove(name: str, keys: pathlib.Path | None) -> int:
    """Take a key away; servers refuse it within a second."""
    from serving.access import keys as file
    from serving.access import terms

    file.remove(keys or terms.default_file(), name)
    return output.show(f"{name} is no more")


def _plain(key: Any) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "rate": key.rate,
        "burst": key.burst,
        "created": key.created,
        "expires": key.expires,
    }


def _row(key: Any) -> tuple[Any, ...]:
    def short(number: float | None) -> str | None:
        return None if number is None else f"{number:g}"

    return (
        key.name,
        ", ".join(key.scopes),
        short(key.rate),
        short(key.burst),
        f"{key.created:%Y-%m-%d}",
        None if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}",
    )
