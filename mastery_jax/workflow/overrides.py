"""``a.b=c`` on a command line, in Hydra's spelling, for one config and for a sweep.

``a.b=c`` sets a field, ``+a.b=c`` adds what the file does not say, ``++a.b=c`` does either,
``~a.b`` goes back to the default; a bare name chooses in a tagged union (``model=logistic``).
Values are YAML. ``1e-4,1e-3``, ``choice(a,b)`` and ``range(8)`` are several values: a sweep.

Source: Hydra 1.3, "Override syntax".
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from mastery_jax.workflow import fields, yaml12
from mastery_jax.workflow.convert import chosen, show, unknown
from mastery_jax.workflow.errors import ConfigError

__all__ = ["Override", "apply", "parse", "sweep_values", "value_of"]

_FORM = re.compile(r"(?P<sign>\+\+|\+|~|)(?P<path>\w+(?:\.\w+)*)(?:=(?P<text>.*))?", re.DOTALL)
# Quoted text, a word (an apostrophe inside it opens no quotes), or one character.
_PIECES = re.compile(r"""\"(?:\\.|[^"\\])*\"|'[^']*'|\w[\w'"]*|.""", re.DOTALL)
_OPENS, _CLOSES = tuple("([{"), tuple(")]}")


class Override(NamedTuple):
    """One argument, taken apart."""

    sign: str  # "", "+", "++" or "~"
    path: str
    text: str  # what stands after "=", not yet read


def parse(argument: str) -> Override:
    """Take one argument apart.

    Raises:
        ConfigError: It is not of the form ``field=value`` or ``~field``.
    """
    found = _FORM.fullmatch(argument)
    if not found or (found["sign"] == "~") != (found["text"] is None):
        raise ConfigError(f"{argument} is not an override: write field=value, or ~field to reset")
    return Override(found["sign"], found["path"], found["text"] or "")


def value_of(override: Override) -> Any:
    """Return the one value of an override.

    Raises:
        ConfigError: It is not YAML, or several values.
    """
    if sweep_values(override) is not None:
        raise ConfigError(
            f"{override.path}={override.text} lists several values, which is a sweep; "
            "put quotes inside the quotes to mean one text"
        )
    return _parse(override, override.text)


def _parse(override: Override, text: str) -> Any:
    try:
        return yaml12.parse(text)
    except ValueError as error:
        message = str(error).removeprefix("line 1: ")
        raise ConfigError(f"{override.path}={text} is not YAML: {message}") from None


def sweep_values(override: Override) -> Sequence[Any] | None:
    """Return the values of an override that lists several, ``None`` for one that does not.

    Raises:
        ConfigError: A range is not of whole numbers, or a value of a list is missing.
    """
    text = override.text.strip()
    if found := re.fullmatch(r"range\((.*)\)", text):
        try:
            return range(*(int(part) for part in found[1].split(",")))
        except (ValueError, TypeError):
            raise ConfigError(
                f"{override.path}={text}: write range(stop), range(start,stop) or "
                "range(start,stop,step) in whole numbers"
            ) from None
    listed = re.fullmatch(r"choice\((.*)\)", text, re.DOTALL)
    parts = _split(listed[1] if listed else text)
    if not listed and len(parts) == 1:
        return None
    if not all(part.strip() for part in parts):
        raise ConfigError(f"{override.path}={text}: a value is missing beside a comma")
    return tuple(_parse(override, part) for part in parts)


def _split(text: str) -> list[str]:
    """Split at the commas that stand outside brackets and quotes."""
    parts, depth = [""], 0
    for piece in _PIECES.findall(text):
        depth += (piece in _OPENS) - (piece in _CLOSES)
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def apply(
    raw: dict[str, Any],
    override: Override,
    value: Any,
    config: type[msgspec.Struct],
    name: str,
) -> None:
    """Change what a file says, in place, as an override asks.

    Args:
        raw: What the file says.
        override: Which field, and how.
        value: What to set it to.
        config: The type of the config.
        name: Whose config it is, for messages.

    Raises:
        ConfigError: The path is no field, or the sign does not fit what is there.
    """
    node, hint, path = raw, config, ""
    *parents, last = override.path.split(".")
    try:
        for key in parents:
            node, hint = _enter(node, hint, key, path, override)
            path = fields.join(path, key)
        _change(node, hint, last, path, override, value)
    except LookupError:
        unknown(override.path, config, name)


def _known(node: Any, hint: Any, key: str, path: str, override: Override) -> Any:
    """Return the type under a key of a struct, ``None`` under a key of a list or a free mapping.

    Raises:
        LookupError: The struct has no such field.
    """
    if isinstance(node, list):
        if not (key.isdigit() and int(key) < len(node)) or override.sign in ("+", "~"):
            raise ConfigError(
                f"{override.sign}{override.path}: {path} has elements 0 to {len(node) - 1}; "
                "one of them can be set, none added or taken away"
            )
        return None
    if not isinstance(node, dict):
        raise ConfigError(f"{override.path} is no field: {path} is {show(node)}")
    if (struct := chosen(node, hint, path)) is None:
        return None
    return str if key == fields.tag_field(hint) else fields.struct_fields(struct)[key].type


def _enter(node: Any, hint: Any, key: str, path: str, override: Override) -> tuple[Any, Any]:
    """Return what stands under a key, and its type; a default where the file says nothing."""
    known = _known(node, hint, key, path, override)
    if isinstance(node, list):
        return node[int(key)], fields.child(hint, int(key))
    if known is None:
        _refuse_absent(node, key, override)
        return node[key], fields.child(hint, key)
    if node.get(key) is None:
        node[key] = _default(fields.struct_fields(chosen(node, hint, path))[key])
    return node[key], known


def _change(node: Any, hint: Any, key: str, path: str, override: Override, value: Any) -> None:
    known = _known(node, hint, key, path, override)
    if known is None and override.sign in ("", "~"):
        _refuse_absent(node, key, override)
    if override.sign == "+" and key in node:
        raise ConfigError(
            f"+{override.path}: the config sets it already; write {override.path}=..."
        )
    if key == fields.tag_field(hint):
        node.clear()
    if override.sign == "~":
        node.pop(key, None)
        return
    choice = fields.tag_field(known)
    if choice and isinstance(value, str):
        value = {choice: value}
    node[int(key) if isinstance(node, list) else key] = value


def _refuse_absent(node: Any, key: str, override: Override) -> None:
    if isinstance(node, dict) and key not in node:
        raise ConfigError(f"{override.path}: {key} is not there; write +{override.path}=...")


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """Return the plain, changeable form of a field's default."""
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        value = {} if field.default in (msgspec.NODEFAULT, None) else field.default
    return msgspec.json.decode(msgspec.json.encode(value))
