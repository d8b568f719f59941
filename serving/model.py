"""One loaded version of a model: inputs that are checked, programs that are compiled."""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from litestar.exceptions import ClientException, NotFoundException

from mastery_jax.workflow import artifact
from mastery_jax.workflow.stablehlo import Arrays, Program, dtype
from serving.errors import malformed, shown
from serving.wire import MethodInfo, ModelInfo, Rows, Tensor

__all__ = ["Field", "Method", "Model", "load"]

TRIES = 3  # calls of each program at the start; the fastest says how long it takes
NUMBERS = {"b": bool, "i": int, "u": int}  # NumPy's letter -> what JSON must hold; else float
PREDICTORS = ("predict_proba", "predict")  # the first that a model has answers /predict


def load(folder: pathlib.Path, buckets: Sequence[int]) -> "Model":
    """Read a version from disk and compile every method for every batch size.

    Cost: a compilation for each method and size, some 0.1 s; nothing is compiled later.

    Raises:
        ArtifactError: it is not whole, or answers its golden rows wrongly.
    """
    digest = artifact.digest(folder)
    loaded = artifact.load(folder)
    manifest = loaded.manifest
    methods = {
        name: Method(spec, {size: loaded.compile(name, size) for size in buckets})
        for name, spec in manifest.methods.items()
    }
    width = next(
        (m.spec.inputs["features"].shape[-1] for m in methods.values() if m.predicts), None
    )
    info = ModelInfo(
        model_id=folder.parent.name,
        version=int(folder.name),
        model_type=manifest.task,
        n_features=width,
        n_classes=len(manifest.classes) or None,
        features=list(manifest.features),
        classes=list(manifest.classes),
        methods={name: described(spec) for name, spec in manifest.methods.items()},
        metadata=manifest.metrics,
    )
    return Model(info, methods, digest)


def described(spec: artifact.MethodSpec) -> MethodInfo:
    """Return a method's types as they go over the wire."""

    def tensors(named: Mapping[str, artifact.Tensor]) -> dict[str, Tensor]:
        return {k: Tensor(t.dtype, [None, *t.shape[1:]]) for k, t in named.items()}

    return MethodInfo(tensors(spec.inputs), tensors(spec.outputs))


def number(tensor: artifact.Tensor) -> type:
    """Return what JSON holds of a tensor: bool, int or float."""
    return NUMBERS.get(dtype(tensor).kind, float)


class Field:
    """One input of a method: from nested lists to an array."""

    def __init__(self, name: str, tensor: artifact.Tensor) -> None:
        self.name = name
        self.dtype = dtype(tensor)
        self.row = tensor.shape[1:]
        self.number = number(tensor)
        self.type = functools.reduce(lambda inner, _: list[inner], tensor.shape, self.number)

    def read(self, rows: Rows) -> np.ndarray:
        """Return rows of numbers as an array.

        Raises:
            ClientException: they are none, ragged, of another shape, or out of range.
        """
        try:
            with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
                array = np.array(rows, self.dtype)
        except OverflowError:
            raise self.refusal("a number is out of range") from None
        except ValueError:
            raise self.refusal("the rows differ in shape") from None
        if array.shape[1:] != self.row or not len(array):
            raise self.refusal(f"the shape is {list(array.shape)}")
        if self.number is float and not np.isfinite(array).all():
            raise self.refusal("a number is out of range")
        return array

    def read_row(self, row: Rows) -> np.ndarray:
        """Return one row of numbers as an array of one row.

        Raises:
            ClientException: as :meth:`read`.
        """
        if (len(row),) != self.row:
            came = f"{self.name} has {len(row)} numbers"
            raise ClientException(f"{came}, wanted {', '.join(map(str, self.row))}")
        return self.read([row])

    def refusal(self, came: str) -> ClientException:
        """Return the refusal that says what came and what was wanted."""
        wanted = ", ".join(["rows", *map(str, self.row)])
        return ClientException(f"{self.name}: {came}, wanted {self.dtype}[{wanted}]")


