"""The folder of models, and what of it answers now.

What answers is one immutable snapshot, swapped by one assignment: a request that has found its
model keeps it, whatever a reload does meanwhile, and no request waits for one. A version that is
no longer in the snapshot is freed when its last request has its answer.
"""

import collections
import logging
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import NamedTuple, Self, TypeVar

from litestar.exceptions import ClientException, HTTPException, NotFoundException

from mastery_jax.workflow import artifact, labels
from mastery_jax.workflow.errors import ArtifactError
from serving.engine.compiles import compiles
from serving.engine.model import Model
from serving.errors import shown
from serving.models import policy
from serving.models.folder import stamp
from serving.models.roles import wanted
from serving.models.served import Served, serve
from serving.models.words import Words
from serving.wire import Failure, Reloaded

__all__ = ["Change", "Registry", "Snapshot"]

LOG = logging.getLogger(__name__)
LOADERS = 4  # models that are asked for by name and load at the same time
RESERVED = frozenset({"reload", "stats"})  # paths that are no model's

T = TypeVar("T")


class Snapshot(NamedTuple):
    """The models that answer, by name, and why other versions do not."""

    models: Mapping[str, Served]
    failed: Mapping[str, tuple[Failure, ...]]  # by model


class Change(NamedTuple):
    """What looking at one model changed: ``name/version`` each."""

    loaded: list[str]
    removed: list[str]
    failed: tuple[Failure, ...]


