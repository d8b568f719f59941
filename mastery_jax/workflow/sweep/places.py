"""Where lanes are run: this process, a cluster of Ray, jobs of SLURM, or processes that met."""

import pathlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from mastery_jax.workflow.sweep import processes
from mastery_jax.workflow.sweep.strategies import Here, Place

__all__ = ["HERE", "Where", "enter", "place"]


class Where(NamedTuple):
    """The engine that runs lanes."""

    engine: Literal["here", "ray", "slurm", "hosts"] = "here"
    address: str | None = None  # of a cluster of Ray that runs; or local, in place of SLURM
    resources: Mapping[str, Any] = MappingProxyType({})  # of one task or job
    jobs: int = 8  # of SLURM


HERE = Where()


def enter(where: Where) -> None:
    """Reach the engine, before anything is written and before signals are listened to.

    Raises:
        RunError: As in :func:`place`.
    """
    if where.engine == "ray":
        from mastery_jax.workflow.sweep import joining

        joining.join(where.address, where.resources)
    if where.engine == "slurm":
        from mastery_jax.workflow.sweep import slurm

        slurm.confirm(where.address)


def place(
    where: Where,
    folder: pathlib.Path,
    experiment: str,
    *,
    strategy: str,
    width: int,
    say: Callable[[str], None],
) -> Place:
    """Return what runs lanes.

    Args:
        where: On which engine.
        folder: Of the sweep.
        experiment: The module.
        strategy: ``loop``, ``vmap`` or ``map``.
        width: The most lanes of a batch.
        say: Where to say what went otherwise than planned.

    Raises:
        RunError: The engine is not installed, or cannot be reached.
    """
    how: dict[str, Any] = {"strategy": strategy, "width": width, "say": say}
    if where.engine == "ray":
        from mastery_jax.workflow.sweep.cluster import Cluster

        return Cluster(experiment, address=where.address, resources=where.resources, **how)
    if where.engine == "slurm":
        from mastery_jax.workflow.sweep.slurm import Slurm

        cluster, parameters = where.address, where.resources
        how |= {"jobs": where.jobs, "cluster": cluster, "parameters": parameters}
        return Slurm(experiment, folder, **how)
    if processes.are_several():
        from mastery_jax.workflow.sweep.hosts import Hosts

        return Hosts(experiment, **how)
    return Here(experiment, **how)
