"""Which version has which part, by the labels and the policy of a model."""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from mastery_jax.workflow import spelling
from mastery_jax.workflow.manifest import NUMBER
from serving.errors import shown
from serving.models.policy import Policy

__all__ = ["STABLE", "Roles", "cast", "numbered", "wanted"]

STABLE = "stable"  # the label whose version answers whoever names none


class Roles(NamedTuple):
    """What is asked of versions, and what is asked in vain."""

    default: int | None  # None: whoever names no version cannot be answered
    traffic: tuple[tuple[float, int], ...]  # rising bounds in (0, 1]; above them the default
    shadow: int | None
    wrong: list[str]


def numbered(mark: str, labels: Mapping[str, int]) -> int | None:
    """Return the version of a number or a label; None where there is no such label."""
    return int(mark) if re.fullmatch(NUMBER, mark) else labels.get(mark)


def wanted(
    policy: Policy, labels: Mapping[str, int], versions: Collection[int]
) -> tuple[set[int], int]:
    """Return the versions that may be loaded without a label, and how many of the newest are.

    Args:
        policy: As ``serving.json`` says.
        labels: Of all versions; the one that is only shown what others answer is not counted.
        versions: That there are.
    """
    if isinstance(policy.versions, list):
        return set(policy.versions), len(policy.versions)
    shadow = labels.get(policy.shadow or "")
    most = policy.versions if isinstance(policy.versions, int) else len(versions)
    return set(versions) - {shadow}, most


def cast(policy: Policy, labels: Mapping[str, int], versions: Collection[int]) -> Roles:
    """Give each part to a version.

    Args:
        policy: As ``serving.json`` says.
        labels: Of all versions.
        versions: That answer.
    """
    wrong: list[str] = []

    def find(field: str, mark: str) -> int | None:
        version = numbered(mark, labels)
        if version in versions:
            return version
        hint = spelling.hint(mark, labels) if version is None else ""
        wrong.append(f"{field}: {shown(mark)} is no label or version that is loaded{hint}")
        return None

    shadow = None if policy.shadow is None else find("shadow", policy.shadow)
    if policy.default is not None:
        default = find("default", policy.default)
    elif STABLE in labels:
        default = find("default", STABLE)
    else:  # the newest, but none that is to be seen by nobody
        default = max((v for v in versions if v != shadow), default=None)
        if default is None:
            wrong.append("shadow: no version but it is loaded, and it answers nobody")
    if shadow is not None and shadow == default:
        wrong.append(f"shadow: {shown(str(policy.shadow))} is the version that answers")
        shadow = None
    traffic, bound = [], 0.0
    for label, part in sorted(policy.traffic.items()):
        version = find("traffic", label)
        if version is not None and version == default and sum(policy.traffic.values()) < 1 - 1e-9:
            wrong.append(f"traffic: {shown(label)} is the default, which has all that is left")
        elif version is not None and part > 0:
            bound += part
            traffic.append((bound, version))
    return Roles(default, tuple(traffic), shadow, wrong)
