"""The space of a sweep: lists, pairs and distributions of fields, as the config's types want them.

Its lanes are every drawn point with every point of the grid: draws slowest, the last list fastest.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mastery_jax.workflow.convert import convert_at, show
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.fields import replace
from mastery_jax.workflow.sweep.notation import Distribution
from mastery_jax.workflow.sweep.written import Written, columns

__all__ = ["Axis", "Distribution", "Space", "checked", "converted"]


class Axis(NamedTuple):
    """Fields that take listed values together."""

    paths: tuple[str, ...]  # one, or several that are paired
    rows: tuple[tuple[Any, ...], ...]  # of each point, a value for each path
    spelled: Any  # as a file holds it: a text, or plain values (not what their defaults fill in)


class Space(NamedTuple):
    """What is varied, converted and sound."""

    axes: tuple[Axis, ...]
    distributions: dict[str, Distribution]  # by field path, in the order of a drawn point

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the fields that are varied, in the order of a lane."""
        return (*self.distributions, *(path for axis in self.axes for path in axis.paths))

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every point of the lists as values by field path, the last list fastest."""
        paths = [path for axis in self.axes for path in axis.paths]
        for rows in itertools.product(*(axis.rows for axis in self.axes)):
            yield dict(zip(paths, itertools.chain(*rows), strict=True))

    def spelled(self) -> dict[str, Any]:
        """Return the space as a file's key ``sweep`` holds it."""
        drawn = {path: distribution.text for path, distribution in self.distributions.items()}
        return drawn | {", ".join(axis.paths): axis.spelled for axis in self.axes}


def checked(base: Any, written: Written, name: str) -> Space:
    """Return the space as the config's types want it.

    A field of a swept choice must exist in every one of the choices.

    Args:
        base: The config that every lane starts from.
        written: The settled space.
        name: Whose config it is, for messages.

    Raises:
        ConfigError: A value or a bound does not fit its field, or a value is given twice.
    """
    plain: dict[str, Sequence[Any]] = {}
    for paths, said in written.items():
        plain |= columns(paths, said)
    beside = {path: paths for paths in written for path in paths}
    done: dict[str, tuple[Any, ...]] = {}
    for path in sorted(plain, key=lambda path: path.count(".")):
        above = [parent for parent in done if path.startswith(f"{parent}.")]
        paired = [parent for parent in above if parent in beside[path]]
        free = {parent: done[parent] for parent in above if parent not in paired}
        for lane in _product(free):
            if not paired:
                done[path] = convert_at(replace(base, lane), path, plain[path], name)
                continue
            starts = (
                replace(base, lane | dict(zip(paired, row, strict=True)))
                for row in zip(*(done[parent] for parent in paired), strict=True)
            )
            found = (
                convert_at(start, path, [value], name)
                for start, value in zip(starts, plain[path], strict=True)
            )
            done[path] = tuple(value for (value,) in found)
    return _space(written, done)


def converted(base: Any, drawn: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a drawn point as the config's types want it.

    Args:
        base: The config that every lane starts from.
        drawn: Plain values by field path.
        name: Whose config it is, for messages.

    Raises:
        ConfigError: A value does not fit its field.
    """
    done: dict[str, Any] = {}
    for path in sorted(drawn, key=lambda path: path.count(".")):
        above = {parent: done[parent] for parent in done if path.startswith(f"{parent}.")}
        start = replace(base, above) if above else base
        (done[path],) = convert_at(start, path, [msgspec.to_builtins(drawn[path])], name)
    return {path: done[path] for path in drawn}


def _product(columns: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*columns.values()):
        yield dict(zip(columns, values, strict=True))


def _space(written: Written, done: Mapping[str, tuple[Any, ...]]) -> Space:
    axes, distributions = [], {}
    for paths, said in written.items():
        if not isinstance(said, Distribution):
            rows = tuple(zip(*(done[path] for path in paths), strict=True))
            _refuse_repeats(", ".join(paths), done[paths[0]] if len(paths) == 1 else rows)
            axes.append(Axis(paths, rows, said.text or msgspec.to_builtins(list(said.make()))))
        elif said.kind == "choice":
            _refuse_repeats(paths[0], done[paths[0]])
            distributions[paths[0]] = said._replace(choices=done[paths[0]])
        else:
            low, high = done[paths[0]]
            if said.kind != "integers":
                low, high = float(low), float(high)
            distributions[paths[0]] = said._replace(low=low, high=high)
    return Space(tuple(axes), distributions)


def _refuse_repeats(key: str, values: Sequence[Any]) -> None:
    seen = set()
    for value in values:
        if (encoded := msgspec.json.encode(value)) in seen:
            raise ConfigError(f"{key} lists {show(value)} twice")
        seen.add(encoded)
