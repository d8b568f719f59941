"""What is chosen by name: the name must be spelled as it is, and its numbers be those it takes.

A wrong name is answered with the nearest, by the longest common parts of both.

Source: Ratcliff & Metzener (1988), *Pattern Matching: the Gestalt Approach*, Dr. Dobb's
Journal 13(7).
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["check"]


def check(
    where: str, name: str, formulas: Mapping[str, Callable[..., Any]], numbers: Mapping[str, Any]
) -> None:
    """Insist that a formula has this name, and takes these numbers as keywords.

    Args:
        where: ``module.function``, which begins the sentence.
        name: The formula's name.
        formulas: Every formula by its name.
        numbers: What it is to be given.

    Raises:
        ValueError: the name is none of those, a number is not taken, or one is lacking.

    Example:
        >>> check("m.make", "hal", {"half": lambda x, *, share: x * share}, {"share": 0.5})
        Traceback (most recent call last):
        ValueError: m.make: name is 'hal', not 'half' or another of half
    """
    if name not in formulas:
        near = next(iter(difflib.get_close_matches(str(name), list(formulas), n=1)), None)
        meant = f"{near!r} or another of" if near else "one of"
        raise ValueError(f"{where}: name is {name!r}, not {meant} {', '.join(sorted(formulas))}")
    given = inspect.signature(formulas[name]).parameters.values()
    takes = [p for p in given if p.kind is p.KEYWORD_ONLY]
    for number in numbers:
        if number not in [p.name for p in takes]:
            raise ValueError(
                f"{where}: {name} has no {number!r}, but {', '.join(p.name for p in takes)}"
            )
    for p in takes:
        if p.default is p.empty and p.name not in numbers:
            raise ValueError(f"{where}: {name} needs {p.name!r}")
