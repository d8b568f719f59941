"""The keys of the file in memory, looked up by digest, read again when the file changes."""

import hmac
import logging
import pathlib
import threading
import time
from collections.abc import Mapping
from typing import Self

from mastery_jax.workflow.errors import ConfigError
from serving.access import keys
from serving.access.bucket import Bucket
from serving.access.keys import SCOPES, Key

__all__ = ["BITS", "Holder", "Ring"]

LOG = logging.getLogger(__name__)
BITS = {scope: 1 << place for place, scope in enumerate(SCOPES)}
LONGEST = 256  # bytes of a key that are worth a digest
PERIOD = 1.0  # seconds between two looks at the file
NOBODY = b"\0" * 32


class Holder:
    """Who holds a key: what they may ask, and how much of it they have asked."""

    __slots__ = ("bucket", "digest", "expires", "in_flight", "key", "mask", "name", "routing")

    def __init__(self, key: Key, folder: pathlib.Path | None = None) -> None:
        self.key, self.name = key, key.name
        self.digest = bytes.fromhex(key.digest)
        self.mask = sum({BITS[scope] for scope in key.scopes})
        # By the wall clock, as people mean it.
        self.expires = float("inf") if key.expires is None else key.expires.timestamp()
        self.bucket = bucket(key, folder)
        self.in_flight = 0
        # Traffic that sticks: a holder sees one version, and a log of routing keys names nobody.
        self.routing = keys.digest(key.name.encode()).hex()[:32].encode()


def bucket(key: Key, folder: pathlib.Path | None) -> Bucket | None:
    """Return the bucket of a key's rate, which workers with one folder share."""
    if key.rate is None:
        return None
    sizes = key.rate, key.burst or max(key.rate, 1.0), time.monotonic()
    if folder is None:
        return Bucket(*sizes)
    from serving.access.shared import Shared

    name = keys.digest(repr(key).encode()).hex()  # a key that changes begins anew
    return Shared(*sizes, folder / f"{name}.bucket")


class Ring:
    """All holders; what is removed from the file is refused within a second."""

    def __init__(self, path: pathlib.Path, folder: pathlib.Path | None = None) -> None:
        """Read the file.

        Args:
            path: Of the keys.
            folder: What the workers of one server share; None where there is one process.

        Raises:
            ConfigError: it is damaged, cannot be read, or others may read or change it.
        """
        self.path, self._folder = path, folder
        self._seen = self._stamp()
        self._by_digest: Mapping[bytes, Holder] = {}
        self._by_name: Mapping[str, Holder] = {}
        self._put(keys.read(path))
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="keys", daemon=True)

    def __enter__(self) -> Self:
        """Look at the file once a second, in a thread of its own: a disk may hang."""
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def find(self, key: bytes) -> Holder | None:
        """Return who holds a key; ``None`` where nobody does, or does no more."""
        if len(key) > LONGEST:
            return None
        digest = keys.digest(key)
        holder = self._by_digest.get(digest)
        kept = NOBODY if holder is None else holder.digest
        if not hmac.compare_digest(kept, digest) or holder is None:
            return None
        return holder if time.time() < holder.expires else None

    def named(self, name: str) -> Holder | None:
        """Return the holder of a name, whose key is still good."""
        holder = self._by_name.get(name)
        return holder if holder is not None and time.time() < holder.expires else None

    def refresh(self) -> None:
        """Read the file again if it has changed; one that cannot be read changes nothing."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            found = keys.read(self.path)
        except ConfigError as error:
            LOG.error("%s; the keys that were read before are still good", error)
            return
        self._put(found)
        if found:
            LOG.info("%s was read again, keys: %d", self.path, len(found))
        else:
            LOG.warning("%s is gone or empty: nobody has a key now", self.path)

    def _look(self) -> None:
        while not self._over.wait(PERIOD):
            try:
                self.refresh()
            except Exception:
                LOG.exception("the keys could not be looked at")

    def _put(self, found: list[Key]) -> None:
        """Hold these keys; whose key is as before keeps what is left of the rate."""
        before = {holder.name: holder for holder in self._by_digest.values()}
        holders = [
            before[key.name]
            if key.name in before and before[key.name].key == key
            else Holder(key, self._folder)
            for key in found
        ]
        self._by_name = {holder.name: holder for holder in holders}
        self._by_digest = {holder.digest: holder for holder in holders}

    def _stamp(self) -> tuple[int, ...] | str:
        """Return what tells one state of the file from another."""
        try:
            found = self.path.stat()
        except OSError as error:
            return str(error)
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