class Registry:
    """A folder ``<name>/<version>/``, looked at when it is asked to.

    One rescan runs at a time; of one name one look runs at a time, of several names several. A
    look goes by what was last said of the name when it begins, and whoever speaks has it looked
    at: in whatever order threads come, the last word is what answers in the end.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        load: Callable[[pathlib.Path], Model],
    ) -> None:
        self.folder = folder
        self.snapshot = Snapshot(MappingProxyType({}), MappingProxyType({}))
        self.loading: set[tuple[str, int]] = set()  # versions that a thread loads now
        self.words = Words()  # which names are to answer
        self.reloads = collections.Counter({"ok": 0, "failed": 0})  # looks at a model's folder
        self._load = load
        self._loader, self._scanner = ThreadPoolExecutor(LOADERS), ThreadPoolExecutor(1)
        self._scan: Future[Reloaded] | None = None
        self._refused: dict[pathlib.Path, tuple[object, str]] = {}  # files as they were, and why
        self._swap = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being loaded; load nothing more."""
        self._scanner.shutdown(cancel_futures=True)
        self._loader.shutdown(cancel_futures=True)

    def find(
        self, name: str | None, mark: str | None = None, key: str | None = None
    ) -> tuple[Served, Model]:
        """Return the model that is meant, and the version that answers.

        Args:
            name: ``digits``, ``digits@canary``, ``digits@3``; None where there is only one model.
            mark: A version or a label, where the name has none.
            key: Who asks, for traffic that sticks.

        Raises:
            NotFoundException: no such model or version.
            ClientException: no name was given, and there are several models; or a version twice.
            HTTPException: 503, no name was given, and there is no model.
        """
        models = self.snapshot.models
        if name is None:
            served = self._only()
        else:
            name, at, given = name.partition("@")
            if at and mark is not None:
                came = f"versions {shown(given)} and {shown(mark)}"
                raise ClientException(f"model {shown(name)}: {came} came, wanted one of them")
            mark = given if at else mark
            if name not in models:
                raise NotFoundException(f"model {shown(name)} is not one of: {listed(models)}")
            served = models[name]
        return served, served.pick(mark, key)

    def _only(self) -> Served:
        models = self.snapshot.models
        if not models:
            raise HTTPException("no model is loaded", status_code=503)
        if len(models) > 1:
            raise ClientException(f"model_name is missing, wanted one of: {listed(models)}")
        return next(iter(models.values()))

    def reload(self) -> Future[Reloaded]:
        """Look at the folder again, load what is new, and answer by it.

        The old versions answer meanwhile, and go on where a new one fails. Whoever asks before a
        rescan has begun shares it.

        Returns:
            What changed, or an ArtifactError: the folder is gone; the models go on answering.
        """
        if self._scan is None or self._scan.running() or self._scan.done():
            self._scan = self._scanner.submit(self._rescan)
        return self._scan

    def load(self, name: str) -> Future[Change]:
        """Look at one model again, and load it if it was asked to go."""
        self.words.say(name, is_unloaded=False)
        return self.look(name)

    def unload(self, name: str) -> Future[Change]:
        """Let a model answer no more, until it is loaded again; requests under way are answered."""
        self.words.say(name, is_unloaded=True)
        return self.look(name)

    def look(self, name: str) -> Future[Change]:
        """Look at one model again.

        Raises:
            RuntimeError: the server stops, and loads nothing more.
        """
        return self._loader.submit(self._look, name)

    def _rescan(self) -> Reloaded:
        found, unreadable = artifact.versions(self.folder)
        snapshot = self.snapshot
        names = {*found, *unreadable, *snapshot.models, *snapshot.failed}
        changes = [self._look(name) for name in sorted(names)]
        return Reloaded(
            models_loaded=len(self.snapshot.models),
            loaded=[each for change in changes for each in change.loaded],
            removed=[each for change in changes for each in change.removed],
            failed=[each for change in changes for each in change.failed],
        )

    def _look(self, name: str) -> Change:
        """Look at one model: load, replace or remove its versions."""
        with self._swap:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock, compiles().expected():
            found, unreadable = artifact.versions(self.folder, name)
            old = self.snapshot.models.get(name)
            failed: list[Failure] = []
            if name in unreadable:
                new = old
                failed.append(Failure(model_id=name, version=None, reason=unreadable[name]))
            elif name in found and not self.words.is_unloaded(name):
                new, failed = self._served(name, found[name], old)
            else:
                new = None
            self._put(name, new, tuple(failed))
        self.reloads["failed" if failed else "ok"] += 1
        for failure in failed:
            LOG.warning("%s/%s: %s", name, failure.version or "*", failure.reason)
        before, after = (set(s.versions.values()) if s else set() for s in (old, new))
        return Change(marked(after - before), marked(before - after), tuple(failed))

    def _put(self, name: str, served: Served | None, failed: Sequence[Failure]) -> None:
        with self._swap:
            self.snapshot = Snapshot(
                replaced(self.snapshot.models, name, served),
                replaced(self.snapshot.failed, name, tuple(failed) or None),
            )

    def _served(
        self, name: str, numbers: tuple[int, ...], old: Served | None
    ) -> tuple[Served | None, list[Failure]]:
        """Return a model as its folder says, and what is not as it should be."""
        if name in RESERVED:
            reason = f"the name {name} is taken by the path /models/{name}; rename the folder"
            return None, [Failure(model_id=name, version=numbers[-1], reason=reason)]
        folder = self.folder / name
        try:
            told, marks = policy.read(folder), labels.read(folder)
        except ArtifactError as error:
            return old, [Failure(model_id=name, version=None, reason=str(error))]
        failures: list[Failure] = []
        kept = self._chosen(name, numbers, told, marks, old, failures)
        if not kept:
            return old, failures
        for label, before in old.labels.items() if old else ():
            if old and label in marks and marks[label] not in kept:
                marks[label] = before  # it points at what cannot be loaded: it stays
                kept.setdefault(before, old.versions[before])
        before = None if old is None or old.lost is not None else old.default
        served, wrong = serve(name, kept, marks, told, before)
        failures += [Failure(model_id=name, version=None, reason=reason) for reason in wrong]
        return served, failures

    def _chosen(
        self,
        name: str,
        numbers: tuple[int, ...],
        told: policy.Policy,
        marks: Mapping[str, int],
        old: Served | None,
        failures: list[Failure],
    ) -> dict[int, Model]:
        """Return the versions that the policy asks for and that load; tell the others."""
        kept: dict[int, Model] = {}
        exact, most = wanted(told, marks, numbers)
        labelled = set(marks.values())
        newest = 0
        for version in reversed(numbers):
            is_wanted = version in exact and newest < most
            if not is_wanted and version not in labelled:
                continue
            current = old.versions.get(version) if old else None
            model = self._version(name, version, current)
            if isinstance(model, str):
                failures.append(Failure(model_id=name, version=version, reason=model))
                model = current  # it was replaced by no better one
            if model is not None:
                kept[version] = model
                newest += is_wanted
        for version in sorted({*labelled, *(exact - set(numbers))} - set(numbers)):
            reason = "it is asked for, and not there"
            failures.append(Failure(model_id=name, version=version, reason=reason))
        return kept

    def _version(self, name: str, version: int, current: Model | None) -> Model | str:
        """Return a version, or why it fails; what has failed is tried again once it changes."""
        folder = self.folder / name / str(version)
        if current is not None and (version, artifact.digest(folder)) == current.identity:
            return current
        files = stamp(folder)
        before, reason = self._refused.get(folder, (None, ""))
        if before is not None and before == files:
            return reason
        self.loading.add((name, version))
        try:
            model = self._load(folder)
            LOG.info("%s/%d is loaded", name, version)
            return model
        except ArtifactError as error:
            reason = str(error)
        except Exception as error:  # one bad model must not keep the others from answering
            LOG.exception("%s failed", folder)
            reason = f"{type(error).__name__}: {error}"
        finally:
            self.loading.discard((name, version))
        self._refused[folder] = files, reason
        return reason


def replaced(there: Mapping[str, T], name: str, value: T | None) -> Mapping[str, T]:
    """Return a mapping with another value, or without one."""
    others = {key: kept for key, kept in there.items() if key != name}
    more = {} if value is None else {name: value}
    return MappingProxyType(dict(sorted({**others, **more}.items())))


def marked(models: set[Model]) -> list[str]:
    """Return ``name/version`` of each."""
    return [f"{m.name}/{m.version}" for m in sorted(models, key=lambda m: (m.name, m.version))]


def listed(models: Mapping[str, Served]) -> str:
    """Return the names for a refusal."""
    return ", ".join(models) or "none"
