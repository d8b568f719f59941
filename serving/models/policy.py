"""What ``models/<name>/serving.json`` says: which versions are loaded, and who gets which.

{"versions": 2, "traffic": {"canary": 0.1}, "shadow": "next", "cache": true, "log": 0.5}
"""

import pathlib
from typing import Annotated, Any, Literal

import msgspec

from mastery_jax.workflow import spelling
from mastery_jax.workflow.errors import ArtifactError

__all__ = ["FILE", "Policy", "read"]

FILE = "serving.json"
MOST_BYTES = 2**16

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model is served; all of it may be left out."""

    # How many of the newest, exactly these, or all. What has a label is loaded besides.
    versions: Count | list[Count] | Literal["all"] = 1
    default: str | None = (
        None  # label or version; by default `stable` if it is there, or the newest
    )
    traffic: dict[str, Share] = {}  # label -> its share of the requests; the default has the rest
    shadow: str | None = None  # a label that is shown all requests, and answers none
    cache: bool = False  # answers may be remembered
    log: Share = 1.0  # of the predictions that are recorded


TYPES = {field.name: field.type for field in msgspec.structs.fields(Policy)}
WANTED = {  # by field, in words
    "versions": 'a number of versions from 1, a list of versions, or "all"',
    "default": "a label or a version, as text",
    "traffic": "labels, each with a share from 0 to 1",
    "shadow": "a label, as text",
    "cache": "true or false",
    "log": "a share from 0 to 1",
}


def read(folder: pathlib.Path) -> Policy:
    """Return the policy of a model.

    Args:
        folder: ``models/<name>``.

    Raises:
        ArtifactError: The file cannot be read, or says what cannot be.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            said = msgspec.json.decode(file.read(MOST_BYTES))
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}") from None
    policy = _checked(path, said)
    total = sum(policy.traffic.values())
    if total > 1 + 1e-9:
        raise ArtifactError(f"{path}: traffic has {total:g} of the requests, not at most 1")
    if policy.versions == []:
        raise ArtifactError(f"{path}: versions is an empty list, wanted one at least")
    return policy


def _checked(path: pathlib.Path, said: Any) -> Policy:
    """Return what a file says as a policy.

    Raises:
        ArtifactError: a field is unknown, or not what it must be: the first one.
    """
    if not isinstance(said, dict):
        raise ArtifactError(f"{path}: {_shown(said)} came, wanted an object of {', '.join(WANTED)}")
    for field, value in said.items():
        if field not in WANTED:
            known = f"wanted some of {', '.join(WANTED)}{spelling.hint(field, WANTED)}"
            raise ArtifactError(f"{path}: {field!r} is no field of it, {known}")
        if field == "traffic" and isinstance(value, dict):
            for label, share in value.items():
                _check(path, f"traffic.{label}", share, Share, WANTED["log"])
        _check(path, field, value, TYPES[field], WANTED[field])
    return msgspec.convert(said, Policy)


def _check(path: pathlib.Path, where: str, value: Any, kind: Any, wanted: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise ArtifactError(f"{path}: {where}: {_shown(value)} came, wanted {wanted}") from None


def _shown(value: Any) -> str:
    """Return what came as JSON, cut."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 64 else f"{text[:64]}…"
