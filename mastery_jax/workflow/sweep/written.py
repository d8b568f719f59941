"""What a file and the line say of a sweep's space, and what is wrong with it before it is made.

Each axis stands under the paths of its fields: one, or several that are paired.
"""

import copy
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mastery_jax.workflow import fields
from mastery_jax.workflow.convert import chosen, show
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.progress import duration
from mastery_jax.workflow.sweep import notation
from mastery_jax.workflow.sweep.notation import Distribution, Listed
from mastery_jax.workflow.sweep.search import Search

__all__ = [
    "MAX_LANES",
    "Written",
    "columns",
    "first",
    "from_file",
    "merged",
    "refuse_conflicts",
    "refuse_count",
    "refuse_fractions",
    "settled",
]

MAX_LANES = 100_000  # few need a table of more, and a slip of the pen makes many
SECONDS_A_LANE = 25e-6  # to convert, check and group one, measured
ENDLESS = 10**15  # counts above are not worth their digits

Written = dict[tuple[str, ...], Listed | Distribution]


def from_file(path: pathlib.Path, swept: Any) -> Written:
    """Return what a file's key ``sweep`` holds.

    Raises:
        ConfigError: It is no mapping, or a value is no list and spells none.
    """
    if not isinstance(swept, dict):
        raise ConfigError(f"{path}: sweep must hold a list of values for each field path")
    written: Written = {}
    for key, said in swept.items():
        paths = tuple(part.strip() for part in str(key).split(","))
        if not all(paths):
            raise ConfigError(f"{path}: {key!r} must be paths with commas between them")
        if paths in written:
            raise ConfigError(f"{', '.join(paths)} is swept twice")
        written[paths] = _one(paths[0], said) if len(paths) == 1 else _several(paths, said)
    return written


def _one(path: str, said: Any) -> Listed | Distribution:
    if isinstance(said, list):
        return Listed(len(said), lambda: said, "")
    if isinstance(said, str) and (found := notation.read(path, said)):
        return found
    raise ConfigError(
        f"{path} must hold a list of values, or a text like log(1e-4,1e-1,16), got {show(said)}"
    )


def _several(paths: tuple[str, ...], said: Any) -> Listed:
    where = ", ".join(paths)
    if isinstance(said, list):
        for row in said:
            if not isinstance(row, list) or len(row) != len(paths):
                raise ConfigError(
                    f"{where}: each row must hold {len(paths)} values, got {show(row)}"
                )
        return Listed(len(said), lambda: said, "")
    if not (isinstance(said, str) and said.strip().startswith("zip(")):
        raise ConfigError(f"{where} must hold a list of rows, or write zip(...; ...)")
    texts = notation.split(notation.inside(where, said.strip()), ";")
    if len(texts) != len(paths):
        raise ConfigError(f"{where} are {len(paths)} fields, but {said} holds {len(texts)}")
    return notation.paired(paths, texts)


def merged(written: Mapping[tuple[str, ...], Any], given: Iterable[tuple[Any, Any]]) -> Written:
    """Return what a file and the line say together; the line goes before the file.

    Args:
        written: Of the file.
        given: Paths and values, of the line.

    Raises:
        ConfigError: A field is swept twice, or what is swept is not of the config.
    """
    line: Written = {}
    for paths, said in given:
        if paths in line:
            raise ConfigError(f"{', '.join(paths)} is swept twice")
        line[paths] = said
    every = {**written, **line}
    seen: set[str] = set()
    for path in (path for paths in every for path in paths):
        if path.split(".")[0] == "search":
            raise ConfigError("search is asked once for all lanes, it cannot be swept")
        if path in seen:
            raise ConfigError(f"{path} is swept twice")
        seen.add(path)
    return every


def settled(written: Written, search: Search, plain: Mapping[str, str]) -> Written:
    """Return the space of a search: choices are lists where nothing is drawn.

    Args:
        written: What varies.
        search: How.
        plain: Text by path of what the line gives one value: where nothing varies that should,
            one of these may be what was meant to.

    Raises:
        ConfigError: Nothing is swept; or there is something to be drawn and no number of points,
            or the reverse.
    """
    draws = search.num_samples > 0 or search.sampler is not None
    done: Written = {}
    for paths, said in written.items():
        if isinstance(said, Distribution) and said.kind == "choice" and not draws:
            said = said.listed()
        done[paths] = said
    drawn = {paths: said for paths, said in done.items() if isinstance(said, Distribution)}
    if (draws and not drawn) or not done:
        notation.refuse_meant(plain)
    if draws and not drawn:
        by = ("sampler", search.sampler) if search.sampler else ("num_samples", search.num_samples)
        raise ConfigError(
            f"search.{by[0]}={by[1]} draws, but nothing is there to be drawn: write a field as "
            "uniform(a,b), loguniform(a,b), integers(a,b) or choice(a,b)"
        )
    if drawn and not search.num_samples:
        (path,), said = next(iter(drawn.items()))
        raise ConfigError(
            f"{path}={said.text} is drawn: write search.num_samples=N (or --num-samples N)"
        )
    if not done:
        raise ConfigError("nothing is swept: write several values, as in seed=0,1,2")
    return done


