"""What a run was made with: enough to say later why two runs differ, and which part of it changed.

``environment.json`` holds the config field by field, the data, the code, the versions, the device
and the settings; ``code.patch`` beside it what was not committed. A run goes on only with what it
began with, unless it is forced, which is recorded.
"""

import datetime
import importlib.metadata
import pathlib
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Required, TypedDict

import msgspec

from mastery_jax.workflow import config, files, launch, sources
from mastery_jax.workflow.config import Loaded
from mastery_jax.workflow.convert import show
from mastery_jax.workflow.errors import RunError

__all__ = [
    "FILE",
    "PATCH",
    "Difference",
    "amend",
    "confirm",
    "differences",
    "read",
    "record",
    "write",
]

_PACKAGES = (
    "mastery-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpyro",
    "numpy",
    "orbax-checkpoint",
)
FILE, PATCH = "environment.json", "code.patch"
REFUSED = ("config", "data", "code", "packages")  # what a run never changes while it goes on
_SHOWN = 12  # hex digits of a digest: enough to tell two apart


class _Forced(TypedDict):
    """When a run went on though something had changed, and what."""

    time: str
    differences: list[str]


class _Record(TypedDict, total=False):
    """The entries that are read again."""

    config: Required[str]
    fields: dict[str, Any]
    data: list[str]
    code: dict[str, str]
    git: dict[str, Any]
    packages: dict[str, str]
    devices: dict[str, Any]
    launch: dict[str, str]
    programs: list[str]
    forced: list[_Forced]


class Difference(NamedTuple):
    """One thing that is not what it was."""

    kind: str  # a key of the record
    text: str  # "optimizer.learning_rate was 0.01 and is 0.02"


def record(loaded: Loaded, datasets: Iterable[Any]) -> dict[str, Any]:
    """Describe this process, its code and what it is about to run. Cost: some 25 ms.

    Args:
        loaded: The config; of a sweep that of its first lane.
        datasets: The data of every program.
    """
    return _record(None, loaded, datasets)[0]


def write(
    folder: pathlib.Path,
    loaded: Loaded,
    datasets: Iterable[Any],
    *,
    strategy: str = "loop",
    width: int = 1,
    seeds: Iterable[int] | None = None,
    programs: Iterable[str] = (),
    **entries: Any,
) -> None:
    """Write ``environment.json``, and ``code.patch`` where code is not committed.

    Args:
        folder: Of a run or a sweep, which this process holds.
        loaded: As in :func:`record`.
        datasets: As there.
        strategy: How lanes share a program; a run is a ``loop`` of one lane.
        width: Lanes in one program.
        seeds: Of every lane; by default the config's own.
        programs: ``program.Program.digest`` of each, as far as they are known.
        entries: What else is to be said, by key.
    """
    found, git = _record(folder, loaded, datasets)
    if git.patch:
        files.write_bytes(folder / PATCH, git.patch)
    found |= {
        "strategy": strategy,
        "width": width,
        "seeds": sorted({loaded.value.seed} if seeds is None else set(seeds)),
        "programs": list(programs),
    }
    files.write_json(folder / FILE, found | entries)


def _record(
    folder: pathlib.Path | None, loaded: Loaded, datasets: Iterable[Any]
) -> tuple[dict[str, Any], sources.Git]:
    import jax

    devices, git = jax.local_devices(), sources.git(folder)
    found = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "experiment": loaded.experiment,
        "config": config.digest(loaded),
        "fields": config.flatten(loaded.value),
        "data": sorted({dataset.fingerprint for dataset in datasets}),
        "code": sources.digests(loaded.experiment),
        "git": git.to_json(PATCH),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": {"kind": devices[0].device_kind, "count": len(devices)},
        "launch": launch.record(),
        "x64": jax.dtypes.canonicalize_dtype(float).itemsize == 8,
    }
    return msgspec.json.decode(msgspec.json.encode(found)), git  # as it will be read


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Return the record in a folder.

    Raises:
        RunError: It is missing or damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise RunError(f"{folder} has no {FILE}: what it was made with is not known")
    try:
        found = files.read_json(path)
        msgspec.convert(found, _Record)
    except (RunError, msgspec.ValidationError) as error:
        raise RunError(
            f"{path} is damaged, so what {folder.name} was made with is not known ({error}); "
            "remove it to go on without it"
        ) from None
    return found


