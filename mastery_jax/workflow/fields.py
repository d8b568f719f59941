"""A config as leaves: what each dotted path holds, which may be lanes, and the way back.

A struct is walked field by field, a tuple that holds a float or a struct element by element
(``betas.0``), a dict key by key; anything else is one leaf. The choice in a tagged union is a leaf
too (``model.kind``). Floats and the seed are lanes of a sweep, unless marked ``Static``; every
other leaf is a constant of the program.
"""

import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import RunConfig

__all__ = [
    "RUNNER",
    "child",
    "choices",
    "flatten",
    "hint_at",
    "join",
    "lane_paths",
    "replace",
    "static_paths",
    "struct_fields",
    "tag_field",
    "tags",
]

RUNNER = frozenset(RunConfig.__struct_fields__) - {"seed"}  # in no program


class Leaf(NamedTuple):
    """One value at the end of a path."""

    path: str
    value: Any
    is_static: bool  # marked so, or a choice


def join(path: str, name: object) -> str:
    """Return ``path.name``."""
    return f"{path}.{name}" if path else str(name)


def _marked(hint: Any) -> bool:
    """Return whether ``Static`` stands anywhere in a type."""
    here = any(
        isinstance(mark, msgspec.Meta) and (mark.extra or {}).get("static")
        for mark in getattr(hint, "__metadata__", ())
    )
    return here or any(_marked(part) for part in get_args(hint))


def choices(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the one type, without their annotations."""
    if get_origin(hint) is Annotated:
        return choices(hint.__origin__)
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(member for part in get_args(hint) for member in choices(part))
    return (hint,)


def tags(hint: Any) -> dict[Any, type[msgspec.Struct]]:
    """Return the structs that a type may hold, by tag (``None`` for one without)."""
    structs = [c for c in choices(hint) if isinstance(c, type) and issubclass(c, msgspec.Struct)]
    return {struct.__struct_config__.tag: struct for struct in structs}


def tag_field(hint: Any) -> str | None:
    """Return the name of the field that chooses in a tagged union, ``None`` for other types."""
    structs = tags(hint)
    return None if None in structs else next(map(_tag_field, structs.values()), None)


def _tag_field(struct: type[msgspec.Struct]) -> str | None:
    return struct.__struct_config__.tag_field


@functools.cache
def struct_fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the fields of a struct by name, their types resolved."""
    return {field.name: field for field in msgspec.structs.fields(struct)}


def child(hint: Any, key: str | int) -> Any:
    """Return the type of an element of a tuple, list or dict type; ``Any`` where it has none."""
    for member in choices(hint):
        origin, args = get_origin(member), get_args(member)
        if origin is dict:
            return args[1]
        if origin is list or (origin is tuple and args[-1:] == (...,)):
            return args[0]
        if origin is tuple and isinstance(key, int) and 0 <= key < len(args):
            return args[key]
    return Any


def _is_plain(value: Any) -> bool:
    """Return whether a value is made of ints, bools, strings and None only."""
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, int | str)


@functools.cache
def _marks(struct: type[msgspec.Struct]) -> dict[str, bool]:
    return {name: _marked(field.type) for name, field in struct_fields(struct).items()}


def _leaves(value: Any, path: str = "", is_static: bool = False) -> Iterator[Leaf]:
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        if config.tag is not None:
            yield Leaf(join(path, config.tag_field), config.tag, True)
        for name, mark in _marks(type(value)).items():
            yield from _leaves(getattr(value, name), join(path, name), is_static or mark)
    elif isinstance(value, tuple | list) and not _is_plain(value):
        for index, item in enumerate(value):
            yield from _leaves(item, join(path, index), is_static)
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, join(path, key), is_static)
    else:
        yield Leaf(path, value, is_static)


def flatten(value: Any) -> dict[str, Any]:
    """Return the leaves of a config by dotted path, in the order of its fields."""
    return {leaf.path: leaf.value for leaf in _leaves(value)}


def lane_paths(value: msgspec.Struct) -> tuple[str, ...]:
    """Return the paths that are arguments of the program: the seed and floats not ``Static``."""
    return tuple(
        leaf.path
        for leaf in _leaves(value)
        if leaf.path == "seed" or (isinstance(leaf.value, float) and not leaf.is_static)
    )


def static_paths(value: msgspec.Struct) -> tuple[str, ...]:
    """Return the paths that are constants of the program: neither lanes nor the runner's own."""
    apart = {*lane_paths(value), *RUNNER}
    return tuple(path for path in flatten(value) if path not in apart)


def _enter(value: Any, hint: Any, key: str) -> tuple[Any, Any] | None:
    """Return the value and the type under one key, ``None`` where there is no such key."""
    if isinstance(value, msgspec.Struct):
        field = struct_fields(type(value)).get(key)
        return field and (getattr(value, key), field.type)
    if isinstance(value, tuple | list) and key.isdigit() and int(key) < len(value):
        return value[int(key)], child(hint, int(key))
    if isinstance(value, dict) and key in value:
        return value[key], child(hint, key)
    return None


def _names_choice(value: Any, keys: Sequence[str]) -> bool:
    """Return whether what is left of a path is the tag of a choice."""
    return isinstance(value, msgspec.Struct) and list(keys) == [value.__struct_config__.tag_field]


def hint_at(value: msgspec.Struct, path: str) -> Any:
    """Return the type of what a path leads to, ``None`` where it leads nowhere."""
    node, hint = value, type(value)
    keys = path.split(".")
    for index, key in enumerate(keys):
        if _names_choice(node, keys[index:]):
            return Literal[tuple(tags(hint))]
        if (entered := _enter(node, hint, key)) is None:
            return None
        node, hint = entered
    return hint


def replace(value: Any, updates: Mapping[str, Any]) -> Any:
    """Return the config with other values at some paths; nothing is validated.

    A choice may be named by its tag (``{"model": "mlp"}``): its fields take their defaults. A
    shorter path is replaced before the longer ones below it. Cost: some microseconds a path.

    Args:
        value: A config, or a struct in one.
        updates: Path to new value, which may be anything, tracers included.

    Raises:
        ConfigError: A path leads nowhere.
    """
    for path in sorted(updates, key=lambda path: path.count(".")):
        value = _set(value, type(value), path.split("."), updates[path], path)
    return value


def _set(value: Any, hint: Any, keys: list[str], new: Any, path: str) -> Any:
    if not keys or _names_choice(value, keys):
        named = isinstance(new, str) and new in tags(hint)
        return tags(hint)[new]() if named else new
    key, *rest = keys
    if (entered := _enter(value, hint, key)) is None:
        raise ConfigError(f"{path} is not a field of this config")
    item = _set(*entered, rest, new, path)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{key: item})
    if isinstance(value, dict):
        return {**value, key: item}
    return type(value)([*value[: int(key)], item, *value[int(key) + 1 :]])
