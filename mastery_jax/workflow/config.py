"""A YAML file and ``a.b=c`` overrides become one frozen, checked struct.

A file names its experiment, a module by path, and gives values to some fields of that module's
``Config``; every other field has its default. ``run`` and ``sweep`` read nothing else.
"""

import hashlib
import importlib
import importlib.util
import json
import pathlib
import pkgutil
import re
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from mastery_jax.workflow import spelling, yaml12
from mastery_jax.workflow.convert import convert, show
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import RunConfig
from mastery_jax.workflow.fields import flatten, lane_paths, replace, static_paths
from mastery_jax.workflow.overrides import Override, apply, parse, sweep_values, value_of
from mastery_jax.workflow.sweep import space as lanes
from mastery_jax.workflow.sweep.search import Search

__all__ = [
    "Loaded",
    "Sweep",
    "digest",
    "flatten",
    "lane_paths",
    "load",
    "load_sweep",
    "names",
    "replace",
    "schema",
    "static_paths",
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
    space: dict[str, tuple[Any, ...]]
    search: Search
    points: tuple[dict[str, Any], ...]  # the fields of each lane, by path; of none for a sampler

    @property
    def swept(self) -> tuple[str, ...]:
        """Return the paths that are varied."""
        return tuple(self.space)


def load(config: str | pathlib.Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read one config.

    Args:
        config: A path that ends in .yaml or .yml, or the name of a config: see :func:`names`.
        overrides: Changes to it, in Hydra's spelling: see ``workflow.overrides``.

    Raises:
        ConfigError: Anything is wrong; one sentence says what came and what was wanted.
    """
    path, raw = _read(config)
    if "sweep" in raw:
        raise ConfigError(f"{path} describes a sweep: run it with mastery sweep")
    parsed = [parse(argument) for argument in overrides]
    loaded = _build(path, raw, [(override, value_of(override)) for override in parsed])
    _check(_rules(loaded), loaded.value, loaded.name)
    return loaded


def load_sweep(config: str | pathlib.Path, arguments: Sequence[str] = ()) -> Sweep:
    """Read one config and the values of the fields that a sweep varies.

    The lanes are the product of the values, the last field varying fastest.

    Args:
        config: As in :func:`load`; a file's key ``sweep`` holds lists of values by field path.
        arguments: Overrides; those that list several values are swept.

    Returns:
        The config of the first lane, which every lane starts from, and the points, converted.

    Raises:
        ConfigError: As in :func:`load`, for every value; or no lane, a value or a field given
            twice, or more than 100,000 lanes.
    """
    path, raw = _read(config)
    swept = lanes.listed(path, raw.pop("sweep", {}))
    plain, given = [], {}
    for override in map(parse, arguments):
        if (several := sweep_values(override)) is None:
            plain.append((override, value_of(override)))
        elif override.path in given:
            raise ConfigError(f"{override.path} is swept twice")
        else:
            given[override.path] = several
    swept |= given
    lanes.refuse(swept, [override.path for override, _ in plain])
    first = [(Override("++", key, ""), values[0]) for key, values in swept.items()]
    loaded = _build(path, raw, plain + first)
    values = lanes.checked(loaded.value, swept, _short(loaded.experiment))
    if rules := _rules(loaded):
        for lane in lanes.product(values):
            where = "".join(f", {key}={show(value)}" for key, value in lane.items())
            _check(rules, replace(loaded.value, lane), f"{loaded.name}{where}")
    return Sweep(loaded, values, Search(), tuple(lanes.product(values)))


def to_yaml(loaded: Loaded, **extra: Any) -> str:
    """Return the text of a file that :func:`load` reads back to an equal value.

    Args:
        loaded: A config.
        extra: Further keys, last: a sweep's ``sweep``.
    """
    return yaml12.dump(msgspec.to_builtins({**_content(loaded), **extra}))


def digest(loaded: Loaded) -> str:
    """Return the SHA-256, in hex, of the experiment's name and every field of its config."""
    return hashlib.sha256(json.dumps(_content(loaded), sort_keys=True).encode()).hexdigest()


def schema(experiment: types.ModuleType | Loaded) -> dict[str, Any]:
    """Return the JSON schema of a config file, for editors."""
    module = _module(experiment.experiment) if isinstance(experiment, Loaded) else experiment
    whole = msgspec.json.schema(module.Config)
    body = whole["$defs"].pop(whole["$ref"].rpartition("/")[2])
    named = {"const": module.__name__, "description": "the module that is configured, by path"}
    swept = {
        "type": "object",
        "additionalProperties": {"type": "array", "minItems": 1},
        "description": "values by field path: one lane for each combination",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **body,
        "properties": {"experiment": named, **body["properties"], "sweep": swept},
        "required": ["experiment", *body.get("required", [])],
        "$defs": whole["$defs"],
    }


def names() -> list[tuple[str, str]]:
    """Return the configs that can be named, each with the first comment line of its file.

    They lie in ``configs`` of the working folder, which goes before those that are shipped.
    """
    found = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, _comment(path))
    return sorted(found.items())


def _comment(path: pathlib.Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.lstrip("# ").rstrip() for line in lines if line.startswith("#")), "")