def amend(folder: pathlib.Path, **entries: Any) -> None:
    """Add to a record what became known later, such as the ``programs`` of a sweep.

    Args:
        folder: Of a run or a sweep, which this process holds.
        entries: By key. A list goes on with what it does not hold yet; anything else is replaced.

    Raises:
        RunError: The record is missing or damaged.
    """
    found = read(folder)
    for key, value in entries.items():
        before = found.get(key)
        if isinstance(before, list) and isinstance(value, list | tuple):
            value = [*before, *(each for each in value if each not in before)]
        found[key] = value
    files.write_json(folder / FILE, found)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Say what differs between two records: of config, data, code, packages, device, settings."""
    found = []
    if before.get("config") != now["config"]:
        either = {"experiment": before.get("experiment")} | before.get("fields", {})
        other = {"experiment": now["experiment"]} | now["fields"]
        said = _entries("config", either, other)
        found += said or [_changed("config", "the config", before.get("config"), now["config"])]
    if before.get("data") != now["data"]:
        found.append(_changed("data", "data", before.get("data"), now["data"]))
    code = before.get("code", {})
    found += [
        _changed("code", f"module {name}", code[name], digest)
        for name, digest in now["code"].items()
        if code.get(name, digest) != digest  # a module of one process alone says nothing
    ]
    found += _entries("packages", before.get("packages", {}), now["packages"])
    for kind in ("devices", "launch"):
        either, other = (
            {name: value for name, value in told.get(kind, {}).items() if name not in launch.PLACES}
            for told in (before, now)
        )
        found += _entries(kind, either, other, f"{kind}.")
    if before.get("x64") != now["x64"]:
        found.append(Difference("x64", f"x64 was {before.get('x64')} and is {now['x64']}"))
    return found


def _entries(
    kind: str, before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> list[Difference]:
    """Name every entry of two mappings that differs."""

    def said(found: Mapping[str, Any], name: str) -> str:
        if name not in found:
            return "missing"
        return found[name] if kind in ("packages", "launch") else show(found[name])

    return [
        Difference(kind, f"{prefix}{name} was {said(before, name)} and is {said(now, name)}")
        for name in dict.fromkeys([*before, *now])
        if (name in before, before.get(name)) != (name in now, now.get(name))
    ]


def _changed(kind: str, what: str, before: Any, now: Any) -> Difference:
    """Name two digests, or two lists of them."""

    def short(found: Any) -> str:
        if isinstance(found, list):
            return ", ".join(map(short, found))
        return str(found)[:_SHOWN]

    return Difference(kind, f"{what} was {short(before)} and is {short(now)}")


def confirm(
    folder: pathlib.Path,
    loaded: Loaded,
    datasets: Iterable[Any],
    *,
    force: bool = False,
    say: Callable[[str], None],
    **made: Any,
) -> None:
    """Hold what is about to go on against the record in ``folder``.

    Another config, other data, code or packages end it, unless they were forced before; a device
    or a setting is said. A process that was killed before it wrote its record gets one now.

    Args:
        folder: Of a run or a sweep, which this process holds.
        loaded: As in :func:`record`.
        datasets: As there.
        force: Go on all the same, and record that.
        say: Where a warning goes.
        made: What a record that is written now says besides: see :func:`write`.

    Raises:
        RunError: It would be mixed with what is there; or the record is damaged.
    """
    if not (folder / FILE).exists():
        say(f"{folder.name} has no {FILE}, so what it began with is not known; it is recorded now")
        write(folder, loaded, datasets, **made)
        return
    before = read(folder)
    now, git = _record(folder, loaded, datasets)
    found, forced = differences(before, now), before.get("forced", [])
    accepted = {text for entry in forced for text in entry["differences"]}
    barred = [each for each in found if each.kind in REFUSED and each.text not in accepted]
    if barred and not force:
        what = " and ".join(dict.fromkeys(f"its {each.kind}" for each in barred))
        why = "; ".join(each.text for each in barred)
        raise RunError(
            f"{folder} is not what it was: {what} changed since it began ({why}); "
            "run it anew, or go on all the same with --force"
        )
    if barred:
        patch = f"code-{len(forced) + 1}.patch"
        if git.patch:
            files.write_bytes(folder / patch, git.patch)
        entry = {"time": now["time"], "command": sys.argv, "git": git.to_json(patch)}
        amend(folder, forced=[entry | {"differences": [each.text for each in found]}])
    for difference in found:
        say(f"warning: {difference.text}; the bits may differ")
