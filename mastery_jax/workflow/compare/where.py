"""Conditions on what is compared: ``optimizer.learning_rate>1e-3``, ``seed in 0,1,2``.

A condition is a name, one of ``= == != < <= > >= in``, and a value as YAML 1.2 has it; after
``in`` stand several. The name is a field, a metric, or ``state``.
"""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow import yaml12
from mastery_jax.workflow.compare.members import Member, confirm
from mastery_jax.workflow.convert import show
from mastery_jax.workflow.errors import RunError

__all__ = ["Condition", "condition", "keep", "names_stopped"]

_FORM = re.compile(r"\s*([^\s=!<>]+)(?:\s*(==|=|!=|<=|<|>=|>)\s*|\s+(in)\s+)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(NamedTuple):
    """What a member must fulfill."""

    text: str  # as it was written
    name: str
    operator: str  # one of = != < <= > >= in
    values: tuple[Any, ...]  # one, unless after ``in``


def condition(text: str) -> Condition:
    """Read one condition.

    Raises:
        RunError: It has another form, or asks for an order of what has none.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise RunError(
            f"--where {text}: write FIELD=VALUE, or one of != < <= > >=, or FIELD in A,B"
        )
    name, sign, inside, right = form.groups()
    try:
        found = yaml12.parse(f"[{right}]" if inside else right)
    except ValueError as error:
        raise RunError(f"--where {text}: {error}") from None
    values = tuple(map(_plain, found if inside else [found]))
    if inside and len(values) == 1 and isinstance(values[0], tuple):
        values += values[0]  # of ``in [0, 1]``
    sign = "in" if inside else "=" if sign == "==" else sign
    if sign in _ORDERS and not _is_number(values[0]):
        raise RunError(f"--where {text}: {show(values[0])} is no number, and {sign} needs one")
    return Condition(text, name, sign, values)


def keep(compared: Sequence[Member], conditions: Sequence[Condition]) -> list[Member]:
    """Return the members that fulfill all conditions. Cost: O(members x conditions).

    A field that a member does not have is null. ``<`` and its like hold for numbers only.

    Raises:
        RunError: A name is neither a field nor a metric, ``<`` meets words alone, or no member is
            left.
    """
    if not compared:
        return []  # nothing is known of them: whoever compares them says so
    known = {name for m in compared for name in (*m.fields, *m.metrics)} | {"state"}
    kept = list(compared)
    for each in conditions:
        confirm([each.name], known, "a field or a metric")
        values = [_value(member, each.name) for member in compared]
        if each.operator in _ORDERS and not any(map(_is_number, values)):
            shown = next((show(x) for x in values if x is not None), "null")
            raise RunError(
                f"--where {each.text}: {each.name} is no number but {shown} or the like, "
                f"which {each.operator} cannot order"
            )
        kept = [member for member in kept if _holds(each, _value(member, each.name))]
    if not kept:
        texts = " and ".join(each.text for each in conditions)
        raise RunError(f"nothing is left to compare: {texts} holds for none of {len(compared)}")
    return kept


def names_stopped(conditions: Sequence[Condition]) -> bool:
    """Say whether lanes that were stopped early are asked for by name."""
    return any(
        each.name == "state" and each.operator in ("=", "in") and "stopped" in each.values
        for each in conditions
    )


def _value(member: Member, name: str) -> Any:
    if name == "state":
        return member.state
    return member.fields[name] if name in member.fields else member.metrics.get(name)


def _holds(each: Condition, value: Any) -> bool:
    if each.operator in _ORDERS:
        return _is_number(value) and _ORDERS[each.operator](value, each.values[0])
    found = any(_is_same(_plain(value), wanted) for wanted in each.values)
    return found != (each.operator == "!=")


def _is_same(value: Any, wanted: Any) -> bool:
    """Compare values; true is not one."""
    if isinstance(value, tuple) and isinstance(wanted, tuple):
        return len(value) == len(wanted) and all(map(_is_same, value, wanted))
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Return lists as tuples, as fields have them."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
