"""A folder that holds no model, and which one was probably meant."""

import pathlib

from mastery_jax.workflow import manifest

__all__ = ["lack"]


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
