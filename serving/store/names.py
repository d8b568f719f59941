"""What a prediction is called.

``d16db62c2a31-0c5a1e07f3b29d84e6``: the start of the process that made it, a counter, and sixteen
letters that nobody guesses. Whoever has the id may say what was true, and is told what was
predicted: it must not follow from the id of another prediction. The letters are a keyed hash of
the counter, which costs a microsecond; before they were, ids ended with the counter.
"""

import hashlib
import itertools
import re
import secrets

from litestar.exceptions import ClientException

from serving.errors import shown

__all__ = ["Names", "check_id"]

ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{1,27}")  # at most what the column takes


class Names:
    """The ids of the predictions of one process."""

    def __init__(self) -> None:
        self._prefix, self._key = secrets.token_hex(6), secrets.token_bytes(32)
        self._numbers = itertools.count()

    def __next__(self) -> str:
        """Return one that was never there."""
        number = next(self._numbers)
        tail = hashlib.blake2b(b"%d" % number, digest_size=8, key=self._key).hexdigest()
        return f"{self._prefix}-{number:x}{tail}"


def check_id(text: str) -> str:
    """Return the id of a prediction.

    Raises:
        ClientException: it has not the form of one.
    """
    if not ID.fullmatch(text):
        example = "d16db62c2a31-0c5a1e07f3b29d84e6"
        raise ClientException(f"prediction id: {shown(text)} came, wanted one such as {example}")
    return text