class Method:
    """One method of a model, compiled for some batch sizes."""

    def __init__(self, spec: artifact.MethodSpec, programs: Mapping[int, Program]) -> None:
        self.spec = spec
        self.fields = {name: Field(name, tensor) for name, tensor in spec.inputs.items()}
        self._programs = programs
        self._largest = max(programs)
        sizes = sorted(programs)
        self._size = [next(s for s in sizes if s >= rows) for rows in range(self._largest + 1)]
        self._index = {size: np.arange(size) for size in sizes}
        taken = {size: self._measure(size) for size in sizes}
        self._seconds = [0.0, *(taken[size] for size in self._size[1:])]  # by rows

    @property
    def predicts(self) -> bool:
        """Say whether it maps ``features`` alone, rows of floats, to ``predictions``."""
        features = self.fields.get("features")
        return (
            features is not None
            and len(self.fields) == 1
            and len(features.row) == 1
            and features.number is float
            and self._gives("predictions", 1, int, float)
            and ("probabilities" not in self.spec.outputs or self._gives("probabilities", 2, float))
        )

    def _gives(self, name: str, rank: int, *numbers: type) -> bool:
        tensor = self.spec.outputs.get(name)
        return tensor is not None and len(tensor.shape) == rank and number(tensor) in numbers

    def _measure(self, size: int) -> float:
        """Return the seconds of one call and its answer as JSON; no later call is a first one."""
        x = {name: np.zeros((size, *f.row), f.dtype) for name, f in self.fields.items()}
        taken = []
        for _ in range(TRIES):
            start = time.perf_counter()
            outputs = self._programs[size](x)
            msgspec.json.encode({name: array.tolist() for name, array in outputs.items()})
            taken.append(time.perf_counter() - start)
        return min(taken)

    def seconds(self, rows: int) -> float:
        """Return about how long so many rows take."""
        parts, rest = divmod(rows, self._largest)
        return parts * self._seconds[-1] + self._seconds[rest]

    def most(self, seconds: float) -> int:
        """Return how many rows take about so long."""
        parts, left = divmod(seconds, self._seconds[-1])
        return int(parts) * self._largest + max(
            rows for rows in range(self._largest) if self._seconds[rows] <= left
        )

    def read(self, inputs: Mapping[str, Rows]) -> dict[str, np.ndarray]:
        """Return inputs of any kind as arrays with as many rows each.

        Raises:
            ClientException: one is missing, unknown, or not what its type says.
        """
        if inputs.keys() != self.fields.keys():
            came = ", ".join(map(shown, inputs)) or "none"
            raise ClientException(f"inputs: {came} came, wanted {', '.join(self.fields)}")
        x = {}
        for name, field in self.fields.items():
            try:
                x[name] = field.read(msgspec.convert(inputs[name], field.type))
            except msgspec.ValidationError as error:
                raise malformed(error, name) from None
        if len({len(array) for array in x.values()}) > 1:
            came = ", ".join(f"{len(array)} of {name}" for name, array in x.items())
            raise ClientException(f"inputs: {came} came, wanted as many rows of each")
        return x

    def __call__(self, x: Arrays, rows: int) -> dict[str, np.ndarray]:
        """Answer any number of rows, in parts of at most the largest batch."""
        if rows <= self._largest:
            return self._run(x, rows)
        step = self._largest
        parts = [
            self._run({k: v[i : i + step] for k, v in x.items()}, min(step, rows - i))
            for i in range(0, rows, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, x: Arrays, rows: int) -> dict[str, np.ndarray]:
        size = self._size[rows]
        if size != rows:  # filled up with the last row: a made-up one might cost more, or warn
            x = {k: v.take(self._index[size], axis=0, mode="clip") for k, v in x.items()}
        return {name: out[:rows] for name, out in self._programs[size](x).items()}


class Model:
    """A version that answers; it never changes."""

    def __init__(self, info: ModelInfo, methods: Mapping[str, Method], digest: str | None) -> None:
        self.info = info
        self.name, self.version = info.model_id, info.version
        self.identity = info.version, digest
        self._methods = methods
        able = (methods[name] for name in PREDICTORS if name in methods)
        self._predictor = next((method for method in able if method.predicts), None)

    @property
    def predictor(self) -> Method:
        """The method that answers ``/predict``.

        Raises:
            ClientException: no method of this model makes predictions of features alone.
        """
        if self._predictor is None:
            known = "; ".join(
                f"{name}({', '.join(spec.inputs)})" for name, spec in self.info.methods.items()
            )
            raise ClientException(
                f"model {shown(self.name)} predicts nothing from features alone; it has {known}: "
                f"POST /models/{self.name}/<method>"
            )
        return self._predictor

    def method(self, name: str) -> Method:
        """Return a method by name.

        Raises:
            NotFoundException: there is none of this name.
        """
        if name not in self._methods:
            raise NotFoundException(
                f"model {shown(self.name)} has no method {shown(name)}; "
                f"it has {', '.join(self._methods)}"
            )
        return self._methods[name]
