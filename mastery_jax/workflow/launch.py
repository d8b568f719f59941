"""What a program must set before jax is imported, and a library must not.

The command line, the server, the tests and the benchmarks call :func:`prepare` first. Whatever
the environment already says stands, and :func:`record` writes down what was in force.
"""

import os
import pathlib
import sys

__all__ = ["PLACES", "cache_folder", "cores", "prepare", "record"]

# XLA compiles a whole loop into one kernel when a step reaches fewer bytes than this; the default
# of 1 KiB runs small loops (a filter, a sampler, a pool of integrals) as many calls, 3-30x slower.
SMALL_LOOP = "xla_cpu_small_while_loop_byte_threshold"
SMALL_LOOP_BYTES = 2_000_000

# XLA splits large products by the size of its thread pool, so that it decides the bits of a sum.
# Left alone it is the larger of cores and host devices; this keeps it the same for either, up to
# as many host devices.
LEAST_THREADS = 4

PLACES = ("JAX_COMPILATION_CACHE_DIR",)  # where things are kept, which changes no number
_RECORDED = (
    "XLA_FLAGS",
    "NPROC",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    *PLACES,
)


def cache_folder() -> pathlib.Path:
    """Return where compiled programs are kept: ``mastery_jax`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "mastery_jax" / "xla"


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def prepare(*, host_devices: int | None = None, sync_dispatch: bool = False) -> None:
    """Set the environment that jax reads when it is imported.

    Args:
        host_devices: Split the CPU into this many devices; ``None`` leaves it whole.
        sync_dispatch: Run CPU programs in the calling thread: a call of some ten microseconds
            costs three times as much when it is handed to another. Imports jax.

    Raises:
        RuntimeError: jax is already imported, so that the settings would have no effect.
    """
    if "jax" in sys.modules:
        raise RuntimeError("launch.prepare: jax is already imported; call prepare first")
    flags = os.environ.get("XLA_FLAGS", "")
    if SMALL_LOOP not in flags:
        flags += f" --xla_backend_extra_options={SMALL_LOOP}={SMALL_LOOP_BYTES}"
    if host_devices and "xla_force_host_platform_device_count" not in flags:
        flags += f" --xla_force_host_platform_device_count={host_devices}"
    os.environ["XLA_FLAGS"] = flags.strip()
    os.environ.setdefault("NPROC", str(max(cores(), host_devices or 1, LEAST_THREADS)))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    # Of a program from the cache jaxlib 0.10.1 says at length that its tuning hints are no
    # instructions of this machine. What fails is raised, and needs no line of a log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sync_dispatch:
        import jax

        jax.config.update("jax_cpu_enable_async_dispatch", False)  # no variable sets it


def record() -> dict[str, str]:
    """Return the settings in force, for a run's record."""
    return {name: os.environ[name] for name in _RECORDED if name in os.environ}
