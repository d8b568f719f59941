"""What is seen of folders: that one holds no model, that the files of another have changed."""

import pathlib

from mastery_jax.workflow import manifest

__all__ = ["lack", "stamp"]


def lack(models: pathlib.Path) -> str:
    """Say that a folder holds no model, and what to do.

    Args:
        models: Which can be read.
    """
    place = models.absolute()
    if (place / manifest.MANIFEST).is_file():
        what, meant = f"version {place.name} of {place.parent.name}", place.parent.parent
    elif manifest.numbers(place):
        what, meant = f"the versions of {place.name}", place.parent
    else:
        return f"{models} has no model; `mastery export` makes one"
    return f"{models} has no model, but is {what}: --models {meant} was probably meant"


def stamp(folder: pathlib.Path) -> object:
    """Return what differs once a file of the folder is touched; None where it cannot be read."""
    try:
        found = {path.name: path.stat() for path in folder.iterdir()}
    except OSError:
        return None
    # A copy may have the time and the number of what it stands in for, but not the time of change.
    return {name: (stat.st_size, stat.st_ctime_ns, stat.st_ino) for name, stat in found.items()}
