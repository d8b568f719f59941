"""A YAML file and ``a.b=c`` overrides become one frozen, checked struct.

A file names its experiment, a module by path, and gives values to some fields of that module's
``Config``; every other field has its default. Its keys ``sweep`` and ``search`` say which fields
vary, and how that is searched: see ``sweep.notation`` and ``sweep.search``. ``run`` and ``sweep``
read nothing else.
"""

import hashlib
import json
import pathlib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mastery_jax.workflow import config_files, modules, yaml12
from mastery_jax.workflow.config_files import names
from mastery_jax.workflow.convert import convert, show
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.fields import flatten, lane_paths, replace, static_paths
from mastery_jax.workflow.overrides import (
    Override,
    apply,
    parse,
    parse_zip,
    sweep_values,
    value_of,
)
from mastery_jax.workflow.sweep import draws, notation, written
from mastery_jax.workflow.sweep import search as searches
from mastery_jax.workflow.sweep import space as spaces
from mastery_jax.workflow.sweep.notation import Distribution, Listed
from mastery_jax.workflow.sweep.search import Search
from mastery_jax.workflow.sweep.space import Space

__all__ = [
    "Loaded",
    "Sweep",
    "digest",
    "flatten",
    "join",
    "lane_paths",
    "load",
    "load_sweep",
    "names",
    "replace",
    "schema",
    "static_paths",
    "sweep_to_yaml",
    "to_yaml",
]


class Loaded(NamedTuple):
    """A config, and where it comes from."""

    name: str  # the stem of its file
    experiment: str  # the module that it configures, by path
    value: Any  # the module's Config


class Sweep(NamedTuple):
    """A config, and what is varied in it."""

    loaded: Loaded  # of the first lane, which every lane starts from
    space: Space
    search: Search
    points: tuple[dict[str, Any], ...]  # the fields of each lane, by path; of none for a sampler

    @property
    def swept(self) -> tuple[str, ...]:
        """Return the paths that are varied."""
        return self.space.paths


class _Asked(msgspec.Struct, frozen=True):
    """Where ``search`` stands, so that its paths begin with its name."""

    search: Search = Search()


def load(config: str | pathlib.Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read one config.

    Args:
        config: A path that ends in .yaml or .yml, or the name of a config: see :func:`names`.
        overrides: Changes to it, in Hydra's spelling: see ``workflow.overrides``.

    Raises:
        ConfigError: Anything is wrong; one sentence says what came and what was wanted.
    """
    path, raw = config_files.read(config)
    for key in ("sweep", "search"):
        if key in raw:
            raise ConfigError(f"{path} describes a sweep, by {key}: run it with mastery sweep")
    for argument in overrides:
        if parse_zip(argument) or _is_asked(parse(argument)):
            raise ConfigError(f"{argument} is of a sweep: run it with mastery sweep")
    parsed = [parse(argument) for argument in overrides]
    loaded = _build(path, raw, [(override, value_of(override)) for override in parsed])
    _check(modules.rules(loaded.experiment), loaded.value, lambda: loaded.name)
    return loaded


def load_sweep(
    config: str | pathlib.Path,
    arguments: Sequence[str] = (),
    *,
    many: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Sweep:
    """Read one config, how fields of it vary, and how that is searched.

    The lanes are every drawn point with the product of the lists, the last list varying fastest.
    O(lanes).

    Args:
        config: As in :func:`load`; a file's key ``sweep`` holds values by field path, its key
            ``search`` the fields of ``workflow.sweep.search``.
        arguments: Overrides; those that spell several values are swept, as in
            ``workflow.sweep.notation``; those of ``search.`` say how.
        many: Whether more than 100,000 lanes are accepted.
        say: Where to say that it takes a while to lay out so many.

    Returns:
        The config of the first lane, which every lane starts from, and the points, converted; no
        points where a sampler is to be asked for them, see :func:`join`.

    Raises:
        ConfigError: As in :func:`load`, for every value; or the space or the search is not sound.
    """
    path, raw = config_files.read(config)
    asked = {"search": raw.pop("search")} if "search" in raw else {}
    said = written.from_file(path, raw.pop("sweep", {}))
    changes, plain, given = _sorted(arguments)
    name = modules.short(raw["experiment"])
    for override in changes:
        apply(asked, override, _asked_value(override), _Asked, "the sweep")
    search = convert(asked, _Asked, "the sweep").search
    searches.refuse(search)
    texts = {override.path: override.text for override in plain if override.sign != "~"}
    said = written.settled(written.merged(said, given), search, texts)
    written.refuse_count(said, search, many, say)
    first = [(Override("++", key, ""), value) for key, value in written.first(said).items()]
    loaded = _build(path, raw, [*((each, value_of(each)) for each in plain), *first], said)
    written.refuse_conflicts(said, [override.path for override in plain], loaded.value)
    sweep = Sweep(loaded, spaces.checked(loaded.value, said, name), search, ())
    return _drawn(sweep)


def join(sweep: Sweep, drawn: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the lanes of one drawn point: it with every point of the grid, in lane order.

    Args:
        sweep: What is varied.
        drawn: A value for each of ``sweep.space.distributions``, by path.

    Raises:
        ConfigError: A field is missing or one too many, a value does not fit its field, or a lane
            breaks a rule of the experiment.
    """
    base, distributions = sweep.loaded.value, sweep.space.distributions
    for path in sorted(distributions.keys() ^ drawn.keys()):
        raise ConfigError(f"{path} is {'not drawn' if path in distributions else 'no draw'}")
    ordered = {path: drawn[path] for path in distributions}
    point = spaces.converted(base, ordered, modules.short(sweep.loaded.experiment))
    lanes = tuple({**point, **row} for row in sweep.space.grid())
    if rules := modules.rules(sweep.loaded.experiment):
        for lane in lanes:
            _check(rules, replace(base, lane), lambda lane=lane: _where(sweep.loaded.name, lane))
    return lanes


def to_yaml(loaded: Loaded, **extra: Any) -> str:
    """Return the text of a file that :func:`load` reads back to an equal value.

    Args:
        loaded: A config.
        extra: Further keys, last: a sweep's ``sweep`` and ``search``.
    """
    return yaml12.dump(msgspec.to_builtins({**_content(loaded), **extra}))


def sweep_to_yaml(sweep: Sweep) -> str:
    """Return the text of a file that :func:`load_sweep` reads back to an equal sweep."""
    asked = {} if sweep.search == Search() else {"search": sweep.search}
    return to_yaml(sweep.loaded, sweep=sweep.space.spelled(), **asked)


def digest(of: Loaded | Sweep) -> str:
    """Return the SHA-256, in hex, of the experiment's name and every field of its config.

    Of a sweep that is also of what it varies and how: two sweeps of one config are two.
    """
    content = _content(of.loaded if isinstance(of, Sweep) else of)
    if isinstance(of, Sweep):
        content |= msgspec.to_builtins({"sweep": of.space.spelled(), "search": of.search})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def schema(experiment: types.ModuleType | Loaded) -> dict[str, Any]:
    """Return the JSON schema of a config file, for editors."""
    module = modules.load(experiment.experiment) if isinstance(experiment, Loaded) else experiment
    (ref, search), structs = msgspec.json.schema_components(
        (module.Config, Search), ref_template="#/$defs/{name}"
    )
    body = structs.pop(ref["$ref"].rpartition("/")[2])
    named = {"const": module.__name__, "description": "the module that is configured, by path"}
    swept = {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, {"type": "string"}]},
        "description": "by field path, a list of values or how they are spelled: log(1e-4,1e-1,16)",
    }
    own = {"experiment": named, **body["properties"], "sweep": swept, "search": search}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **body,
        "properties": own,
        "required": ["experiment", *body.get("required", [])],
        "$defs": structs,
    }


