"""``GET /models/{model}/drift``: what has shifted, in every version."""

import math
from collections.abc import Mapping

from litestar import get
from litestar.datastructures import State
from litestar.params import FromPath

from serving.drift.seen import Seen, added, decode, encode
from serving.drift.watch import FEWEST, Watch, shift
from serving.engine.model import Model
from serving.errors import refusals
from serving.models.registry import Registry
from serving.wire import Drift, FeatureDrift, PredictionShift, VersionDrift

__all__ = ["ROUTES", "told"]


def told(registry: Registry, watches: Mapping[Model, Watch], name: str) -> str:
    """Return what the versions of a model were shown in this process, as JSON."""
    served = registry.snapshot.models.get(name)
    versions = served.versions.values() if served else ()
    return encode({mark(v): watches[v].seen() for v in versions if v in watches})


def mark(version: Model) -> str:
    """Return by what workers know that they speak of one version."""
    number, digest = version.identity
    return f"{number} {digest}"


def described(version: int, watch: Watch, seen: Seen) -> VersionDrift:
    """Return what is said of one version."""
    rows = seen.rows
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
        for f in watch.features(seen)
    ]
    features.sort(key=lambda f: math.inf if f.psi is None else -f.psi)
    reason = watch.reason
    if reason is None and rows < FEWEST:
        reason = f"the window has {rows} rows, wanted {FEWEST} at least"
    found, predictions = shift(seen), None
    if seen.predictions is not None:
        predictions = PredictionShift(
            kind="classes" if seen.predictions.is_classes else "values",
            reference_rows=seen.predictions.first,
            psi=None if found is None else found.psi,
            psi_limit=None if found is None else found.psi_limit,
            is_drifted=found is not None and found.psi > found.psi_limit,
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


@get("/models/{model_id:str}/drift", tags=["monitor"], responses=refusals(404, 503))
async def drift(state: State, model_id: FromPath[str]) -> Drift:
    """Say whether inputs and predictions still look as they did: ``digits``, or ``digits@3``.

    What all workers were shown is counted together.
    """
    served, model = state.registry.find(model_id)
    watches: Mapping[Model, Watch] = state.drift
    texts = await state.team.everyone("drift", served.name)
    said = [decode(text) for text in texts.values()]
    found = []
    for version in [model] if "@" in model_id else served.versions.values():
        parts = [seen[mark(version)] for seen in said if mark(version) in seen]
        if parts and version in watches:
            found.append(described(version.version, watches[version], added(parts)))
    return Drift(model_id=served.name, versions=found)


ROUTES = (drift,)
