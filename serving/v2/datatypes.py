"""The protocol's names of number types, and NumPy's."""

import numpy as np

__all__ = ["NAMES", "name", "named"]

NAMES = {
    "bool": "BOOL",
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    "bfloat16": "BF16",
}
KINDS = {protocol: ours for ours, protocol in NAMES.items()}


def name(kind: np.dtype | str) -> str:
    """Return the protocol's name of a dtype."""
    return NAMES[str(kind)]


def named(protocol: str) -> np.dtype | None:
    """Return the dtype of a name, little-endian; None for BYTES and what is unknown."""
    import ml_dtypes  # noqa: F401  (teaches NumPy bfloat16)

    kind = KINDS.get(protocol)
    return None if kind is None else np.dtype(kind).newbyteorder("<")
