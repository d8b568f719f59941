"""One model that answers: its versions, its labels, and who gets which of them."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from litestar.exceptions import HTTPException, NotFoundException

from serving.engine.model import Model
from serving.errors import shown
from serving.models.policy import Policy
from serving.models.roles import cast, numbered
from serving.wire import ModelInfo

__all__ = ["Served", "serve"]

GOLDEN = (5**0.5 - 1) / 2  # its multiples fill [0, 1) more evenly than chance does


class Served(NamedTuple):
    """It never changes: a reload puts another one in its place."""

    name: str
    versions: Mapping[int, Model]  # ascending, at least one
    labels: Mapping[str, int]  # of these versions
    default: Model  # it answers who names no version, and describes the model
    lost: str | None  # why nobody does: the default is not loaded
    traffic: tuple[tuple[float, Model], ...]  # rising bounds in (0, 1]; above them the default
    shadow: Model | None
    policy: Policy
    turns: Iterator[int]  # requests that say not who asks are dealt

    def pick(self, mark: str | None = None, key: str | None = None) -> Model:
        """Return the version that answers a request.

        Args:
            mark: A version or a label; by default the traffic decides.
            key: Who asks: the same one always gets the same version.

        Raises:
            NotFoundException: no such version or label.
            HTTPException: 503, none is named, and the default is not loaded.
        """
        if mark is None:
            if self.lost is not None:
                said = f"model {shown(self.name)}: {self.lost}; name a version that is"
                raise HTTPException(f"{said}: {self._known}", status_code=503)
            return self._routed(key) if self.traffic else self.default
        version = numbered(mark, self.labels)
        if version is None or version not in self.versions:
            raise NotFoundException(
                f"model {shown(self.name)} has no version {shown(mark)}; it has {self._known}"
            )
        return self.versions[version]

    @property
    def is_sound(self) -> bool:
        """Whether whoever names no version is answered."""
        return self.lost is None and self.default.is_sound

    @property
    def _known(self) -> str:
        return ", ".join([*map(str, self.versions), *(f"{k}={v}" for k, v in self.labels.items())])

    def _routed(self, key: str | None) -> Model:
        place = next(self.turns) * GOLDEN % 1 if key is None else share(self.name, key)
        return next((model for bound, model in self.traffic if place < bound), self.default)

    @property
    def info(self) -> ModelInfo:
        """What is said of it: the default version, and which others there are."""
        return msgspec.structs.replace(
            self.default.info, versions=list(self.versions), labels=dict(self.labels)
        )


def share(name: str, key: str) -> float:
    """Return the place of a key in [0, 1): evenly spread, and the same in every process."""
    digest = hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def serve(
    name: str,
    versions: Mapping[int, Model],
    labels: Mapping[str, int],
    policy: Policy,
    before: Model | None = None,
) -> tuple[Served, list[str]]:
    """Return a model as it is served, and what is asked for in vain.

    Args:
        name: The model's.
        versions: What is loaded, at least one.
        labels: All labels; those of other versions are left out.
        policy: As ``serving.json`` says.
        before: Who answered whoever named no version; it goes on where nobody else can.
    """
    roles = cast(policy, labels, versions)
    if roles.default is None and before is not None:
        versions = {before.version: before, **versions}
        roles = roles._replace(default=before.version)
    known = dict(sorted(versions.items()))
    served = Served(
        name=name,
        versions=known,
        labels={label: v for label, v in sorted(labels.items()) if v in known},
        default=known[max(known) if roles.default is None else roles.default],
        lost="; ".join(roles.wrong) if roles.default is None else None,
        traffic=tuple((bound, known[version]) for bound, version in roles.traffic),
        shadow=None if roles.shadow is None else known[roles.shadow],
        policy=policy,
        turns=itertools.count(),
    )
    return served, roles.wrong
