"""Training states on disk: one folder a step, written by Orbax, renamed when whole."""

import pathlib
import shutil
from typing import Any

from mastery_jax.workflow.errors import RunError

__all__ = ["prune", "restore", "save", "steps"]


def _folder(run: pathlib.Path, step: int) -> pathlib.Path:
    return (run / "checkpoints" / f"{step:08d}").absolute()


def steps(run: pathlib.Path) -> list[int]:
    """Return the steps that have a whole checkpoint, ascending."""
    names = (path.name for path in (run / "checkpoints").glob("*") if path.is_dir())
    return sorted(int(name) for name in names if name.isdigit())


def save(run: pathlib.Path, step: int, state: Any) -> None:
    """Write ``state``; when this returns it is on disk, when it fails nothing new is.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    import orbax.checkpoint as ocp

    if step in steps(run):
        return
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(_folder(run, step), _without_empty(state))
    except (OSError, ValueError) as error:
        raise RunError(f"the checkpoint of step {step} in {run} cannot be saved: {error}") from None


def restore(run: pathlib.Path, step: int, like: Any) -> Any:
    """Read the state of ``step``.

    Args:
        run: The run's folder.
        step: One of :func:`steps`.
        like: A tree of arrays or ``jax.ShapeDtypeStruct``s with the state's structure.

    Raises:
        RunError: the checkpoint is damaged, or belongs to another program.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(_folder(run, step), _without_empty(like))
            return _with_empty(found, like)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise RunError(
            f"the checkpoint of step {step} in {run} cannot be restored ({reason}); "
            f"remove {_folder(run, step)} to go on from an older one, or from the start"
        ) from error


def prune(run: pathlib.Path, keep: set[int]) -> None:
    """Remove every checkpoint but those of the steps in ``keep``."""
    for step in steps(run):
        if step not in keep:
            shutil.rmtree(_folder(run, step))


def _without_empty(tree: Any) -> Any:
    """Return the tree with None for arrays that have no entry, which Orbax does not write."""
    import jax

    return jax.tree.map(lambda leaf: leaf if leaf.size else None, tree)


def _with_empty(found: Any, like: Any) -> Any:
    """Return what was found, with the arrays without an entry that ``like`` has."""
    import jax
    import jax.numpy as jnp

    def fill(leaf: Any, wanted: Any) -> Any:
        if leaf is None and wanted is not None:
            return jnp.zeros(wanted.shape, wanted.dtype)
        return leaf

    return jax.tree.map(fill, found, like, is_leaf=lambda leaf: leaf is None)
