"""What a user can mend: one exception type per door, each message one clear sentence.

A message names the field, what came and what was wanted. The command line prints it and exits
with status 2; nothing has been written.
"""

__all__ = ["ArtifactError", "ConfigError", "DataError", "RunError", "UserError"]


class UserError(ValueError):
    """The base of all of them, for whoever prints the message."""


class ConfigError(UserError):
    """A config file, an override or a swept value."""


class DataError(UserError):
    """A data file, or what is in it."""


class RunError(UserError):
    """A folder of a run or a sweep: missing, damaged, finished, held by another process."""


class ArtifactError(UserError):
    """An exported model: missing, truncated, changed, of another version."""