def refuse_count(written: Written, search: Search, many: bool, say: Callable[[str], None]) -> None:
    """Refuse a sweep of no lanes, or of more than is accepted without being asked.

    Args:
        written: The settled space.
        search: How many points are drawn.
        many: Whether more is accepted.
        say: Where to say that it takes a while to lay out so many.

    Raises:
        ConfigError: It is so.
    """
    lists = {paths: said for paths, said in written.items() if isinstance(said, Listed)}
    for paths, said in lists.items():
        if not said.length:
            raise ConfigError(f"{', '.join(paths)} lists no value, so that the sweep has no lane")
    draws = search.num_samples if len(lists) < len(written) else 1
    count = math.prod((draws, *(said.length for said in lists.values())))
    if count > MAX_LANES and not many:
        shown = f"{count:,}" if count < ENDLESS else f"more than {ENDLESS:,}"
        raise ConfigError(
            f"the sweep has {shown} lanes; at most {MAX_LANES:,} are run without --yes"
        )
    if count > MAX_LANES:
        seconds = max(1, round(count * SECONDS_A_LANE))
        say(f"laying out {count:,} lanes, which takes some {duration(seconds)}")


def first(written: Written) -> dict[str, Any]:
    """Return one plain value for every field: the first of a list, the lower bound of a range."""
    found: dict[str, Any] = {}
    for paths, said in written.items():
        if isinstance(said, Distribution):
            found[paths[0]] = copy.deepcopy(said.choices[0]) if said.kind == "choice" else said.low
        else:
            values = copy.deepcopy(next(iter(said.make())))  # overrides change it in place
            found |= zip(paths, values if len(paths) > 1 else (values,), strict=True)
    return found


def columns(paths: tuple[str, ...], said: Listed | Distribution) -> dict[str, Sequence[Any]]:
    """Return the plain values of each field of an axis; of a range, its bounds."""
    if isinstance(said, Distribution):
        return {paths[0]: said.choices or (said.low, said.high)}
    values = list(said.make())
    return dict(zip(paths, zip(*values, strict=True) if len(paths) > 1 else [values], strict=True))


def refuse_fractions(raw: Any, config: type[msgspec.Struct], written: Written) -> None:
    """Refuse to draw real numbers for a field of whole numbers.

    Args:
        raw: What the file and the line say, with a value for every field that is swept.
        config: The type of the config.
        written: The settled space.

    Raises:
        ConfigError: It is asked.
    """
    for paths, said in written.items():
        if isinstance(said, Distribution) and said.kind in ("uniform", "loguniform"):
            holds = fields.choices(_hint(raw, config, paths[0]))
            if int in holds and float not in holds:
                raise ConfigError(
                    f"{paths[0]}={said.text}: {paths[0]} holds whole numbers: "
                    "write integers(low,high)"
                )


def _hint(raw: Any, hint: Any, path: str) -> Any:
    """Return the type of what stands at a path of plain data."""
    at = ""
    for key in path.split("."):
        if isinstance(raw, list):
            hint, raw = fields.child(hint, int(key)), raw[int(key)]
        else:
            struct = chosen(raw, hint, at)
            known = fields.struct_fields(struct) if struct else {}
            hint = known[key].type if key in known else fields.child(hint, key)
            if key not in raw:
                return Any  # a choice that is swept beside it has cleared it, which is refused next
            raw = raw[key]
        at = fields.join(at, key)
    return hint


def refuse_conflicts(written: Written, plain: Iterable[str], base: msgspec.Struct) -> None:
    """Refuse two that speak of one field.

    Args:
        written: The settled space.
        plain: The paths of the fields that the line sets to one value.
        base: A config that has the fields.

    Raises:
        ConfigError: A field is both set and swept; a choice is swept by two names, or by its name
            with its fields; or the values of a field say what is swept in it.
    """
    beside = {path: paths for paths in written for path in paths}
    owners = {path: _owner(base, path) for path in beside}
    for path, owner in owners.items():
        for other in plain:
            if f"{other}.".startswith(f"{owner}."):
                raise ConfigError(f"{other} is set, but {path} is swept and its values decide")
    for outer, owner in owners.items():
        for inner in beside:
            if inner != outer and f"{inner}.".startswith(f"{owner}."):
                values = columns(beside[outer], written[beside[outer]])[outer]
                _refuse_pair(outer, owner, inner, owners[inner], values)


def _owner(base: msgspec.Struct, path: str) -> str:
    """Return the path of the choice that ``model.kind`` makes; of another field, its own."""
    parent, _, last = path.rpartition(".")
    hint = fields.hint_at(base, parent) if parent else None
    return parent if hint is not None and fields.tag_field(hint) == last else path


def _refuse_pair(
    outer: str, owner: str, inner: str, inner_owner: str, values: Sequence[Any]
) -> None:
    """Refuse a swept field and one below it, where the values of the first speak of the second."""
    if owner != outer:
        raise ConfigError(
            f"{outer} and {inner} are both swept: sweep {owner} in place of {outer}, so that the "
            "choice is made first"
        )
    if inner_owner == outer:
        raise ConfigError(f"{outer} and {inner} are both swept, and they are one choice")
    keys = inner.removeprefix(f"{outer}.").split(".")
    for said in values:
        if _says(said, keys):
            raise ConfigError(
                f"{outer} and {inner} are both swept, and {show(said)} of {outer} "
                f"sets {inner} already"
            )


def _says(said: Any, keys: Sequence[str]) -> bool:
    if not keys or isinstance(said, list):
        return True
    return isinstance(said, dict) and keys[0] in said and _says(said[keys[0]], keys[1:])