def _sorted(
    arguments: Iterable[str],
) -> tuple[list[Override], list[Override], list[tuple[tuple[str, ...], Listed | Distribution]]]:
    """Return what the line says of the search, of fields with one value, and of swept ones."""
    changes, plain, given = [], [], []
    for argument in arguments:
        if parts := parse_zip(argument):
            paths = tuple(part.path for part in parts)
            given.append((paths, notation.paired(paths, [part.text for part in parts])))
        elif _is_asked(override := parse(argument)):
            changes.append(override)
        elif several := sweep_values(override):
            given.append(((override.path,), several))
        else:
            plain.append(override)
    return changes, plain, given


def _is_asked(override: Override) -> bool:
    return override.path.split(".")[0] == "search"


def _asked_value(override: Override) -> Any:
    if sweep_values(override):
        raise ConfigError(
            f"{override.path}={override.text}: search is asked once for all lanes, it cannot be "
            f"swept; for a list write {override.path}=[{override.text}]"
        )
    return value_of(override)


def _drawn(sweep: Sweep) -> Sweep:
    """Return a sweep with its points, unless a sampler is to be asked for them."""
    distributions, drawn = sweep.space.distributions, [{}]
    if sweep.search.sampler:
        draws.refuse_few(distributions, sweep.search)
        return sweep
    if distributions:
        drawn = draws.draw(distributions, sweep.search)
    points = tuple(lane for point in drawn for lane in join(sweep, point))
    value = replace(sweep.loaded.value, points[0])
    return sweep._replace(loaded=sweep.loaded._replace(value=value), points=points)


def _build(
    path: pathlib.Path,
    raw: dict[str, Any],
    changes: Iterable[tuple[Override, Any]],
    said: written.Written | None = None,
) -> Loaded:
    experiment = raw["experiment"]
    module, name = modules.load(experiment), modules.short(experiment)
    raw = {key: value for key, value in raw.items() if key != "experiment"}
    for override, value in sorted(changes, key=lambda change: change[0].path.count(".")):
        apply(raw, override, value, module.Config, name)
    written.refuse_fractions(raw, module.Config, said or {})
    value = convert(raw, module.Config, name)
    return Loaded(name=path.stem, experiment=experiment, value=value)


def _where(name: str, lane: Mapping[str, Any]) -> str:
    return name + "".join(f", {path}={show(value)}" for path, value in lane.items())


def _check(rules: Callable[[Any], None] | None, value: Any, where: Callable[[], str]) -> None:
    try:
        if rules:
            rules(value)
    except ValueError as error:
        raise ConfigError(f"{where()}: {error}") from None


def _content(loaded: Loaded) -> dict[str, Any]:
    return {"experiment": loaded.experiment, **msgspec.to_builtins(loaded.value)}
