"""From the bytes of one exported method to compiled programs.

A program takes two flat dicts, parameters by key path and inputs by field name, each input with
one and the same symbolic first axis, and gives a flat dict of outputs with that axis.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mastery_jax.workflow import turns
from mastery_jax.workflow.errors import ArtifactError
from mastery_jax.workflow.manifest import FIELD, PARAMS, MethodSpec, Tensor

__all__ = ["Arrays", "Method", "Program", "dtype", "read", "types"]

Arrays = Mapping[str, np.ndarray]
Program = Callable[[Arrays], dict[str, np.ndarray]]

# Code outside of itself that a program may call: linear algebra, sharding marks, kernels of the
# device. Jax keeps the names and the meaning of these, and none of them runs Python.
CUSTOM_CALLS = re.compile(
    r"lapack_\w+_ffi|cu(solver|sparse|blas)_\w+|cu_lu_pivots_to_permutation|cu_threefry2x32_ffi"
    r"|Eigh|Qr|ProductOfElementaryHouseholderReflectors|LuDecomposition|ApproxTopK"
    r"|stablehlo\.dynamic_(approx_top_k|reduce_window|rng_bit_generator|top_k)|shape_assertion"
    r"|Sharding|SPMDFullToShardShape|SPMDShardToFullShape|annotate_device_placement|AllocateBuffer"
    r"|tpu_custom_call|mosaic_gpu_v2"
)


class Method:
    """A program of this process, with its parameters on their device."""

    def __init__(self, where: str, exported: Any, params: Mapping[str, Any], spec: MethodSpec):
        self._where, self._exported, self._params = where, exported, params
        self.spec = spec

    @property
    def is_counted(self) -> bool:
        """Whether every loop takes as many turns whatever the inputs hold: so does the time."""
        kept = self._exported.module_kept_var_idx
        inputs = sum(i >= len(self._params) for i in kept)
        return turns.is_counted(self._exported.mlir_module_serialized, inputs)

    def compile(self, batch: int) -> Program:
        """Compile for ``batch`` rows; the result checks its inputs and raises ValueError.

        Raises:
            ArtifactError: XLA cannot.
        """
        import jax

        wanted = {n: (dtype(t), (batch, *t.shape[1:])) for n, t in self.spec.inputs.items()}
        specs = {n: jax.ShapeDtypeStruct(shape, kind) for n, (kind, shape) in wanted.items()}
        params = self._params
        try:
            program = jax.jit(self._exported.call).lower(params, specs).compile()
        except Exception as error:
            raise ArtifactError(
                f"{self._where} does not compile here: {error}; publish it again on this machine"
            ) from error

        def run(x: Arrays) -> dict[str, np.ndarray]:
            if x.keys() != wanted.keys():
                raise ValueError(f"inputs are {', '.join(x) or 'none'}, not {', '.join(wanted)}")
            for name, (kind, shape) in wanted.items():
                value = x[name]
                if value.dtype != kind or value.shape != shape:
                    given = f"{value.dtype}{list(value.shape)}"
                    raise ValueError(f"{name} is {given}, not {kind}{list(shape)}")
            return {name: np.asarray(value) for name, value in program(params, x).items()}

        return run


def dtype(tensor: Tensor) -> np.dtype:
    """Return the dtype of a tensor, bfloat16 too."""
    import ml_dtypes  # noqa: F401  (teaches NumPy the name)

    return np.dtype(tensor.dtype)


def read(
    where: str, program: bytes, spec: MethodSpec, params: Arrays, platform: str | None
) -> Method:
    """Turn bytes back into a method, and its parameters into arrays of a device.

    Args:
        where: Names the method in messages.
        program: What was written, with its sum checked already.
        spec: What the manifest says of it.
        params: The parameters of all methods.
        platform: Where to run: ``cpu``, ``cuda``, ``tpu``; the default is jax's.

    Raises:
        ArtifactError: The program is of another jax, platform or precision, calls what it may
            not call, or is not what the manifest says.
    """
    import jax
    import jax.export

    try:
        exported = jax.export.deserialize(bytearray(program))
        text = exported.mlir_module()
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(
            f"{where} cannot be read by jax {jax.__version__}: {reason}; publish it again with "
            "this version or an older one"
        ) from error
    _refuse_foreign_calls(where, text)
    wanted, found = types(where, exported)
    _same(f"{where}: input", spec.inputs, found.inputs)
    _same(f"{where}: output", spec.outputs, found.outputs)
    own = {name: params[name] for name in wanted if name in params}
    _same(f"{where}: {PARAMS}", {n: _tensor(v) for n, v in own.items()}, wanted)
    every = (*wanted.values(), *found.inputs.values(), *found.outputs.values())
    if any(jax.dtypes.canonicalize_dtype(dtype(t)) != dtype(t) for t in every):
        raise ArtifactError(f"{where} works in 64 bits: start the program with JAX_ENABLE_X64=1")
    device = _device(where, platform, exported.platforms)
    return Method(where, exported, jax.device_put(own, device), spec)


def types(where: str, exported: Any) -> tuple[dict[str, Tensor], MethodSpec]:
    """Return the types of a program's parameters, and of its inputs and outputs.

    Raises:
        ArtifactError: It does not map named rows to named rows, for any number of them.
    """
    import jax

    try:
        (params, inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        rows = [(name, aval, aval.shape[:1]) for d in (inputs, outputs) for name, aval in d.items()]
        kinds = [(name, aval.dtype) for d in (params, inputs, outputs) for name, aval in d.items()]
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(f"{where} does not map a dict of arrays to a dict of arrays") from error
    for name, kind in kinds:
        if kind.kind not in "biuf" and kind.name != "bfloat16":
            raise ArtifactError(f"{where}: {name} is {kind.name}, not integer, float or bool")
    for name, aval, batch in rows:
        is_fixed = all(isinstance(size, int) for size in aval.shape[1:])
        is_batch = str(batch) == str(rows[0][2]) and all(map(jax.export.is_symbolic_dim, batch))
        if not (batch and is_batch and is_fixed):
            raise ArtifactError(
                f"{where}: {name} is {aval.str_short()}, not an array with a row for each row that "
                "comes in"
            )
        if not re.match(FIELD, name):
            raise ArtifactError(f"{where}: {name!r} is no name for a field: letters, digits and _")
    return {n: _tensor(v) for n, v in params.items()}, MethodSpec(
        inputs={n: _tensor(v, rows=True) for n, v in inputs.items()},
        outputs={n: _tensor(v, rows=True) for n, v in outputs.items()},
    )


def _tensor(array: Any, *, rows: bool = False) -> Tensor:
    shape = (-1, *array.shape[1:]) if rows else tuple(array.shape)
    return Tensor(dtype=array.dtype.name, shape=shape)


def _same(where: str, stated: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse a program whose types are not the ones that were written down."""
    for name in (*stated, *found):
        if stated.get(name) != found.get(name):
            raise ArtifactError(
                f"{where} {name} is {_show(stated.get(name))}, and {_show(found.get(name))} in "
                "the program: publish it again"
            )


def _show(tensor: Tensor | None) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}" if tensor else "missing"


def _refuse_foreign_calls(where: str, text: str) -> None:
    """Refuse a program that calls code outside of itself, but for what is on the list."""
    # A call in another form than the printer's usual one has no name here, and is refused too.
    for quoted, plain in re.findall(r'(?<!\w)custom_call\b(?: @(?:"([^"]*)"|([\w.$-]+))\()?', text):
        target = quoted or plain
        if not CUSTOM_CALLS.fullmatch(target):
            raise ArtifactError(
                f"{where} calls {target or 'something without a name'}, which is not on the list "
                "of what a program may call: publish the model without it"
            )


def _device(where: str, platform: str | None, platforms: tuple[str, ...]) -> Any:
    """Return the device to run on; the program must be exported for its platform."""
    import jax

    try:
        device = jax.local_devices(backend=platform)[0]
    except RuntimeError as error:
        raise ArtifactError(f"{where}: this machine has no platform {platform!r}") from error
    kind = device.platform
    if kind == "gpu":
        kind = "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"
    if kind not in platforms:
        raise ArtifactError(
            f"{where} is exported for {', '.join(platforms)}, not for {kind}: choose another "
            "platform, or publish it again for this one"
        )
    return device
