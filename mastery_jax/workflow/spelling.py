"""What was probably meant by a name that is not known."""

import difflib
from collections.abc import Iterable

__all__ = ["hint", "nearest"]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name most like a word, ``None`` where none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def hint(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean x?"``, or nothing where no known name is like the word."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""
