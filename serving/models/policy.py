"""What ``models/<name>/serving.json`` says: which versions are loaded, and who gets which.

{"versions": 2, "traffic": {"canary": 0.1}, "shadow": "next", "cache": true, "log": 0.5}
"""

import pathlib
from typing import Annotated, Literal

import msgspec

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


_DECODER = msgspec.json.Decoder(Policy)


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
            policy = _DECODER.decode(file.read(MOST_BYTES))
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}") from None
    total = sum(policy.traffic.values())
    if total > 1 + 1e-9:
        raise ArtifactError(f"{path}: traffic has {total:g} of the requests, not at most 1")
    if policy.versions == []:
        raise ArtifactError(f"{path}: versions is an empty list, wanted one at least")
    return policy
