"""What an operation costs in joules, on four classes of device.

    J = e (flops + t · transcendentals) + b · bytes, the bytes only where the data outgrow the cache

e is the energy of the whole device over the floating-point operations that it does, so that
instructions, registers and caches are in it. Each figure is the middle of a range that a class
spans: a member of the class may need ``spread`` times as much, or as little.

Source: Horowitz (2014), *Computing's energy problem (and what we can do about it)*, ISSCC, figures
1.1.8-1.1.9 (45 nm, 0.9 V: 0.9 pJ an add and 3.7 pJ a multiply of 32 bits, 70 pJ an instruction,
1.3 to 2.6 nJ for 64 bits of DRAM); O'Connor et al. (2017), *Fine-Grained DRAM*, MICRO-50 (3.9 pJ
a bit of HBM2); Moshier (1989), *Methods and Programs for Mathematical Functions* (polynomials of
exp and sin); what else a class is built from is in its ``source``.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mastery_jax.numerics.quadrature.energy.operations import Operations

__all__ = ["DEVICES", "Device", "find", "flop_joules", "joules"]


class Device(NamedTuple):
    """What operations cost on a device; make your own from what you measured."""

    name: str
    half_joules: float  # per floating-point operation of 16 bits
    single_joules: float  # of 32 bits
    double_joules: float  # of 64 bits
    byte_joules: float  # per byte from memory behind the cache
    cache_bytes: float  # data up to this size stay where their cost is in that of the operations
    spread: float  # a member of the class may need this many times more, or less
    source: str  # published figures, and how these follow
    transcendental_flops: float = 20.0  # one exp, log, sin, … in operations


DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        "iot": Device(
            name="iot",
            half_joules=1e-9,
            single_joules=1e-9,
            double_joules=2e-8,
            byte_joules=1.5e-10,
            cache_bytes=128e3,
            spread=3,
            source="Microcontrollers with a Cortex-M4F. STM32L476 datasheet (ST, 2015): 100 uA per "
            "MHz in run mode, 128 kB of RAM, so 0.3 nJ a cycle at 3 V; Cortex-M4 technical "
            "reference manual (Arm, 2010): an add or multiply of 32 bits is one cycle. "
            "Three cycles with load and store: 1 nJ. 64 bits are done in software, some 60 "
            "cycles; 16 bits are converted to 32. A byte: a load of 4 in 2 cycles.",
        ),
        "mobile": Device(
            name="mobile",
            half_joules=2e-11,
            single_joules=4e-11,
            double_joules=8e-11,
            byte_joules=1.6e-10,
            cache_bytes=4e6,
            spread=4,
            source="Processor cores of phones and tablets. Horowitz (2014): an instruction at 70 "
            "pJ with one to four lanes of 0.9 to 3.7 pJ: 19 to 74 pJ, middle 40 pJ; twice that at "
            "64 bits and half at 16, by lanes. Hübner et al. (2025), arXiv 2502.05317, measured 5 "
            "pJ at best (200 GFLOPS/W of 32 bits, matrix products on the GPU of M1 to M4). A "
            "byte: the lesser DRAM figure of Horowitz.",
        ),
        "edge": Device(
            name="edge",
            half_joules=1e-11,
            single_joules=2e-11,
            double_joules=8e-11,
            byte_joules=1.6e-10,
            cache_bytes=4e6,
            spread=3,
            source="Modules of 10 to 60 W with a small GPU. Jetson Orin Nano datasheet (NVIDIA, "
            "2023): 1024 cores, 625 MHz, 15 W: 1.3 TFLOPS of 32 bits, 12 pJ at peak; at some half "
            "of it 20 pJ. That GPU has few units of 64 bits: they run on the cores, as mobile. A "
            "byte: as mobile.",
        ),
        "server": Device(
            name="server",
            half_joules=5e-12,
            single_joules=1e-11,
            double_joules=2e-11,
            byte_joules=3e-11,
            cache_bytes=50e6,
            spread=3,
            source="Machines with data-center GPUs. Green500 lists, Linpack of 64 bits on whole "
            "machines: first places 26 GFLOPS/W (November 2020) and 73 GFLOPS/W (November 2025): "
            "38 and 14 pJ, middle 20 pJ; half as much at 32 bits, which is H100 at peak (67 TFLOPS "
            "at 700 W, datasheet, NVIDIA, 2023). A byte: HBM2 at 3.9 pJ a bit (O'Connor, 2017).",
        ),
    }
)
"""The classes that are known by name."""


def find(where: str, device: str | Device) -> Device:
    """Return a device by the name of its class, or the one that was given. O(1).

    Args:
        where: Of the function that asks, for its error.
        device: A key of ``DEVICES``, or a ``Device``.

    Raises:
        ValueError: no class of that name, or a figure that is no finite, positive number.

    Example:
        >>> find("here", "iot").single_joules
        1e-09
    """
    if isinstance(device, str):
        if device not in DEVICES:
            raise ValueError(f"{where}: device is {device!r}, not one of {', '.join(DEVICES)}")
        return DEVICES[device]
    for field in ("half_joules", "single_joules", "double_joules", "transcendental_flops"):
        value = getattr(device, field)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{where}: device.{field} is {value}, not finite and above 0")
    for field, least in (("byte_joules", 0), ("cache_bytes", 0), ("spread", 1)):
        value = getattr(device, field)
        if not (math.isfinite(value) and value >= least):
            raise ValueError(f"{where}: device.{field} is {value}, not finite and at least {least}")
    return device


def flop_joules(device: Device, dtype: Any) -> float:
    """Return the joules of one floating-point operation of a dtype. O(1).

    Args:
        device: Its figures.
        dtype: A float of 2, 4 or 8 bytes.

    Raises:
        ValueError: a dtype that is none.

    Example:
        >>> flop_joules(DEVICES["server"], "double")
        2e-11
    """
    by_bytes = {2: device.half_joules, 4: device.single_joules, 8: device.double_joules}
    size = np.dtype(dtype).itemsize
    if not jnp.issubdtype(dtype, jnp.floating) or size not in by_bytes:
        raise ValueError(
            f"devices.flop_joules: dtype is {np.dtype(dtype)}, not a float of 2 to 8 bytes"
        )
    return by_bytes[size]


def joules(device: Device, operations: Operations, *, dtype: Any) -> float:
    """Return what operations cost on a device, modelled. O(1).

    Args:
        device: Its figures.
        operations: Of one call, or of many.
        dtype: Of their numbers.

    Returns:
        Joules. Bytes are charged where the data that the integrand holds exceed the cache.

    Raises:
        ValueError: a dtype that is no float.

    Example:
        >>> joules(DEVICES["iot"], Operations(flops=2.0), dtype="single")
        2e-09
    """
    flops = operations.flops + device.transcendental_flops * operations.transcendentals
    moved = operations.bytes_moved if operations.bytes_held > device.cache_bytes else 0.0
    return flops * flop_joules(device, dtype) + moved * device.byte_joules
