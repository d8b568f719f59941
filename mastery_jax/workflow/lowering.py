"""From a method of an experiment to a program that holds no Python and no parameters."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mastery_jax.workflow.errors import ArtifactError
from mastery_jax.workflow.manifest import MethodSpec
from mastery_jax.workflow.stablehlo import types
from mastery_jax.workflow.usage import reads

__all__ = ["PLATFORMS", "Export", "export", "versions"]

PLATFORMS = ("cpu", "cuda", "tpu")

Function = Callable[[Any, Any], Any]  # (state, x) -> outputs


class Export(NamedTuple):
    """A method ready to be written, with what its original function answered."""

    program: bytes
    spec: MethodSpec
    params: dict[str, np.ndarray]  # leaves of the state that it reads, by key path
    inputs: dict[str, np.ndarray]  # fields of the example rows that it reads
    outputs: dict[str, np.ndarray]  # answers of the original function to these rows


def export(where: str, function: Function, state: Any, x: Mapping[str, np.ndarray]) -> Export:
    """Trace a method for any number of rows and all of ``PLATFORMS``.

    Only what the method reads of ``state`` and of ``x`` becomes an argument; random keys of the
    state travel as their uint32 data. Products are exact to their dtype (``highest``) on every
    device, here and wherever it is served: the default of GPUs and TPUs is lower, and answers
    would depend on the place. Cost: three traces and one compilation.

    Args:
        where: Names the method in messages.
        function: (state, x) -> outputs, flat dicts of arrays with one row for each row.
        state: Any tree of arrays.
        x: Example rows by field name.

    Raises:
        ArtifactError: The method cannot be traced so, or does not answer so.
    """
    import jax
    import jax.export

    try:
        with jax.default_matmul_precision("highest"):
            params, inputs = _read_by(function, state, x)
            (rows,) = jax.export.symbolic_shape("rows")
            exported = jax.export.export(
                jax.jit(_by_name(function, state, x)), platforms=PLATFORMS
            )(
                {n: jax.ShapeDtypeStruct(v.shape, v.dtype) for n, v in params.items()},
                {n: jax.ShapeDtypeStruct((rows, *v.shape[1:]), v.dtype) for n, v in inputs.items()},
            )
            program = bytes(exported.serialize())
            outputs = jax.device_get(jax.jit(function)(state, x))
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(
            f"{where} cannot be exported: {type(error).__name__}: {reason}; a method must work for "
            "any number of rows, without a callback, a print or a branch on that number"
        ) from error
    _, spec = types(where, exported)
    return Export(program, spec, params, inputs, dict(outputs))


def versions() -> dict[str, Any]:
    """Return what the reader of a program may want to know of its writer."""
    import importlib.metadata

    import jax.export

    return {
        "jax": importlib.metadata.version("jax"),
        "jaxlib": importlib.metadata.version("jaxlib"),
        "calling_convention_version": jax.export.maximum_supported_calling_convention_version,
        "platforms": PLATFORMS,
    }


def _read_by(
    function: Function, state: Any, x: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the leaves of ``state`` and the fields of ``x`` that matter, on the host, by name."""
    import jax

    of_state, of_x = reads(function, state, x)
    leaves, used = jax.tree.leaves_with_path(state), jax.tree.leaves(of_state)
    params = {
        _name(path): np.asarray(_data(leaf))
        for (path, leaf), is_read in zip(leaves, used, strict=True)
        if is_read
    }
    inputs = {name: value for name, value in x.items() if of_x[name]}
    if len(params) != sum(used):
        raise ValueError("two leaves of the state have one and the same name")
    if not inputs:
        raise ValueError("it reads no field of its rows")
    return params, inputs


def _by_name(function: Function, state: Any, x: Mapping[str, np.ndarray]) -> Callable[..., Any]:
    """Return ``function`` with flat dicts for arguments; what they leave out is not read."""
    import jax
    import jax.numpy as jnp

    blanks = jax.eval_shape(lambda tree: jax.tree.map(_data, tree), state)

    def call(params: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        def leaf(path: Any, blank: Any, like: Any) -> Any:
            name = _name(path)
            data = params[name] if name in params else jnp.zeros(blank.shape, blank.dtype)
            if _is_key(like):
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like))
            return data

        rows = next(iter(inputs.values())).shape[0]
        rest = {
            name: jnp.zeros((rows, *value.shape[1:]), value.dtype)
            for name, value in x.items()
            if name not in inputs
        }
        outputs = function(jax.tree.map_with_path(leaf, blanks, state), {**inputs, **rest})
        if not isinstance(outputs, Mapping):
            raise TypeError(f"it answers with {type(outputs).__name__}, not with a dict of arrays")
        return dict(outputs)

    return call


def _name(path: Any) -> str:
    import jax

    return jax.tree_util.keystr(path, simple=True, separator=".") or "state"


def _is_key(leaf: Any) -> bool:
    import jax

    return hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    import jax

    return jax.random.key_data(leaf) if _is_key(leaf) else jax.numpy.asarray(leaf)
