"""Plain values become a config, or one sentence says what is wrong and where.

msgspec checks types and ranges; what it does not say is added here: what came, and which field was
probably meant.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, TypeVar, get_args

import msgspec

from mastery_jax.workflow import fields, spelling
from mastery_jax.workflow.errors import ConfigError

__all__ = ["chosen", "convert", "convert_at", "show", "unknown"]

Config = TypeVar("Config", bound=msgspec.Struct)

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


def show(value: Any) -> str:
    """Return a value as a user would write it, cut at 60 characters."""
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse(path: str, wanted: str, value: Any) -> NoReturn:
    raise ConfigError(f"{path} must be {wanted}, got {show(value)}")


def _every_path(hint: Any, path: str = "") -> Iterator[str]:
    for struct in fields.tags(hint).values():
        for name, field in fields.struct_fields(struct).items():
            yield fields.join(path, name)
            yield from _every_path(field.type, fields.join(path, name))


def unknown(path: str, root: type[msgspec.Struct], name: str) -> NoReturn:
    """Raise the sentence for a path that is no field, with the nearest one that is.

    Args:
        path: What was written.
        root: The type of the whole config.
        name: Whose config it is.
    """
    parent, _, key = path.rpartition(".")
    every = list(_every_path(root))
    if path in every:
        raise ConfigError(f"{path} is not a field of {name}'s config with this choice of {parent}")
    beside = [known for known in every if known.rpartition(".")[0] == parent]
    elsewhere = {known.rpartition(".")[2]: known for known in reversed(every)}
    alike = spelling.nearest(key, elsewhere)
    meant = elsewhere.get(key) or spelling.nearest(path, beside) or (alike and elsewhere[alike])
    said = f"; did you mean {meant}?" if meant else _spacing([key])
    raise ConfigError(f"{path} is not a field of {name}'s config{said}")


def _spacing(keys: Iterable[Any]) -> str:
    """Return a hint where YAML took ``kind:mlp`` for one word."""
    glued = any(re.match(r"\w+:", str(key)) for key in keys)
    return "; put a space after the colon" if glued else ""


def chosen(raw: dict[Any, Any], hint: Any, path: str) -> type[msgspec.Struct] | None:
    """Return the struct that a mapping stands for; ``None`` where the type has no struct.

    Raises:
        ConfigError: A choice is not named, or has no such name.
    """
    structs, tag_field = fields.tags(hint), fields.tag_field(hint)
    if tag_field is None:
        return structs.get(None)
    if isinstance(kind := raw.get(tag_field), str | int) and kind in structs:
        return structs[kind]
    where, names = fields.join(path, tag_field), ", ".join(map(str, structs))
    if tag_field not in raw:
        raise ConfigError(f"{where} is missing, it must be one of {names}{_spacing(raw)}")
    raise ConfigError(
        f"{where} must be one of {names}, got {show(kind)}{spelling.hint(str(kind), structs)}"
    )


def convert(raw: Any, config: type[Config], name: str) -> Config:
    """Return the config that a mapping describes.

    Args:
        raw: What the file and the overrides say.
        config: The type of the config.
        name: Whose config it is, for messages.

    Raises:
        ConfigError: A field is unknown, missing, ill-typed, out of range or not finite.
    """
    _verify(raw, config, "", config, name)
    value = msgspec.convert(raw, config)
    _refuse_infinite(value, "")
    return value


def convert_at(base: Any, path: str, values: Iterable[Any], name: str) -> tuple[Any, ...]:
    """Return values as the field at a path wants them; a choice named by its tag stays a tag.

    Args:
        base: A config that has the field.
        path: The field.
        values: Plain values for it.
        name: Whose config it is, for messages.

    Raises:
        ConfigError: As for :func:`convert`.
    """
    if (hint := fields.hint_at(base, path)) is None:
        unknown(path, type(base), name)
    return tuple(_one(value, hint, path, type(base), name) for value in values)


def _one(value: Any, hint: Any, path: str, root: type[msgspec.Struct], name: str) -> Any:
    if isinstance(value, str) and (tag_field := fields.tag_field(hint)):
        chosen({tag_field: value}, hint, path)
        return value
    _verify(value, hint, path, root, name)
    converted = msgspec.convert(value, hint)
    _refuse_infinite(converted, path)
    return converted


def _refuse_infinite(value: Any, path: str) -> None:
    for name, leaf in fields.flatten(value).items():
        if isinstance(leaf, float) and not math.isfinite(leaf):
            _refuse(fields.join(path, name) if name else path, "a finite number", leaf)


def _verify(raw: Any, hint: Any, path: str, root: type[msgspec.Struct], name: str) -> None:
    if isinstance(raw, dict) and (struct := chosen(raw, hint, path)):
        known, tag_field = fields.struct_fields(struct), fields.tag_field(hint)
        for key, item in raw.items():
            where = fields.join(path, key)
            if key in known:
                _verify(item, known[key].type, where, root, name)
            elif key != tag_field:
                unknown(where, root, name)
        for key, field in known.items():
            if key not in raw and field.required:
                raise ConfigError(f"{name}'s config needs {fields.join(path, key)}")
        return
    if isinstance(raw, dict | list):
        items = raw.items() if isinstance(raw, dict) else enumerate(raw)
        for key, item in items:
            _verify(item, fields.child(hint, key), fields.join(path, key), root, name)
    try:
        msgspec.convert(raw, hint)
    except msgspec.ValidationError as error:
        _refuse(path, _wanted(str(error), hint), raw)


def _wanted(message: str, hint: Any) -> str:
    """Return in words what a type wants, from msgspec's message and the type."""
    if structs := fields.tags(hint):
        if tag_field := fields.tag_field(hint):
            return f"a mapping with {tag_field} one of {', '.join(map(str, structs))}"
        return f"a mapping of {', '.join(fields.struct_fields(structs[None]))}"
    if message.startswith("Invalid enum value"):
        literals = [get_args(choice) for choice in fields.choices(hint)]
        options = [str(option) for literal in literals for option in literal]
        return f"one of {', '.join(options)}" + (" or null" if () in literals else "")
    if found := re.match(r"Expected (.*?)(?:, got .*)?$", message):
        return re.sub(r"`([^`]*)`", lambda types: _in_words(types[1]), found[1])
    return f"valid ({message})"


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(part, part) for part in types.split(" | "))
