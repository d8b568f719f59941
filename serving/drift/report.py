"""``GET /models/{model}/drift``: what has shifted, in every version."""

import math
from collections.abc import Mapping

from litestar import get
from litestar.datastructures import State
from litestar.params import FromPath

from serving.drift.watch import FEWEST, Watch
from serving.engine.model import Model
from serving.errors import refusals
from serving.wire import Drift, FeatureDrift, PredictionShift, VersionDrift

__all__ = ["ROUTES", "told"]


def told(version: int, watch: Watch) -> VersionDrift:
    """Return what is said of one version."""
    rows = watch.rows
    features = [
        FeatureDrift(
            feature=f.name,
            psi=number(f.psi),
            psi_limit=number(f.psi_limit),
            ks=number(f.ks),
            ks_limit=number(f.ks_limit),
            missing=f.missing,
            missing_reference=f.missing_reference,
            is_drifted=f.psi > f.psi_limit,
        )
        for f in watch.features()
    ]
    features.sort(key=lambda f: math.inf if f.psi is None else -f.psi)
    reason = watch.reason
    if reason is None and rows < FEWEST:
        reason = f"the window has {rows} rows, wanted {FEWEST} at least"
    shift, seen = watch.shift(), watch.predictions
    predictions = None
    if seen is not None:
        predictions = PredictionShift(
            kind="values" if seen.classes is None else "classes",
            reference_rows=seen.rows_of_reference,
            psi=None if shift is None else shift.psi,
            psi_limit=None if shift is None else shift.psi_limit,
            is_drifted=shift is not None and shift.psi > shift.psi_limit,
        )
    return VersionDrift(
        version=version,
        rows=rows,
        rows_wanted=FEWEST,
        reason=reason,
        is_drifted=any(f.is_drifted for f in features)
        or (predictions is not None and predictions.is_drifted),
        features=features,
        predictions=predictions,
    )


def number(value: float) -> float | None:
    """Return a number, or None where it is none."""
    return value if math.isfinite(value) else None


@get(
    "/models/{model_id:str}/drift",
    tags=["monitor"],
    sync_to_thread=False,
    responses=refusals(404, 503),
)
def drift(state: State, model_id: FromPath[str]) -> Drift:
    """Say whether inputs and predictions still look as they did: ``digits``, or ``digits@3``."""
    served, model = state.registry.find(model_id)
    watches: Mapping[Model, Watch] = state.drift
    versions = [model] if "@" in model_id else served.versions.values()
    return Drift(
        model_id=served.name,
        versions=[told(v.version, watches[v]) for v in versions if v in watches],
    )


ROUTES = (drift,)
