"""A Flax NNX module as two pure functions over plain nested dicts.

Outside this file nothing of ``flax.nnx`` is used but the modules themselves: states are dicts,
transforms are ``jax.jit``, ``jax.vmap`` and ``jax.grad``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Key

__all__ = ["Functional", "functional"]


class Functional(NamedTuple):
    """The two functions of a module."""

    init: Callable[[Key[Array, ""]], tuple[Any, Any]]  # key -> (params, state)
    apply: Callable[..., tuple[Any, Any]]  # (params, state, *x, key=, train=) -> (y, state)


def functional(make: Callable[[nnx.Rngs], nnx.Module]) -> Functional:
    """Split what ``make`` builds into ``init`` and ``apply``. The module is built abstractly.

    ``params`` holds what is trained, ``state`` the rest (BatchNorm statistics; often empty). Both
    are nested dicts of arrays, so that they can be mapped, saved and sharded like any pytree.

    Args:
        make: Builds the module from its ``nnx.Rngs``. Dropout layers must not keep an ``rngs``.

    Returns:
        ``init(key)``, and ``apply(params, state, *x, key=None, train=False)``, which returns the
        output and the new state. ``key`` feeds dropout; ``None`` means no randomness.
    """
    abstract = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graphs = {
        train: nnx.graphdef(
            nnx.view(
                abstract,
                deterministic=not train,
                use_running_average=not train,
                raise_if_not_found=False,
            )
        )
        for train in (True, False)
    }

    def split(module: nnx.Module) -> tuple[Any, Any]:
        _, params, state = nnx.split(module, nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def init(key: Key[Array, ""]) -> tuple[Any, Any]:
        return split(make(nnx.Rngs(key)))

    def apply(
        params: Any,
        state: Any,
        *x: jax.Array,
        key: Key[Array, ""] | None = None,
        train: bool = False,
    ) -> tuple[Any, Any]:
        module = nnx.merge(graphs[train], params, state)
        rngs = {} if key is None else {"rngs": nnx.Rngs(dropout=key)}
        y = module(*x, **rngs)  # pyright: ignore[reportCallIssue]
        return y, split(module)[1]

    return Functional(init=init, apply=apply)
