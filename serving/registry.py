"""Which version of which model answers now.

What answers is one immutable snapshot, swapped by one assignment: a request that has found its
model keeps it, whatever a reload does meanwhile, and no request waits for one.
"""

import logging
import pathlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import NamedTuple

from litestar.exceptions import ClientException, HTTPException, NotFoundException

from mastery_jax.workflow import artifact
from mastery_jax.workflow.errors import ArtifactError
from serving.compiles import compiles
from serving.errors import shown
from serving.model import Model
from serving.wire import Failure, Reloaded

__all__ = ["Registry", "Snapshot"]

LOG = logging.getLogger(__name__)
RESERVED = "reload"  # the path /models/reload is not a model's


class Snapshot(NamedTuple):
    """The models that answer, by name, and the versions that could not be loaded."""

    models: Mapping[str, Model]
    failed: tuple[Failure, ...]


class Registry:
    """A folder ``<name>/<version>/``, and the newest version of each name that loads.

    ``loader`` has one thread, so that one rescan runs at a time.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        load: Callable[[pathlib.Path], Model],
        loader: ThreadPoolExecutor,
    ) -> None:
        self.folder = folder
        self.snapshot = Snapshot(MappingProxyType({}), ())
        self._load, self._loader = load, loader
        self._scan: Future[Reloaded] | None = None
        self._refused: dict[pathlib.Path, tuple[object, str]] = {}  # files as they were, and why

    def find(self, name: str | None) -> Model:
        """Return the model of this name; without a name, the only one.

        Raises:
            NotFoundException: no such model.
            ClientException: no name was given, and there are several models.
            HTTPException: 503, no name was given, and there is no model.
        """
        models = self.snapshot.models
        if name is not None:
            if name not in models:
                raise NotFoundException(f"model {shown(name)} is not one of: {listed(models)}")
            return models[name]
        if not models:
            raise HTTPException("no model is loaded", status_code=503)
        if len(models) > 1:
            raise ClientException(f"model_name is missing, wanted one of: {listed(models)}")
        return next(iter(models.values()))

    def reload(self) -> Future[Reloaded]:
        """Look at the folder again, load what is new, and answer by it.

        The old versions answer meanwhile, and go on where a new one fails: of each name the
        newest version that loads is served. Whoever asks before a rescan has begun shares it.

        Returns:
            What changed, or an ArtifactError: the folder is gone; the models go on answering.
        """
        if self._scan is None or self._scan.running() or self._scan.done():
            self._scan = self._loader.submit(self._rescan)
        return self._scan

    def _rescan(self) -> Reloaded:
        old = self.snapshot.models
        with compiles().expected():
            found, unreadable = artifact.versions(self.folder)
            models = {name: old[name] for name in unreadable if name in old}
            failed = [Failure(model_id=n, version=None, reason=r) for n, r in unreadable.items()]
            for name, versions in found.items():
                model, failures = self._newest(name, versions, old.get(name))
                failed += failures
                if model is not None:
                    models[name] = model
        models = dict(sorted(models.items()))
        self.snapshot = Snapshot(MappingProxyType(models), tuple(failed))
        for failure in failed:
            LOG.warning("%s/%s: %s", failure.model_id, failure.version or "*", failure.reason)
        loaded = [label(m) for name, m in models.items() if m is not old.get(name)]
        removed = [label(m) for name, m in old.items() if m is not models.get(name)]
        return Reloaded(models_loaded=len(models), loaded=loaded, removed=removed, failed=failed)

    def _newest(
        self, name: str, versions: tuple[int, ...], current: Model | None
    ) -> tuple[Model | None, list[Failure]]:
        """Return the newest version that loads, and what kept newer ones from it."""
        if name == RESERVED:
            reason = f"the name {name} is taken by the path /models/{name}; rename the folder"
            return None, [Failure(model_id=name, version=versions[-1], reason=reason)]
        failures = []
        for version in reversed(versions):
            folder = self.folder / name / str(version)
            if current is not None and (version, artifact.digest(folder)) == current.identity:
                break
            model = self._loaded(folder)
            if isinstance(model, Model):
                return model, failures
            failures.append(Failure(model_id=name, version=version, reason=model))
            if current is not None and version == current.version:  # it was replaced, by no better
                break
        return current, failures

    def _loaded(self, folder: pathlib.Path) -> Model | str:
        """Return a version, or why it fails; what has failed is tried again once it changes."""
        files = stamp(folder)
        before, reason = self._refused.get(folder, (None, ""))
        if before is not None and before == files:
            return reason
        try:
            model = self._load(folder)
            LOG.info("%s is loaded", label(model))
            return model
        except ArtifactError as error:
            reason = str(error)
        except Exception as error:  # one bad model must not keep the others from answering
            LOG.exception("%s failed", folder)
            reason = f"{type(error).__name__}: {error}"
        self._refused[folder] = files, reason
        return reason


def stamp(folder: pathlib.Path) -> object:
    """Return what differs once a file of the folder is written; None where it cannot be read."""
    try:
        found = {path.name: path.stat() for path in folder.iterdir()}
    except OSError:
        return None
    return {name: (stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}


def label(model: Model) -> str:
    """Return ``name/version``."""
    return f"{model.name}/{model.version}"


def listed(models: Mapping[str, Model]) -> str:
    """Return the names for a refusal."""
    return ", ".join(models) or "none"
