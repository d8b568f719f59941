"""One model that answers: its versions, its labels, and who gets which of them."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from litestar.exceptions import NotFoundException

from mastery_jax.workflow.manifest import NUMBER
from serving.engine.model import Model
from serving.errors import shown
from serving.models.policy import Policy
from serving.wire import ModelInfo

__all__ = ["STABLE", "Served", "serve"]

GOLDEN = (5**0.5 - 1) / 2  # its multiples fill [0, 1) more evenly than chance does
STABLE = "stable"  # the label whose version answers whoever names none


class Served(NamedTuple):
    """It never changes: a reload puts another one in its place."""

    name: str
    versions: Mapping[int, Model]  # ascending, at least one
    labels: Mapping[str, int]  # of these versions
    default: Model
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
        """
        if mark is None:
            return self._routed(key) if self.traffic else self.default
        version = numbered(mark, self.labels)
        if version is None or version not in self.versions:
            known = [str(v) for v in self.versions] + [f"{k}={v}" for k, v in self.labels.items()]
            raise NotFoundException(
                f"model {shown(self.name)} has no version {shown(mark)}; it has {', '.join(known)}"
            )
        return self.versions[version]

    def _routed(self, key: str | None) -> Model:
        place = next(self.turns) * GOLDEN % 1 if key is None else share(self.name, key)
        return next((model for bound, model in self.traffic if place < bound), self.default)

    @property
    def info(self) -> ModelInfo:
        """What is said of it: the default version, and which others there are."""
        return msgspec.structs.replace(
            self.default.info, versions=list(self.versions), labels=dict(self.labels)
        )


def numbered(mark: str, labels: Mapping[str, int]) -> int | None:
    """Return the version of a number or a label; None where there is no such label."""
    return int(mark) if re.fullmatch(NUMBER, mark) else labels.get(mark)


def share(name: str, key: str) -> float:
    """Return the place of a key in [0, 1): evenly spread, and the same in every process."""
    digest = hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def serve(
    name: str, versions: Mapping[int, Model], labels: Mapping[str, int], policy: Policy
) -> tuple[Served, list[str]]:
    """Return a model as it is served, and what the policy asks for that is not there.

    Args:
        name: The model's.
        versions: What is loaded, at least one.
        labels: All labels; those of other versions are left out.
        policy: As ``serving.json`` says.
    """
    versions = dict(sorted(versions.items()))
    labels = {label: v for label, v in sorted(labels.items()) if v in versions}
    missing = []

    def find(field: str, mark: str) -> Model | None:
        version = numbered(mark, labels)
        if version in versions:
            return versions[version]
        missing.append(f"{field}: {shown(mark)} is no label or version that is loaded")
        return None

    newest = versions[max(versions)]
    default = versions[labels[STABLE]] if STABLE in labels else newest
    if policy.default is not None:
        default = find("default", policy.default) or default
    traffic, bound = [], 0.0
    for label, part in sorted(policy.traffic.items()):
        model = find("traffic", label)
        if model is not None and part > 0:
            bound += part
            traffic.append((bound, model))
    shadow = None if policy.shadow is None else find("shadow", policy.shadow)
    turns = itertools.count()
    served = Served(name, versions, labels, default, tuple(traffic), shadow, policy, turns)
    return served, missing
