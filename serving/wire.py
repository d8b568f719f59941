"""What goes over the wire: the requests and the answers, for the server and the client.

A number that is not finite is ``null`` among a method's outputs, because JSON has no other word
for it; in a request, and as a prediction, it is refused.
"""

from typing import Annotated, Any

import msgspec

__all__ = [
    "Batch",
    "Call",
    "Drift",
    "Failure",
    "FeatureDrift",
    "Health",
    "Judged",
    "LiveAccuracy",
    "MethodInfo",
    "ModelInfo",
    "Models",
    "Outputs",
    "Prediction",
    "PredictionShift",
    "Problem",
    "Recorded",
    "Reloaded",
    "Rows",
    "Single",
    "Tensor",
    "Truth",
    "VersionAccuracy",
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
    prediction_id: str | None = None  # under which it is recorded; null where it is not


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of any method: its outputs by name; the first axis of each is the row."""

    outputs: dict[str, Rows]
    model_id: str
    model_version: int
    processing_time: float  # seconds
    prediction_id: str | None = None  # under which it is recorded; null where it is not


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


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was true of one row of a prediction."""

    truth: int | float | str  # a class by its code or its label, or a value
    row: Annotated[int, msgspec.Meta(ge=0)] = 0


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A truth that was kept, beside what was predicted: class codes, or values."""

    prediction_id: str
    row: int
    model_id: str
    model_version: int
    predicted: int | float
    truth: int | float
    is_replaced: bool  # another truth was kept for this row before


class Recorded(msgspec.Struct, frozen=True):
    """One prediction as it was recorded."""

    prediction_id: str
    created: float  # seconds since 1970
    model_id: str
    model_version: int
    method: str
    request_id: str
    rows: int
    predicted: float | None  # the class code, or the value; null where the rows are several


class VersionAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How the predictions of one version agree with what was true."""

    model_version: int
    rows: int  # whose truth is known
    accuracy: float | None  # of classes
    rmse: float | None  # of values


class LiveAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How the predictions of one model agree with what was true, by version."""

    model_id: str
    days: float  # how old a prediction may be
    versions: list[VersionAccuracy]


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
