"""What an artefact says of itself, and where it lies: ``models/<name>/<integer version>/``.

manifest.json        this file's :class:`Manifest`
<method>.stablehlo   one exported program per method; its parameters are arguments
params.safetensors   the leaves of the state that some method reads, by key path
golden.safetensors   example rows and the answers that the original functions gave
SHA256SUMS           one line per file above; ``sha256sum -c`` reads it too
"""

import hashlib
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from mastery_jax.workflow.errors import ArtifactError

__all__ = [
    "FIELD",
    "GOLDEN",
    "MANIFEST",
    "NAME",
    "NUMBER",
    "PARAMS",
    "SCHEMA",
    "SUMS",
    "Histogram",
    "Manifest",
    "MethodSpec",
    "Tensor",
    "digest",
    "encode",
    "numbers",
    "sums",
    "verify",
    "versions",
]

SCHEMA = 1
MANIFEST, PARAMS, GOLDEN = "manifest.json", "params.safetensors", "golden.safetensors"
SUMS = "SHA256SUMS"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
NUMBER = r"[1-9][0-9]{0,17}"
FIELD = r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z"
MOST_BYTES = 64 * 2**20  # of a manifest or of sums; the limit keeps a bad file out of memory

AGAIN = "publish or copy it again"

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Field = Annotated[str, msgspec.Meta(pattern=FIELD)]


class Tensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The type of one named input or output."""

    dtype: str  # NumPy's name: float32, int32, bfloat16 ...
    shape: tuple[int, ...]  # the first axis is the batch, written -1


class MethodSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a method takes and gives, by field name."""

    inputs: dict[Field, Tensor]
    outputs: dict[Field, Tensor]


