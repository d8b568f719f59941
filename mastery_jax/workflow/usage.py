"""Which inputs a function reads, found by tracing it and removing what is dead.

An artefact keeps only the leaves of a state that its method reads, and a sweep says which of its
fields change nothing.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

__all__ = ["reads", "reads_and_text"]


def reads(fn: Callable[..., Any], *args: Any) -> Any:
    """Return a bool for each leaf of ``args``: whether any output of ``fn`` depends on it.

    Nothing is computed: ``args`` may be arrays or ``jax.ShapeDtypeStruct``s. Cost: one trace. A
    ``while`` loop counts as reading all that it carries; a ``scan`` is looked into.

    Args:
        fn: A traceable function of pytrees.
        args: Its arguments.

    Returns:
        A tuple with the structure of ``args``.
    """
    return reads_and_text(fn, *args)[0]


def reads_and_text(fn: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """Return what :func:`reads` does, and the text of the trace: equal for equal programs."""
    import jax
    import numpy as np
    from jax.interpreters import partial_eval

    leaves, structure = jax.tree.flatten(args)
    closed = jax.make_jaxpr(lambda *flat: fn(*structure.unflatten(flat)))(*leaves)
    live, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    digests = [hashlib.sha256(np.asarray(x).tobytes()).hexdigest() for x in closed.consts]
    text = re.sub(r"0x[0-9a-f]+", "", f"{live} {digests}")  # addresses differ, programs do not
    return structure.unflatten(used), text
