"""How several values of a field are spelled, the same on the line and in a file.

``1,2``, ``choice(a,b)``                these values
``range(8)``, ``range(2,8,2)``          whole numbers, the last left out
``log(1e-4,1e-1,16)``                   16 numbers evenly spaced in the logarithm, with both ends
``linear(0,1,5)``                       likewise in value
``uniform(0,1)``                        a number, drawn
``loguniform(1e-5,1)``, ``log(1e-5,1)`` likewise in the logarithm
``integers(1,8)``                       a whole number, drawn, both ends among them
``choice(a,b)``                         one of these, drawn, in a sweep that draws

Paired fields are ``'zip(a=1,2; b=range(2))'`` on the line. A file writes their paths with commas::

    sweep:
      seed: [0, 1, 2]
      optimizer.learning_rate: loguniform(1e-4, 1e-1)
      model.dropout, model.widths: [[0.1, [64]], [0.2, [128]]]
      num_steps, tolerance: zip(100,200; log(1e-4, 1e-2, 2))
    search: {num_samples: 64}

Inside braces YAML parts a text at its commas, so put quotes around it there.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple, NoReturn

from mastery_jax.workflow import yaml12
from mastery_jax.workflow.errors import ConfigError

__all__ = ["Distribution", "Listed", "inside", "paired", "read", "refuse_meant", "split", "value"]

Kind = Literal["uniform", "loguniform", "integers", "choice"]

_USAGE = {
    "range": "range(stop), range(start,stop) or range(start,stop,step) in whole numbers",
    "log": "log(low,high,count), or log(low,high) to draw, in finite numbers",
    "linear": "linear(low,high,count) in finite numbers",
    "uniform": "uniform(low,high) in finite numbers",
    "loguniform": "loguniform(low,high) in finite numbers",
    "integers": "integers(low,high) in whole numbers",
    "choice": "choice(a,b)",
}
_DRAWN: dict[str, Kind] = {
    "uniform": "uniform",
    "loguniform": "loguniform",
    "log": "loguniform",
    "integers": "integers",
}
_FORM = re.compile(rf"({'|'.join(_USAGE)})\(")
# Quoted text, a word (an apostrophe inside it opens no quotes), or one character.
_PIECES = re.compile(r"""\"(?:\\.|[^"\\])*\"|'[^']*'|\w[\w'"]*|.""", re.DOTALL)
_OPENS, _CLOSES = tuple("([{"), tuple(")]}")


class Listed(NamedTuple):
    """Values one after another, of one field; or of paired fields, a row at a time."""

    length: int
    make: Callable[[], Iterable[Any]]  # the values, as YAML has them, once their number is sound
    text: str  # as it was spelled; empty where each value was


class Distribution(NamedTuple):
    """What the values of one field are drawn from."""

    kind: Kind
    low: Any  # both bounds may be drawn; None for choices
    high: Any
    choices: tuple[Any, ...]  # of a choice only
    text: str  # as it was spelled

    def listed(self) -> Listed:
        """Return the choices as a list."""
        return Listed(len(self.choices), lambda: self.choices, self.text)


def value(path: str, text: str) -> Any:
    """Return the one value that a text is in YAML.

    Raises:
        ConfigError: It is not YAML.
    """
    try:
        return yaml12.parse(text)
    except ValueError as error:
        message = str(error).removeprefix("line 1: ")
        raise ConfigError(f"{path}={text} is not YAML: {message}") from None


def read(path: str, text: str) -> Listed | Distribution | None:
    """Return what a text says of a field's several values, ``None`` where it is one value.

    Raises:
        ConfigError: A form is not closed, or not as it is written, or a value is missing.
    """
    text = text.strip()
    if not (found := _FORM.match(text)):
        parts = split(text)
        if len(parts) == 1:
            return None
        values = _values(path, text, parts)
        return Listed(len(values), lambda: values, "")
    kind, parts = found[1], split(inside(f"{path}={text}", text))
    if kind == "choice":
        return Distribution("choice", None, None, _values(path, text, parts), text)
    numbers = [_number(value(path, part)) for part in parts]
    if None in numbers:
        _refuse(path, text, f"write {_USAGE[kind]}")
    if kind == "range":
        return _range(path, text, numbers)
    if kind == "linear" or (kind == "log" and len(numbers) == 3):
        return _spaced(path, text, kind, numbers)
    return _drawn(path, text, kind, numbers)


def paired(paths: Sequence[str], texts: Sequence[str]) -> Listed:
    """Return the rows of paired fields.

    Args:
        paths: The fields.
        texts: How the values of each are spelled; one value counts as a list of one.

    Raises:
        ConfigError: One of them is drawn, or their lengths differ.
    """
    lists = [_list(path, text) for path, text in zip(paths, texts, strict=True)]
    lengths = [listed.length for listed in lists]
    if len(set(lengths)) > 1:
        raise ConfigError(
            f"{', '.join(paths)}: zip pairs lists of one length, got {', '.join(map(str, lengths))}"
        )
    text = f"zip({'; '.join(map(str.strip, texts))})" if any(part.text for part in lists) else ""

    def make() -> Iterable[Any]:
        return map(list, zip(*(part.make() for part in lists), strict=True))

    return Listed(lengths[0], make, text)


def refuse_meant(texts: Mapping[str, str]) -> None:
    """Refuse a text that is one value, and was probably meant to be several.

    Args:
        texts: By path.

    Raises:
        ConfigError: It is empty, or has the form of a list or a distribution that there is not.
    """
    for path, text in texts.items():
        if not text.strip():
            raise ConfigError(f"{path}= has no value: write several, as in seed=0,1,2")
        if found := re.fullmatch(r"(\w+)\(.*\)", text.strip(), re.DOTALL):
            known = ", ".join(_USAGE)
            raise ConfigError(
                f"{path}={text}: {found[1]} is no list and no distribution; there is {known}"
            )


def split(text: str, at: str = ",") -> list[str]:
    """Split at the commas, or another sign, that stand outside brackets and quotes."""
    parts, depth = [""], 0
    for piece in _PIECES.findall(text):
        depth += (piece in _OPENS) - (piece in _CLOSES)
        if piece == at and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def inside(what: str, text: str) -> str:
    """Return what stands between the parentheses of ``form(...)``.

    Args:
        what: The whole argument, for messages.
        text: The form; its name is a word.

    Raises:
        ConfigError: It is not closed, or goes on behind its end.
    """
    name, depth = text.partition("(")[0], 0
    pieces = _PIECES.findall(text)
    for index, piece in enumerate(pieces):
        depth += (piece in _OPENS) - (piece in _CLOSES)
        if piece == ")" and not depth:
            if index < len(pieces) - 1:
                raise ConfigError(f"{what}: nothing may stand beside {name}(...)")
            return "".join(pieces[2:-1])
    raise ConfigError(f"{what}: a closing parenthesis is missing")


def _refuse(path: str, text: str, why: str) -> NoReturn:
    raise ConfigError(f"{path}={text}: {why}")


def _values(path: str, text: str, parts: Sequence[str]) -> tuple[Any, ...]:
    if not all(part.strip() for part in parts):
        _refuse(path, text, "a value is missing beside a comma")
    return tuple(value(path, part) for part in parts)


def _list(path: str, text: str) -> Listed:
    found = read(path, text)
    if found is None:
        one = value(path, text)
        return Listed(1, lambda: (one,), "")
    if isinstance(found, Listed):
        return found
    if found.kind != "choice":
        raise ConfigError(f"{path}={text.strip()} draws, and zip pairs lists")
    return found.listed()


def _number(number: Any) -> int | float | None:
    """Return a finite number, ``None`` for anything else."""
    try:
        is_number = type(number) in (int, float) and math.isfinite(number)
    except OverflowError:
        is_number = False
    return number if is_number else None


def _range(path: str, text: str, numbers: list[Any]) -> Listed:
    if not (1 <= len(numbers) <= 3 and all(type(number) is int for number in numbers)):
        _refuse(path, text, f"write {_USAGE['range']}")
    step = 1 if len(numbers) < 3 else numbers[2]
    start, stop = (0, *numbers)[-2:] if len(numbers) < 3 else numbers[:2]
    if not step:
        _refuse(path, text, f"write {_USAGE['range']}, a step that is not 0")
    count = max(0, -((start - stop) // step))
    return Listed(count, lambda: range(start, stop, step), text)


def _bounds(path: str, text: str, kind: str, low: Any, high: Any) -> None:
    if kind.startswith("log") and low <= 0:
        _refuse(path, text, "a logarithm needs bounds above 0")
    if low >= high:
        _refuse(path, text, "the first bound must be below the second")


def _spaced(path: str, text: str, kind: str, numbers: list[Any]) -> Listed:
    if len(numbers) != 3 or type(numbers[2]) is not int:
        _refuse(path, text, f"write {_USAGE[kind]}")
    low, high, count = numbers
    _bounds(path, text, kind, low, high)
    if count < 2:
        _refuse(path, text, "both ends are among the values: write a count of 2 or more")
    between = _log_between if kind == "log" else _linear_between

    def make() -> Iterable[Any]:
        inner = (between(low, high, Fraction(step, count - 1)) for step in range(1, count - 1))
        if type(low) is type(high) is int:  # so that a field of whole numbers can hold them
            inner = (int(number) if number.is_integer() else number for number in inner)
        return (low, *inner, high)

    return Listed(count, make, text)


def _linear_between(low: Any, high: Any, part: Fraction) -> float:
    first, last = Fraction(str(low)), Fraction(str(high))  # as written: 0.3 is three tenths
    return float(first + (last - first) * part)


def _log_between(low: Any, high: Any, part: Fraction) -> float:
    first, last = math.log10(low), math.log10(high)
    exponent = first + (last - first) * part.numerator / part.denominator
    return min(max(10.0**exponent, float(low)), float(high))


def _drawn(path: str, text: str, kind: str, numbers: list[Any]) -> Distribution:
    is_whole = all(type(number) is int for number in numbers)
    if len(numbers) != 2 or (kind == "integers" and not is_whole):
        _refuse(path, text, f"write {_USAGE[kind]}")
    low, high = numbers
    _bounds(path, text, kind, low, high)
    return Distribution(_DRAWN[kind], low, high, (), text)