class Histogram(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one feature was distributed when the model was published.

    ``counts[i]`` values lie in (edges[i-1], edges[i]]; the first and the last bin are open, and
    hold what lies outside of the reference: nothing. ``np.searchsorted(edges, values)`` gives
    the bin of each value.
    """

    feature: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]  # one more than edges
    missing: int  # values that are not finite


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a reader needs to know before it runs a method."""

    schema: int
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    created: str  # UTC, ISO 8601
    task: str
    methods: dict[Field, MethodSpec]
    classes: tuple[str, ...]  # label of each code; empty without classes
    features: tuple[str, ...]  # name of each column of the last axis of ``features``
    metrics: dict[str, float | None]  # null where the value was not finite
    provenance: dict[str, Any]  # run, config, revision, versions of the libraries
    histograms: dict[Field, tuple[Histogram, ...]]  # by float input
    golden: Annotated[int, msgspec.Meta(ge=1)]  # rows in golden.safetensors
    files: dict[str, int]  # bytes of every file but this one and SHA256SUMS


class _Versioned(msgspec.Struct):
    schema: int


def versions(
    models: pathlib.Path, only: str | None = None
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Look at the folder ``models``, and open no file.

    Args:
        models: Holds ``<name>/<version>/``.
        only: The one model to look at; by default all.

    Returns:
        By name, the versions of every model, ascending; and why others cannot be looked at.

    Raises:
        ArtifactError: The folder itself cannot be read.
    """
    try:
        folders = sorted(
            path
            for path in models.iterdir()
            if re.match(NAME, path.name) and only in (None, path.name)
        )
    except OSError as error:
        raise ArtifactError(f"{models} cannot be read as a folder of models: {error}") from error
    found, unreadable = {}, {}
    for folder in folders:
        try:
            found[folder.name] = numbers(folder) if folder.is_dir() else ()
        except OSError as error:
            unreadable[folder.name] = f"{folder} cannot be read: {error.strerror or error}"
    return {name: known for name, known in found.items() if known}, unreadable


def numbers(folder: pathlib.Path) -> tuple[int, ...]:
    """Return the versions of one model, ascending."""
    return tuple(
        sorted(
            int(path.name)
            for path in folder.iterdir()
            if re.fullmatch(NUMBER, path.name) and path.is_dir()
        )
    )


def digest(folder: pathlib.Path) -> str | None:
    """Return the sum of an artefact's sums, which says what is in it; None where there are none."""
    try:
        if (folder / SUMS).is_file():
            return hashlib.sha256(_content(folder, SUMS, None)).hexdigest()
    except (OSError, ArtifactError):
        pass  # whoever reads the artefact will say so
    return None


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as indented JSON.

    Raises:
        ArtifactError: ``provenance`` holds what JSON cannot.
    """
    try:
        return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    except TypeError as error:
        raise ArtifactError(f"{manifest.name}: provenance: {error}") from error


def sums(contents: Mapping[str, bytes]) -> bytes:
    """Return the lines that ``sha256sum -c`` reads."""
    lines = [f"{hashlib.sha256(contents[n]).hexdigest()}  {n}\n" for n in sorted(contents)]
    return "".join(lines).encode()


def verify(folder: pathlib.Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read an artefact, believing nothing: names, kinds, sizes and sums, then the manifest.

    What is returned are the very bytes that were summed: a file that changes meanwhile changes
    nothing.

    Raises:
        ArtifactError: Something is missing, too much, no plain file, changed, or renamed.
    """
    try:
        listed = _listed(folder)
        if MANIFEST not in listed:
            raise ArtifactError(f"{folder} has no {MANIFEST}: {AGAIN}")
        manifest = _decode(folder, _read(folder, MANIFEST, listed[MANIFEST], None))
        _same_place(folder, manifest)
        programs = {f"{method}.stablehlo" for method in manifest.methods}
        _same_names(folder, {*programs, PARAMS, GOLDEN}, set(manifest.files), MANIFEST)
        _same_names(folder, {*manifest.files, MANIFEST}, set(listed), SUMS)
        return manifest, {
            name: _read(folder, name, listed[name], size) for name, size in manifest.files.items()
        }
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}") from error


def _same_place(folder: pathlib.Path, manifest: Manifest) -> None:
    """Refuse ``<name>/<version>`` where the manifest says another name or version."""
    place, published = folder.absolute(), (manifest.name, str(manifest.version))
    if re.fullmatch(NUMBER, place.name) and (place.parent.name, place.name) != published:
        raise ArtifactError(
            f"{folder} was renamed, its {MANIFEST} says {'/'.join(published)}: rename the folder "
            "back, or publish the model anew"
        )


def _listed(folder: pathlib.Path) -> dict[str, str]:
    """Return the sum of each file by name; every entry of the folder is listed, and plain."""
    entries = {path.name: path for path in folder.iterdir()}
    for name, path in entries.items():
        if path.is_symlink() or not path.is_file():
            raise ArtifactError(f"{folder}: {name} is no plain file: copy the files themselves")
    if SUMS not in entries:
        raise ArtifactError(f"{folder} has no {SUMS}: {AGAIN}")
    lines = _content(folder, SUMS, None).decode(errors="replace").splitlines(keepends=True)
    found = [re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9_.-]+)\n", line) for line in lines]
    listed = {match[2]: match[1] for match in found if match}
    if len(listed) != len(lines):
        raise ArtifactError(f"{folder}: {SUMS} is damaged: {AGAIN}")
    _same_names(folder, set(listed), set(entries) - {SUMS}, "the folder")
    return listed


def _same_names(folder: pathlib.Path, wanted: set[str], found: set[str], where: str) -> None:
    for name in sorted(wanted - found):
        raise ArtifactError(f"{folder}: {name} is missing in {where}: {AGAIN}")
    for name in sorted(found - wanted):
        raise ArtifactError(f"{folder}: {name} in {where} is no part of the artefact: remove it")


def _content(folder: pathlib.Path, name: str, size: int | None) -> bytes:
    """Return a file of exactly ``size`` bytes, or of a sensible number where it is not known."""
    found = (folder / name).stat().st_size
    if found > MOST_BYTES if size is None else found != size:
        limit = f"at most {MOST_BYTES}" if size is None else size
        raise ArtifactError(f"{folder}: {name} has {found} bytes, not {limit}: {AGAIN}")
    return (folder / name).read_bytes()


def _read(folder: pathlib.Path, name: str, wanted: str, size: int | None) -> bytes:
    content = _content(folder, name, size)
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ArtifactError(f"{folder}: {name} is not what was published (sha256): {AGAIN}")
    return content


def _decode(folder: pathlib.Path, raw: bytes) -> Manifest:
    try:
        schema = msgspec.json.decode(raw, type=_Versioned).schema
        if schema != SCHEMA:
            remedy = "upgrade mastery-jax" if schema > SCHEMA else "publish it again"
            raise ArtifactError(
                f"{folder}: {MANIFEST} has schema {schema}, this program reads {SCHEMA}: {remedy}"
            )
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ArtifactError(f"{folder}: {MANIFEST}: {error}; publish it again") from error
