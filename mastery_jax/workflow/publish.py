"""From an experiment and its state to ``models/<name>/<next version>/``, whole or not at all.

Everything is written beside its place under a hidden name, read back and replayed by the loader,
and renamed. A process that is killed leaves at most a hidden folder, which no reader looks at.
"""

import contextlib
import datetime
import errno
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from mastery_jax.workflow import artifact, explain, lowering, manifest
from mastery_jax.workflow.errors import ArtifactError
from mastery_jax.workflow.experiment import Experiment
from mastery_jax.workflow.manifest import FIELD, GOLDEN, MANIFEST, NAME, PARAMS, SUMS, Histogram

__all__ = ["check_name", "publish"]

DECILES = np.linspace(0.0, 1.0, 11)


def publish(
    models: pathlib.Path,
    name: str,
    *,
    experiment: Experiment,
    state: Any,
    data: Any,
    task: str,
    features: Sequence[str],
    classes: Sequence[str],
    metrics: Mapping[str, float | None],
    provenance: Mapping[str, Any],
    reference: Mapping[str, np.ndarray] | None = None,
    with_slopes: bool = False,
) -> pathlib.Path:
    """Write the next version of a model and return its folder. Two compilations per method.

    Args:
        models: Where models are kept; made if it is not there.
        name: Letters, digits, ``.``, ``_`` and ``-``, at most 128.
        experiment: Whose ``methods`` and ``example`` are published.
        state: What the methods take; only the leaves that some method reads are kept.
        data: What ``experiment.example`` takes.
        task: What the model is for, in a word.
        features: Column names of the input ``features``; may be empty.
        classes: Labels by code; empty without classes.
        metrics: How good it is; None or NaN where that is not known.
        provenance: Where it comes from; anything that JSON can hold.
        reference: By input name the rows whose distribution is kept for comparison, such as all
            training rows; the example rows where it says nothing.
        with_slopes: Add the method ``explain``: the slopes of the prediction in the features.

    Raises:
        ArtifactError: The name or an argument does not fit, a method cannot be exported, answers
            otherwise once exported, or mixes its rows, or the folder cannot be written. Nothing
            is left behind.
    """
    check_name(name)
    if not experiment.methods:
        raise ArtifactError(f"{name}: the experiment has no methods, so nothing can be served")
    for method in experiment.methods:
        if not re.match(FIELD, method):
            raise ArtifactError(f"{name}: {method!r} is no name for a method: letters, digits, _")
    x = _rows(name, experiment.example(data))
    methods = dict(experiment.methods)
    if with_slopes:
        methods[explain.NAME] = explain.method(name, methods, state, x)
    exports = {
        method: lowering.export(f"{name}: method {method}", function, state, x)
        for method, function in methods.items()
    }
    files = _files(exports)
    inputs = {n: v for one in exports.values() for n, v in one.inputs.items()}
    unnumbered = manifest.Manifest(
        schema=manifest.SCHEMA,
        name=name,
        version=1,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        task=task,
        methods={method: one.spec for method, one in exports.items()},
        classes=tuple(map(str, classes)),
        features=tuple(map(str, features)),
        metrics={n: _finite(v) for n, v in metrics.items()},
        provenance={**provenance, **lowering.versions()},
        histograms=_histograms(inputs, reference or {}, features),
        golden=len(next(iter(inputs.values()))),
        files={n: len(content) for n, content in files.items()},
    )
    return _commit(models / name, files, unnumbered, exports)


def check_name(name: str) -> None:
    """Refuse a name that no model can have.

    Raises:
        ArtifactError: it has other letters, or is too long.
    """
    if not re.match(NAME, name):
        raise ArtifactError(f"name is {name!r}, not letters, digits, '.', '_', '-' (at most 128)")


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _rows(name: str, x: Any) -> dict[str, np.ndarray]:
    """Return the example rows as arrays of the dtypes that jax will give them."""
    import jax.numpy as jnp

    if not isinstance(x, Mapping) or not x:
        raise ArtifactError(f"{name}: example gives {type(x).__name__}, not named arrays")
    rows = {field: np.asarray(jnp.asarray(value)) for field, value in x.items()}
    counts = {value.shape[:1] for value in rows.values()}
    if len(counts) != 1 or min(counts) < (2,):
        given = ", ".join(f"{field}{list(value.shape)}" for field, value in rows.items())
        raise ArtifactError(f"{name}: example gives {given}, not two rows or more in each")
    return rows