def _folders() -> list[pathlib.Path]:
    spec = importlib.util.find_spec("experiments")
    shipped = pathlib.Path(spec.origin).parent if spec and spec.origin else pathlib.Path()
    return [pathlib.Path("configs"), shipped / "configs", shipped.parent / "configs"]


def _find(config: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(config)
    if path.suffix in (".yaml", ".yml"):
        return path
    for folder in _folders():
        if (named := folder / f"{config}.yaml").is_file():
            return named
    if path.exists():
        what = "a folder" if path.is_dir() else "not named *.yaml"
        raise ConfigError(f"{config} is {what}; a config is a .yaml file or the name of one")
    known = [name for name, _ in names()]
    raise ConfigError(
        f"no config is named {config}{spelling.hint(str(config), known)} "
        f"(there are: {', '.join(known) or 'none'})"
    )


def _read(config: str | pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    path = _find(config)
    try:
        raw = yaml12.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; a config is a .yaml file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if raw is None:
        raise ConfigError(f"{path} is empty; it must name its experiment")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold fields and their values, got {show(raw)}")
    if not isinstance(raw.get("experiment"), str):
        raise ConfigError(
            f"{path} must name its experiment, as in 'experiment: experiments.classify'"
        )
    return path, raw


def _module(name: str) -> types.ModuleType:
    """Import an experiment's module."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
        raise ConfigError(
            f"experiment must be a module's path like experiments.classify, got {name}"
        )
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a module that the experiment itself needs
        raise ConfigError(f"experiment: no module is named {name}{_similar(name)}") from None
    declared = getattr(module, "Config", None)
    if not (isinstance(declared, type) and issubclass(declared, RunConfig)):
        raise ConfigError(f"experiment: {name} has no Config, so it is no experiment")
    if not callable(getattr(module, "build", None)):
        raise ConfigError(f"experiment: {name} has no build(config, spec), so it is no experiment")
    return module


def _similar(name: str) -> str:
    parent = name.rpartition(".")[0] or "experiments"
    try:
        spec = importlib.util.find_spec(parent)
    except ModuleNotFoundError:
        return spelling.hint(name, ["experiments"])
    folders = (spec and spec.submodule_search_locations) or []
    return spelling.hint(
        name, [f"{parent}.{found.name}" for found in pkgutil.iter_modules(folders)]
    )


def _build(
    path: pathlib.Path, raw: dict[str, Any], changes: Iterable[tuple[Override, Any]]
) -> Loaded:
    experiment = raw["experiment"]
    module, short = _module(experiment), _short(experiment)
    raw = {key: value for key, value in raw.items() if key != "experiment"}
    for override, value in sorted(changes, key=lambda change: change[0].path.count(".")):
        apply(raw, override, value, module.Config, short)
    value = convert(raw, module.Config, short)
    return Loaded(name=path.stem, experiment=experiment, value=value)


def _short(experiment: str) -> str:
    return experiment.rpartition(".")[2]


def _rules(loaded: Loaded) -> Callable[[Any], None] | None:
    """Return the experiment's rules across fields, where it has any."""
    return getattr(_module(loaded.experiment), "check", None)


def _check(rules: Callable[[Any], None] | None, value: Any, where: str) -> None:
    try:
        if rules:
            rules(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def _content(loaded: Loaded) -> dict[str, Any]:
    return {"experiment": loaded.experiment, **msgspec.to_builtins(loaded.value)}
