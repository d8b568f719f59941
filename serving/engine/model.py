"""One loaded version of a model."""

import pathlib
import time
from collections.abc import Mapping, Sequence

from litestar.exceptions import ClientException, NotFoundException

from mastery_jax.workflow import artifact
from serving.engine import trial
from serving.engine.batcher import Limits
from serving.engine.method import Method
from serving.engine.tally import Tally
from serving.errors import shown
from serving.wire import MethodInfo, ModelInfo, Tensor

__all__ = ["Model", "Tallies", "load"]

PREDICTORS = ("predict_proba", "predict")  # the first that a model has answers /predict

Tallies = dict[tuple[str, int, str], Tally]  # by model, version and method


def load(
    folder: pathlib.Path,
    *,
    buckets: Sequence[int],
    limits: Limits,
    tallies: Tallies,
    is_tried: bool = False,
) -> "Model":
    """Read a version from disk and compile every method for every batch size.

    Cost: a compilation for each method and size, some 0.1 s; nothing is compiled later.

    Args:
        folder: ``models/<name>/<version>``.
        buckets: Batch sizes.
        limits: Of the queues.
        tallies: Where methods count, whatever version comes and goes.
        is_tried: Let a child process load it first, where it never was loaded.

    Raises:
        ArtifactError: it is not whole, or answers its golden rows wrongly.
    """
    start = time.perf_counter()
    digest = artifact.digest(folder)
    if is_tried:
        trial.hold(folder, digest)
    loaded = artifact.load(folder)
    manifest = loaded.manifest
    name, version = folder.parent.name, int(folder.name)
    methods = {}
    for method, spec in manifest.methods.items():
        key = (name, version, method)
        methods[method] = Method(
            f"{name}/{version}/{method}",
            spec,
            {size: loaded.compile(method, size) for size in buckets},
            loaded.golden(method),
            is_counted=loaded.is_counted(method),
            limits=limits,
            tally=tallies.setdefault(key, Tally(tuple(buckets))),
        )
    width = next(
        (m.spec.inputs["features"].shape[-1] for m in methods.values() if m.predicts), None
    )
    info = ModelInfo(
        model_id=name,
        version=version,
        model_type=manifest.task,
        n_features=width,
        n_classes=len(manifest.classes) or None,
        features=list(manifest.features),
        classes=list(manifest.classes),
        methods={name: described(method) for name, method in methods.items()},
        metadata=manifest.metrics,
    )
    model = Model(info, methods, digest, manifest.histograms)
    model.load_seconds = time.perf_counter() - start
    return model


def described(method: Method) -> MethodInfo:
    """Return a method's types as they go over the wire."""

    def tensors(named: Mapping[str, artifact.Tensor]) -> dict[str, Tensor]:
        return {k: Tensor(t.dtype, [None, *t.shape[1:]]) for k, t in named.items()}

    spec = method.spec
    return MethodInfo(tensors(spec.inputs), tensors(spec.outputs), method.is_batched)


class Model:
    """A version that answers; it never changes."""

    def __init__(
        self,
        info: ModelInfo,
        methods: Mapping[str, Method],
        digest: str | None,
        histograms: Mapping[str, Sequence[artifact.Histogram]],
    ) -> None:
        self.info = info
        self.name, self.version = info.model_id, info.version
        self.identity = info.version, digest
        self.methods = methods
        self.histograms = histograms  # of the inputs when it was published
        self.load_seconds = 0.0
        able = [name for name in PREDICTORS if name in methods and methods[name].predicts]
        self.default = able[0] if able else next(iter(methods))  # where no method is named
        self._predictor = methods[able[0]] if able else None

    @property
    def is_sound(self) -> bool:
        """Whether every method answers."""
        return all(method.batcher.is_sound for method in self.methods.values())

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
        if name not in self.methods:
            raise NotFoundException(
                f"model {shown(self.name)} has no method {shown(name)}; "
                f"it has {', '.join(self.methods)}"
            )
        return self.methods[name]
