"""What goes over the wire: the requests and the answers, for the server and the client.

A number that is not finite is ``null`` among a method's outputs, because JSON has no other word
for it; in a request, and as a prediction, it is refused.
"""

from typing import Any

import msgspec

__all__ = [
    "Batch",
    "Call",
    "Drift",
    "Failure",
    "FeatureDrift",
    "Health",
    "MethodInfo",
    "ModelInfo",
    "Models",
    "Outputs",
    "Prediction",
    "PredictionShift",
    "Problem",
    "Reloaded",
    "Rows",
    "Single",
    "Tensor",
    "VersionDrift",
    "Welcome",
]

Rows = list[Any]


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model is asked: by either name, or by none where there is only one."""

    model_name: str | None = None
    model_id: str | None = None


class Single(Target, frozen=True, kw_only=True):
    """One row of features."""

    features: list[float]


class Batch(Target, frozen=True, kw_only=True):
    """Rows of features."""

    features: list[list[float]]


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The inputs of one method by name; the first axis of each is the row."""

    inputs: dict[str, Any]  # nested lists, of the depth and the type that the method says


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to ``/predict`` and ``/predict/batch``: one entry a row."""

    predictions: list[int | float]  # class codes, or values in the unit of the target
    probabilities: list[list[float]] | None  # of each class; null where there are none
    labels: list[str] | None  # the predicted classes' names; null where they have none
    model_type: str
    model_id: str
    model_version: int
    processing_time: float  # seconds


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of any method: its outputs by name; the first axis of each is the row."""

    outputs: dict[str, Rows]
    model_id: str
    model_version: int
    processing_time: float  # seconds


class Tensor(msgspec.Struct, frozen=True):
    """One named array of a method."""

    dtype: str
    shape: list[int | None]  # null: the rows, any number of them


class MethodInfo(msgspec.Struct, frozen=True):
    """What a method of a model takes and gives."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    is_batched: bool  # requests share batches, since a row's answer is the same in each


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One model that answers, as its default version is."""

    model_id: str
    version: int  # that answers who asks for none
    versions: list[int] = []  # all that answer
    labels: dict[str, int] = {}  # label -> version
    model_type: str
    n_features: int | None
    n_classes: int | None
    features: list[str]
    classes: list[str]
    methods: dict[str, MethodInfo]
    metadata: dict[str, float | None]  # its scores when it was trained


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One version on disk that could not be loaded."""

    model_id: str
    version: int | None  # null: the model's whole folder
    reason: str


class Models(msgspec.Struct, frozen=True):
    """Every model that answers, and every version that could not be loaded."""

    models: list[ModelInfo]
    failed: list[Failure]


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a rescan of the folder changed: ``name/version`` each."""

    models_loaded: int
    loaded: list[str]
    removed: list[str]
    failed: list[Failure]


class Health(msgspec.Struct, frozen=True):
    """The server is alive."""

    status: str
    models_loaded: int
    timestamp: float  # seconds since 1970


class Welcome(msgspec.Struct, frozen=True):
    """Where to go from the root."""

    message: str
    version: str
    docs: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457); ``error`` repeats ``detail`` for clients that read only that."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None
    error: str


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One feature against its distribution when the model was published."""

    feature: str
    psi: float | None  # null: the reference, or the window, has too few finite values
    psi_limit: float | None  # above it is an alarm
    ks: float | None
    ks_limit: float | None  # what chance alone seldom exceeds
    missing: float  # the share of values that are not finite
    missing_reference: float
    is_drifted: bool


class PredictionShift(msgspec.Struct, frozen=True, kw_only=True):
    """What is predicted against the first half window since the model was loaded."""

    kind: str  # classes, or values
    reference_rows: int
    psi: float | None  # null until there are rows enough
    psi_limit: float | None
    is_drifted: bool


class VersionDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One version."""

    version: int
    rows: int  # of the window, by now
    rows_wanted: int  # before a value is given
    reason: str | None  # why there are no features
    is_drifted: bool
    features: list[FeatureDrift]  # the largest PSI first
    predictions: PredictionShift | None  # null: nothing is predicted


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of a model that answer."""

    model_id: str
    versions: list[VersionDrift]
