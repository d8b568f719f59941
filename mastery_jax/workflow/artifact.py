"""A model without its Python: StableHLO programs, parameters as arguments, one manifest.

:func:`load` believes nothing. Names, sizes and sums are checked before a byte is deserialized (a
flipped bit in a program can end the process, or answer wrongly); a program may call only what is
on a list, must have the types of the manifest, and must answer the golden rows as the original
function did, by as many features and classes as have names. ``workflow.publish`` writes what is
read here.
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from mastery_jax.workflow import stablehlo
from mastery_jax.workflow.errors import ArtifactError
from mastery_jax.workflow.manifest import (
    GOLDEN,
    PARAMS,
    Histogram,
    Manifest,
    MethodSpec,
    Tensor,
    digest,
    verify,
    versions,
)
from mastery_jax.workflow.stablehlo import Arrays, Program, dtype

__all__ = [
    "Artifact",
    "Histogram",
    "Manifest",
    "MethodSpec",
    "Tensor",
    "agree",
    "digest",
    "load",
    "versions",
]

# Largest error of a replayed answer, relative to the largest golden value of its column. The last
# bits differ between machines; 1e-4 is what they come to in a deep float32 network.
RTOL = {"float64": 1e-8, "float32": 1e-4, "float16": 4e-3, "bfloat16": 3e-2}

KINDS = {  # of safetensors -> of NumPy
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def load(folder: pathlib.Path, *, platform: str | None = None) -> "Artifact":
    """Read, check and replay an artefact. One compilation per method, for the golden rows.

    Args:
        folder: ``models/<name>/<version>``.
        platform: Where to run: ``cpu``, ``cuda``, ``tpu``; the default is jax's.

    Raises:
        ArtifactError: It is not whole, or does not answer here as it did where it was made; the
            message says what to do.
    """
    manifest, contents = verify(folder)
    params, golden = (_arrays(f"{folder}: {n}", contents[n]) for n in (PARAMS, GOLDEN))
    methods = {
        name: stablehlo.read(
            f"{folder}: {name}", contents[f"{name}.stablehlo"], spec, params, platform
        )
        for name, spec in manifest.methods.items()
    }
    artifact = Artifact(folder, manifest, methods, golden)
    for name in methods:
        _replay(artifact, name, golden)
        _hold(artifact, name, golden)
    return artifact


class Artifact:
    """A loaded model; threads may share it."""

    def __init__(
        self,
        folder: pathlib.Path,
        manifest: Manifest,
        methods: Mapping[str, stablehlo.Method],
        golden: Arrays,
    ):
        self.folder, self.manifest = folder, manifest
        self._methods, self._golden = methods, golden
        self._compiled: dict[tuple[str, int], Program] = {}

    def compile(self, method: str, batch: int) -> Program:
        """Return a method compiled ahead of time for ``batch`` rows; once for each number.

        Args:
            method: A name of ``manifest.methods``.
            batch: Rows in every call, at least 1.

        Returns:
            A function from arrays by input name to (read-only) arrays by output name. It raises
            a ValueError that names the field when an input is missing or unknown, or has
            another dtype or shape. Alone, a row may have other last bits than among others:
            XLA multiplies a vector otherwise than a matrix.

        Raises:
            ValueError: There is no such method, or ``batch`` is below 1.
            ArtifactError: XLA cannot compile it here.
        """
        program = self._compiled.get((method, batch))
        if program is None:
            if batch < 1:
                raise ValueError(f"batch is {batch}, not at least 1")
            program = self._compiled[method, batch] = self._method(method).compile(batch)
        return program

    def call(self, method: str, x: Arrays) -> dict[str, np.ndarray]:
        """Answer any number of rows, padded to a power of two so that little is compiled.

        No rows are answered with none, and nothing runs.

        Raises:
            ValueError: There is no such method, or an input does not fit it.
        """
        spec = self._method(method).spec
        lengths = {value.shape[:1] for value in x.values()}
        if len(lengths) != 1 or lengths == {()}:
            raise ValueError(f"{method}: every input needs one and the same number of rows")
        ((rows,),) = lengths
        if rows == 0:
            return {n: np.empty((0, *t.shape[1:]), dtype(t)) for n, t in spec.outputs.items()}
        batch = max(2, 1 << (rows - 1).bit_length())
        padded = {n: np.resize(v, (batch, *v.shape[1:])) for n, v in x.items()}
        return {n: out[:rows] for n, out in self.compile(method, batch)(padded).items()}

    def is_counted(self, method: str) -> bool:
        """Say whether a method's loops take as many turns whatever its inputs hold.

        Raises:
            ValueError: There is no such method.
        """
        return self._method(method).is_counted

    def golden(self, method: str) -> dict[str, np.ndarray]:
        """Return the real rows of a method's inputs with which it was tried.

        Raises:
            ValueError: There is no such method.
        """
        inputs = self._method(method).spec.inputs
        return {name: self._golden[f"{method}.inputs.{name}"] for name in inputs}

    def _method(self, name: str) -> stablehlo.Method:
        if name not in self._methods:
            raise ValueError(f"method is {name!r}, not one of {', '.join(self._methods)}")
        return self._methods[name]


def agree(answer: np.ndarray, golden: np.ndarray) -> bool:
    """Say whether two answers are the same up to rounding; integers must be equal."""
    if answer.shape != golden.shape or answer.dtype != golden.dtype:
        return False
    rtol = RTOL.get(golden.dtype.name)
    if rtol is None:
        return bool(np.all(answer == golden))
    a, g = answer.astype(np.float64), golden.astype(np.float64)
    size = np.where(np.isfinite(g), np.abs(g), 0.0)
    # A column has its own unit; one that rounding alone keeps from zero has that of the whole.
    atol = rtol * (size.max(axis=0, keepdims=True) + rtol * size.max(initial=0.0))
    with np.errstate(invalid="ignore"):
        near = np.abs(a - g) <= atol
    return bool(np.all(near | (a == g) | (np.isnan(a) & np.isnan(g))))


def _replay(artifact: Artifact, method: str, golden: Arrays) -> None:
    """Hold the answers to the golden rows against those of the original function."""
    where, spec = f"{artifact.folder}: {method}", artifact.manifest.methods[method]
    program = artifact.compile(method, artifact.manifest.golden)
    try:
        answers = program({name: golden[f"{method}.inputs.{name}"] for name in spec.inputs})
        wrong = [n for n in answers if not agree(answers[n], golden[f"{method}.outputs.{n}"])]
    except (KeyError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{where} does not run its golden rows: {error}") from error
    if wrong:
        raise ArtifactError(
            f"{where} answers its golden rows otherwise than the function that was published "
            f"({', '.join(wrong)}): publish it again, on this machine"
        )


def _hold(artifact: Artifact, method: str, golden: Arrays) -> None:
    """Hold the names of classes and features against what a method takes and gives."""
    where, told = artifact.folder, artifact.manifest
    spec, classes = told.methods[method], told.classes
    if told.features and "features" in spec.inputs:
        width = (spec.inputs["features"].shape[1:] or (1,))[-1]
        if width != len(told.features):
            raise ArtifactError(
                f"{where}: features has {len(told.features)} names for {width} columns of {method}"
            )
    codes, probabilities = (spec.outputs.get(n) for n in ("predictions", "probabilities"))
    if classes and codes is not None:
        if len(codes.shape) != 1 or dtype(codes).kind not in "iu":
            raise ArtifactError(
                f"{where}: with classes, predictions are one integer a row, and method {method} "
                f"gives {codes.dtype}{list(codes.shape)}"
            )
        for code in golden[f"{method}.outputs.predictions"]:
            if not 0 <= code < len(classes):
                raise ArtifactError(
                    f"{where}: classes has {len(classes)} labels, and method {method} predicts "
                    f"the code {code}"
                )
    if classes and probabilities is not None and probabilities.shape[1:] != (len(classes),):
        raise ArtifactError(
            f"{where}: classes has {len(classes)} labels, and method {method} gives "
            f"probabilities{list(probabilities.shape)}"
        )


def _arrays(where: str, content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file; its own reader knows no bfloat16."""
    import ml_dtypes  # noqa: F401  (teaches NumPy the name)
    import safetensors

    try:
        return {
            name: np.frombuffer(entry["data"], KINDS[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in safetensors.deserialize(content)
        }
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"{where} is no file of arrays: {error}; publish it again") from error