def _files(exports: Mapping[str, lowering.Export]) -> dict[str, bytes]:
    """Return the content of every file but the manifest and the sums."""
    params, golden = {}, {}
    for method, one in exports.items():
        params |= one.params
        golden |= {f"{method}.inputs.{n}": v for n, v in one.inputs.items()}
        golden |= {f"{method}.outputs.{n}": v for n, v in one.outputs.items()}
    programs = {f"{method}.stablehlo": one.program for method, one in exports.items()}
    return {**programs, PARAMS: _tensors(params), GOLDEN: _tensors(golden)}


def _tensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    import safetensors.numpy

    # safetensors writes the memory as it lies, whatever the strides say; and unlike
    # ascontiguousarray, asarray leaves a scalar without axes.
    return safetensors.numpy.save({n: np.asarray(v, order="C") for n, v in arrays.items()})


def _histograms(
    inputs: Mapping[str, np.ndarray], reference: Mapping[str, Any], features: Sequence[str]
) -> dict[str, tuple[Histogram, ...]]:
    """Return the distribution of every column of every float input of one or two axes."""
    import jax.numpy as jnp

    for field in reference.keys() - inputs.keys():
        raise ArtifactError(f"reference: {field} is no input; there is {', '.join(inputs)}")
    found = {}
    for field, example in inputs.items():
        if example.ndim > 2 or not jnp.issubdtype(example.dtype, jnp.floating):
            continue
        rows = np.asarray(reference.get(field, example), np.float64)
        if rows.shape[1:] != example.shape[1:]:
            raise ArtifactError(
                f"reference: {field} has rows of shape {rows.shape[1:]}, not {example.shape[1:]}"
            )
        names = [field] if rows.ndim == 1 else _columns(field, rows.shape[1], features)
        found[field] = tuple(map(_histogram, names, rows.reshape(len(rows), -1).T))
    return found


def _columns(field: str, count: int, features: Sequence[str]) -> Sequence[str]:
    if field == "features" and features:
        return [str(name) for name in features]
    return [f"{field}[{column}]" for column in range(count)]


def _histogram(feature: str, values: np.ndarray) -> Histogram:
    finite = values[np.isfinite(values)]
    least, *deciles = np.quantile(finite, DECILES) if finite.size else (0.0, 0.0)
    # One below the least, so that the first bin holds what lies below the reference.
    edges = np.unique([np.nextafter(least, -np.inf), *deciles])
    counts = np.bincount(np.searchsorted(edges, finite), minlength=len(edges) + 1)
    return Histogram(
        feature=feature,
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        missing=values.size - finite.size,
    )


def _commit(
    home: pathlib.Path,
    files: Mapping[str, bytes],
    unnumbered: manifest.Manifest,
    exports: Mapping[str, lowering.Export],
) -> pathlib.Path:
    """Write under a hidden name, prove it, and rename it to the next free number."""
    made = [parent for parent in (home, home.parent) if not parent.exists()]
    folder = home / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
        for name, content in files.items():
            _write(folder / name, content)
        version = _close(folder, files, unnumbered)
        _prove(folder, exports)
        while not _renamed(folder, home / str(version)):
            version = _close(folder, files, unnumbered)
        _sync(home)
    except OSError as error:
        raise ArtifactError(f"{home} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # it stays where it holds anything
                parent.rmdir()
    return home / str(version)


def _close(folder: pathlib.Path, files: Mapping[str, bytes], unnumbered: manifest.Manifest) -> int:
    """Write the manifest with the next free number, and the sums over all files."""
    version = max(manifest.numbers(folder.parent), default=0) + 1
    content = manifest.encode(msgspec.structs.replace(unnumbered, version=version))
    _write(folder / MANIFEST, content)
    _write(folder / SUMS, manifest.sums({**files, MANIFEST: content}))
    _sync(folder)
    return version


def _prove(folder: pathlib.Path, exports: Mapping[str, lowering.Export]) -> None:
    """Load what was written, replay it, and hold a row alone against the row among others."""
    try:
        loaded = artifact.load(folder)
    except ArtifactError as error:
        reason = str(error).removeprefix(f"{folder}: ")
        raise ArtifactError(f"{folder.parent} is not published: {reason}") from error
    for method, one in exports.items():
        alone = {n: np.repeat(v[:1], len(v), axis=0) for n, v in one.inputs.items()}
        for name, answer in loaded.call(method, alone).items():
            golden = one.outputs[name]
            if not artifact.agree(answer, np.repeat(golden[:1], len(golden), axis=0)):
                raise ArtifactError(
                    f"{folder.parent} is not published: {name} of method {method} depends on the "
                    "other rows of its batch; a row must be answered by itself"
                )


def _renamed(folder: pathlib.Path, target: pathlib.Path) -> bool:
    """Rename, unless somebody else has just published that version."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    return True


def _write(path: pathlib.Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: pathlib.Path) -> None:
    """Make the names in a folder last, as fsync makes the content of a file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
