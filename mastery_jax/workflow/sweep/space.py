"""The values that a sweep gives to fields, checked before the first lane runs."""

import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mastery_jax.workflow.convert import convert_at, show
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.fields import replace

__all__ = ["checked", "listed", "product", "refuse"]

MAX_LANES = 100_000  # a table of more lanes helps nobody, and a plan of them fills the memory


def listed(path: pathlib.Path, swept: Any) -> dict[str, Sequence[Any]]:
    """Return what a file's key ``sweep`` holds: lists of values by field path."""
    if not isinstance(swept, dict) or not all(isinstance(v, list) for v in swept.values()):
        raise ConfigError(f"{path}: sweep must hold a list of values for each field path")
    return {str(key): values for key, values in swept.items()}


def product(swept: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every lane as values by field path, the last field varying fastest."""
    for values in itertools.product(*swept.values()):
        yield dict(zip(swept, values, strict=True))


def refuse(swept: Mapping[str, Sequence[Any]], plain: Iterable[str]) -> None:
    """Refuse a sweep of no lanes or too many, and a field that is both set and swept.

    Args:
        swept: Plain values by field path.
        plain: The paths of the fields that are set to one value.

    Raises:
        ConfigError: It is so.
    """
    for key, values in swept.items():
        if not values:
            raise ConfigError(f"{key} lists no value, so that the sweep has no lane")
        for path in plain:
            if f"{path}.".startswith(f"{key}."):
                raise ConfigError(f"{path} is set, but {key} is swept and its values decide")
    try:
        count = math.prod(map(len, swept.values()))
    except OverflowError:  # a range longer than a machine can count
        raise ConfigError(f"the sweep is endless; at most {MAX_LANES:,} lanes are run") from None
    if count > MAX_LANES:
        raise ConfigError(f"the sweep has {count:,} lanes; at most {MAX_LANES:,} are run in one")


def checked(base: Any, swept: Mapping[str, Sequence[Any]], name: str) -> dict[str, tuple[Any, ...]]:
    """Return the values as the config's types want them.

    A field of a swept choice must exist in every one of the choices.

    Args:
        base: The config that every lane starts from.
        swept: Plain values by field path.
        name: Whose config it is, for messages.

    Raises:
        ConfigError: A value does not fit its field, or is given twice.
    """
    done: dict[str, tuple[Any, ...]] = {}
    for key in sorted(swept, key=lambda path: path.count(".")):
        above = {parent: done[parent] for parent in done if key.startswith(f"{parent}.")}
        for lane in product(above):
            done[key] = convert_at(replace(base, lane), key, swept[key], name)
        _refuse_repeats(key, done[key])
    return {key: done[key] for key in swept}


def _refuse_repeats(key: str, values: Sequence[Any]) -> None:
    seen = set()
    for value in values:
        if (written := msgspec.json.encode(value)) in seen:
            raise ConfigError(f"{key} lists {show(value)} twice")
        seen.add(written)
