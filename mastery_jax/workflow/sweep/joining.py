"""A cluster of Ray, joined or started here; nothing waits for one that is not there.

Ray itself tries for ten minutes to reach an address where nobody is, and lets a task wait for ever
for what no machine has.
"""

import os
import socket
import warnings
from collections.abc import Mapping
from typing import Any

from mastery_jax.workflow.errors import RunError

__all__ = ["join", "waits_for"]

SECONDS_TO_CONNECT = 30.0
# Of Ray, each of some 40 s; only where a cluster is joined, as one that is started here needs more.
RETRIES = "RAY_NUM_REDIS_GET_RETRIES"


def join(address: str | None, resources: Mapping[str, Any]) -> None:
    """Join the cluster, unless this process is part of one; before signals are listened to.

    Ray takes SIGTERM for itself when it starts; whoever listens later has it back.

    Args:
        address: Of a running cluster, as Ray writes it; by default what ``RAY_ADDRESS`` says, or
            one is started here.
        resources: What a task takes, by Ray's names.

    Raises:
        RunError: Ray is not installed, there is no cluster at the address, what a task takes is
            no number, or no machine of a cluster that is started here has it.
        KeyboardInterrupt: A signal came meanwhile.
    """
    for name, amount in resources.items():
        if isinstance(amount, str):
            raise RunError(f"--resource: {name}={amount} must be a number, as in CPU=2")
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _confirm_reachable(address)
        os.environ.setdefault(RETRIES, "1")  # read when ray is imported
    try:
        import ray
    except ModuleNotFoundError:
        raise RunError("--engine ray needs Ray: pip install 'mastery-jax[cluster]'") from None
    if not ray.is_initialized():
        _start(address)
    if not address and (lacking := _lacking(resources)):
        raise RunError(f"--resource: a task takes {_spelled(resources)}, and {lacking}")


def waits_for(resources: Mapping[str, float]) -> str:
    """Say what tasks wait for that none has begun."""
    lacking = _lacking(resources)
    why = f"; {lacking}: they begin when one joins that has" if lacking else " to be free"
    return f"no task has begun yet: each waits for {_spelled(resources)}{why}"


def _start(address: str | None) -> None:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not address:
        options["include_dashboard"] = False
    try:
        with warnings.catch_warnings():
            # Ray forks to start its own programs at once: nothing of jax runs in between.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            # Without an address Ray would join whatever another user left on this machine.
            ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError) as error:
        raise RunError(f"--address: there is no cluster at {address}: {error}") from None
    except SystemExit:  # what Ray makes of SIGTERM
        raise KeyboardInterrupt from None


def _confirm_reachable(address: str) -> None:
    """Refuse an address where nobody listens; one that is no host and port is left to Ray."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"--address: there is no cluster of Ray at {address}: {why}") from None


def _lacking(resources: Mapping[str, float]) -> str:
    """Return what no machine has, or nothing where one has all of it."""
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(has.get(k, 0) >= v for k, v in resources.items()) for has in machines):
        return ""
    most = {k: max((has.get(k, 0) for has in machines), default=0) for k in resources}
    return f"no machine of the cluster has that (the most that one has: {_spelled(most)})"


def _spelled(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
