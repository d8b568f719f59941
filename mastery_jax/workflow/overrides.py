"""``a.b=c`` on a command line, in Hydra's spelling, for one config and for a sweep.

``a.b=c`` sets a field, ``+a.b=c`` adds what the file does not say, ``++a.b=c`` does either,
``~a.b`` goes back to the default; a bare name chooses in a tagged union (``model=logistic``).
Values are YAML. ``1e-4,1e-3``, ``range(8)``, ``uniform(0,1)`` and others are several values, and
``zip(a=1,2; b=3,4)`` pairs those of several fields: a sweep, see ``workflow.sweep.notation``.

Source: Hydra 1.3, "Override syntax".
"""

import re
from typing import Any, NamedTuple

import msgspec

from mastery_jax.workflow import fields
from mastery_jax.workflow.convert import chosen, show, unknown
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.sweep import notation
from mastery_jax.workflow.sweep.notation import Distribution, Listed

__all__ = ["Override", "apply", "parse", "parse_zip", "sweep_values", "value_of"]

_FORM = re.compile(r"(?P<sign>\+\+|\+|~|)(?P<path>\w+(?:\.\w+)*)(?:=(?P<text>.*))?", re.DOTALL)


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


def parse_zip(argument: str) -> tuple[Override, ...] | None:
    """Take ``zip(a=1,2; b=3,4)`` apart, ``None`` where the argument is none.

    Raises:
        ConfigError: It is not closed, names less than two fields, or a part is no override.
    """
    if not (text := argument.strip()).startswith("zip("):
        return None
    parts = notation.split(notation.inside(text, text), ";")
    if len(parts) < 2:
        raise ConfigError(f"{text}: zip pairs two fields or more, with semicolons between them")
    found = tuple(parse(part.strip()) for part in parts)
    for override in found:
        if override.sign == "~":
            raise ConfigError(f"~{override.path} is not an override that zip can pair with another")
    return found


def value_of(override: Override) -> Any:
    """Return the one value of an override.

    Raises:
        ConfigError: It is not YAML, or several values.
    """
    if sweep_values(override):
        raise ConfigError(
            f"{override.path}={override.text} stands for several values, which is a sweep; "
            "put quotes inside the quotes to mean one text"
        )
    return notation.value(override.path, override.text)


def sweep_values(override: Override) -> Listed | Distribution | None:
    """Return the values of an override that lists or draws several, ``None`` for another.

    Raises:
        ConfigError: They are not as they are written: see ``workflow.sweep.notation``.
    """
    return notation.read(override.path, override.text)


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
