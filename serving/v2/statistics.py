"""What versions have done, by the protocol: of all methods, and of all workers, together."""

import itertools
from collections.abc import Iterable, Sequence

import msgspec
from litestar import get
from litestar.datastructures import State
from litestar.params import FromPath

from serving.engine.tally import Spread, Tally
from serving.errors import refusals
from serving.models.registry import Registry
from serving.v2 import target
from serving.v2.types import (
    BatchStatistics,
    Count,
    InferenceStatistics,
    ModelStatistics,
    Statistics,
)

__all__ = ["ROUTES", "told"]

MODEL = "/v2/models/{model:str}/stats"
VERSION = "/v2/models/{model:str}/versions/{version:str}/stats"
NOTHING = Count(0, 0)


@get("/v2/models/stats", tags=["v2"])
async def stats_of_all(state: State) -> Statistics:
    """Say what all versions that answer have done."""
    return await _of_team(state)


@get([MODEL, VERSION], tags=["v2"], responses=refusals(400, 404, 503))
async def stats(
    state: State, model: FromPath[str], version: FromPath[str | None] = None
) -> Statistics:
    """Say what the versions of a model, or one of them, have done: all methods together."""
    meant = target.find(state, model, version)
    found = await _of_team(state, meant.served.name)
    if version is None:
        return found
    return Statistics([m for m in found.model_stats if m.version == str(meant.model.version)])


def told(registry: Registry, name: str = "") -> str:
    """Return what the versions of a model, or of all, have done in this process, as JSON."""
    methods = [
        _of_method(served.name, model.version, method.tally)
        for served in registry.snapshot.models.values()
        if name in ("", served.name)
        for model in served.versions.values()
        for method in model.methods.values()
    ]
    return msgspec.json.encode(_added(methods)).decode()


async def _of_team(state: State, name: str = "") -> Statistics:
    texts = await state.team.everyone("statistics", name)
    said = [msgspec.json.decode(text, type=Statistics) for text in texts.values()]
    return _added([each for statistics in said for each in statistics.model_stats])


def _of_method(name: str, version: int, tally: Tally) -> ModelStatistics:
    queue, compute, hits = map(_count, (tally.queue, tally.compute, tally.hits))
    return ModelStatistics(
        name=name,
        version=str(version),
        last_inference=int(1000 * tally.since),
        inference_count=tally.rows,
        execution_count=compute.count,
        inference_stats=InferenceStatistics(
            success=Count(tally.requests, queue.ns + compute.ns + hits.ns),
            fail=_count(tally.failed),
            queue=queue,
            compute_input=NOTHING,  # making a batch of requests is a part of computing it
            compute_infer=compute,
            compute_output=NOTHING,
            cache_hit=hits,
            cache_miss=_count(tally.misses),
        ),
        batch_stats=[
            BatchStatistics(
                batch_size=rows,
                compute_input=NOTHING,
                compute_infer=Count(times, int(1e9 * seconds)),
                compute_output=NOTHING,
            )
            for rows, (times, seconds) in tally.batches.items()
        ],
    )


def _count(spread: Spread) -> Count:
    return Count(spread.count, int(1e9 * spread.total))


def _added(parts: Iterable[ModelStatistics]) -> Statistics:
    """Return the statistics of each version, added up."""
    ordered = sorted(parts, key=_version)
    groups = [list(group) for _, group in itertools.groupby(ordered, key=_version)]
    return Statistics([_sum_of_version(group) for group in groups])


def _version(part: ModelStatistics) -> tuple[str, int]:
    return part.name, int(part.version)


def _sum_of_version(parts: Sequence[ModelStatistics]) -> ModelStatistics:
    batches = sorted((b for part in parts for b in part.batch_stats), key=lambda b: b.batch_size)
    sizes = itertools.groupby(batches, key=lambda batch: batch.batch_size)
    return ModelStatistics(
        name=parts[0].name,
        version=parts[0].version,
        last_inference=max(part.last_inference for part in parts),
        inference_count=sum(part.inference_count for part in parts),
        execution_count=sum(part.execution_count for part in parts),
        inference_stats=InferenceStatistics(**_sum_of_counts(p.inference_stats for p in parts)),
        batch_stats=[
            BatchStatistics(batch_size=size, **_sum_of_counts(group)) for size, group in sizes
        ],
    )


def _sum_of_counts(
    parts: Iterable[InferenceStatistics] | Iterable[BatchStatistics],
) -> dict[str, Count]:
    """Return the sum of each field that is a count."""
    found: dict[str, Count] = {}
    for part in parts:
        for name, value in msgspec.structs.asdict(part).items():
            if isinstance(value, Count):
                before = found.get(name, NOTHING)
                found[name] = Count(before.count + value.count, before.ns + value.ns)
    return found


ROUTES = (stats, stats_of_all)
