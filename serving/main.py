"""Processes that serve a folder of models until they are told to stop."""

import sys

from mastery_jax.workflow.errors import ConfigError
from serving.access import keys
from serving.access.terms import Access
from serving.process import supervisor, worker
from serving.process.door import listen
from serving.process.team import Team
from serving.settings import Settings, check

__all__ = ["run"]


def run(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; finish the requests under way; return the exit status.

    Raises:
        ConfigError: the folder is missing, or the address cannot be had.
    """
    check(settings)
    if settings.workers > 1 and sys.platform == "win32":
        raise ConfigError("workers: several need a socket that they inherit; Windows has none")
    with listen(settings.host, settings.port) as door:
        make_first_key(settings.access)
        if settings.workers > 1:
            return supervisor.supervise(settings, door)
        return worker.serve(settings, door, Team())


def make_first_key(access: Access) -> None:
    """Make a key where keys are asked for and there is none; say it once, and to no log.

    Raises:
        ConfigError: the file of keys cannot be read or written.
    """
    key = None if access.keys is None else keys.first(access.keys)
    if key is not None:
        sys.stderr.write(f"the first key, for everything, shown only now: {key}\n")
        sys.stderr.flush()
