"""What can be said before anything is bound: ``mastery serve --check``.

Each version that would be loaded is loaded by a child process, which may die of it; of what was
loaded here before, the sums of the files are looked at.
"""

import asyncio
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mastery_jax.workflow import artifact, labels, manifest
from mastery_jax.workflow.errors import ConfigError, UserError
from serving import settings as told
from serving.access import keys
from serving.cache.remote import Remote
from serving.engine import trial
from serving.models import policy, roles
from serving.models.folder import lack
from serving.monitor import tracing
from serving.settings import Settings

__all__ = ["Finding", "check", "find"]

MISTAKE = 2  # the exit status of what a user can mend


class Finding(NamedTuple):
    """One thing that was looked at."""

    is_sound: bool
    sentence: str


def check(settings: Settings, say: Callable[[str], object]) -> int:
    """Say a sentence of everything that was looked at; return 0, or 2 if something is wrong."""
    status = 0
    for finding in find(settings):
        say(f"{'ok' if finding.is_sound else 'wrong'}: {finding.sentence}")
        status = status if finding.is_sound else MISTAKE
    return status


def find(settings: Settings) -> Iterator[Finding]:
    """Look at the settings, at what they lead to, and at every model that they serve."""
    try:
        told.check(settings)
        found, unreadable = artifact.versions(settings.models)
    except UserError as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, f"settings: {settings.models} would be served")
    for look in (_keys, _store, _cache, _traces):
        try:
            sentence = look(settings)
        except ConfigError as error:
            yield Finding(False, str(error))
        else:
            if sentence is not None:
                yield Finding(True, sentence)
    if not found and not unreadable:
        yield Finding(False, f"models: {lack(settings.models)}")
    for name, reason in unreadable.items():
        yield Finding(False, f"{name}: {reason}")
    for name, numbers in found.items():
        yield from _model(settings.models / name, numbers)


def _keys(settings: Settings) -> str | None:
    """Read the keys that are asked for."""
    path = settings.access.keys
    if path is None:
        return None
    count = len(keys.read(path))
    if not count:
        return f"keys: {path} would be made, with a first key"
    return f"keys: {path} has {count}"


def _store(settings: Settings) -> str | None:
    """Look at the database, and change nothing there."""
    if settings.store is None:
        return None
    from serving.store import maintenance

    return maintenance.look(settings.store)


def _cache(settings: Settings) -> str | None:
    """Ask Redis how it is; where it is down, a server works all the same."""
    if settings.cache is None:
        return None
    is_there = asyncio.run(Remote(settings.cache).is_there())
    return "cache: Redis answers" if is_there else "cache: Redis does not answer now"


def _traces(settings: Settings) -> str | None:
    """Have what sends traces ready; nothing is sent."""
    return None if tracing.start(settings.otel) is None else "traces: they would be sent"


def _model(folder: pathlib.Path, numbers: tuple[int, ...]) -> Iterator[Finding]:
    """Look at the versions of one model that its policy asks for."""
    try:
        asked, marks = policy.read(folder), labels.read(folder)
    except UserError as error:
        yield Finding(False, str(error))
        return
    exact, most = roles.wanted(asked, marks, numbers)
    newest = sorted(exact & set(numbers))[-most:]
    loaded = {*newest, *marks.values()} & set(numbers)
    for version in sorted((exact | set(marks.values())) - set(numbers)):
        yield Finding(False, f"{folder.name}/{version}: it is asked for, and not there")
    for reason in roles.cast(asked, marks, loaded).wrong:
        yield Finding(False, f"{folder.name}: {reason}")
    for version in sorted(loaded):
        try:
            said = _version(folder / str(version))
        except UserError as error:
            yield Finding(False, f"{folder.name}/{version}: {error}")
        else:
            yield Finding(True, f"{folder.name}/{version}: {said}")


def _version(path: pathlib.Path) -> str:
    """Load one version, or look at its files where it was loaded before.

    Raises:
        ArtifactError: it is not whole, or does not load.
    """
    if trial.hold(path, artifact.digest(path)):
        return "it loads, and answers its golden rows"
    manifest.verify(path)
    return "its files are those that loaded here before, by their sums"
