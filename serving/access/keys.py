"""The file of keys: made, listed, removed; a key itself is kept nowhere.

A key is ``mastery_`` and 256 random bits. The file holds its SHA-256: a hash made to be slow is for
what people choose, and these bits cannot be guessed.
"""

import contextlib
import datetime
import fcntl
import hashlib
import os
import pathlib
import re
import secrets
import stat
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec

from mastery_jax.workflow import spelling
from mastery_jax.workflow.errors import ConfigError

__all__ = [
    "SCOPES",
    "SECRET_BYTES",
    "Key",
    "UnwritableError",
    "add",
    "digest",
    "first",
    "lifetime",
    "read",
    "remove",
    "secret",
]

PREFIX = "mastery_"  # so that whoever finds a key in a log or a repository knows what it is
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
SECRET = "session.secret"  # beside the file of keys: what sessions are signed with
SECRET_BYTES = 32
OPEN_BITS = 0o037  # the group may read (a mounted secret is so); nobody else may do anything
MOST_BYTES = 2**24

Scope = Literal["predict", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "read", "admin")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class UnwritableError(ConfigError):
    """The folder of the keys is not ours to write."""


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one key."""

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]  # SHA-256, hexadecimal
    scopes: list[Scope]
    rate: Annotated[float, msgspec.Meta(gt=0)] | None = None  # requests/s; None: any number
    burst: Annotated[float, msgspec.Meta(ge=1)] | None = None  # at once, after a pause
    created: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    expires: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[Key]


_DECODER = msgspec.json.Decoder(_File)


def digest(key: bytes) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key).digest()


def lifetime(text: str) -> datetime.timedelta:
    """Return the time that ``90d`` is.

    Raises:
        ConfigError: it is not a number of minutes, hours, days or weeks, or more than a century.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})([mhdw])", text)
    time = datetime.timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
    if time is None or time.days > 36_525:
        raise ConfigError(f"expires: {text!r} came, wanted a time such as 90d, 12h, 30m or 8w")
    return time


def read(path: pathlib.Path) -> list[Key]:
    """Return the keys of a file; of one that is not there, none.

    Raises:
        ConfigError: it is damaged, cannot be read, or others may read or change it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"keys: {path} cannot be read: {error.strerror or error}") from None
    if mode & OPEN_BITS:
        raise ConfigError(
            f"keys: others may read or change {path} (mode {mode:03o}); `chmod 600 {path}`"
        )
    try:
        keys = _DECODER.decode(content).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"keys: {path} is damaged, not a list of keys: {error}") from None
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise ConfigError(f"keys: {path} is damaged: two keys have one {what}")
    return keys


def add(
    path: pathlib.Path,
    name: str,
    scopes: Sequence[str],
    *,
    rate: float | None = None,
    burst: float | None = None,
    expires: datetime.timedelta | None = None,
) -> str:
    """Make a key and return it; nobody can ask for it again.

    Args:
        path: The file of keys; made if it is not there.
        name: Of the key, in lists and logs.
        scopes: What it may be used for, of ``SCOPES``.
        rate: Requests a second; any number by default.
        burst: Requests at once after a pause; by default those of one second.
        expires: How long it is good.

    Raises:
        ConfigError: the name is taken, a field is not what it must be, or the file cannot be read
            or written.
    """
    if not re.match(NAME, name):
        raise ConfigError(
            f"name: {name!r} came, wanted letters, digits, '.', '_', '-', at most 128"
        )
    if rate is None and burst is not None:
        raise ConfigError("burst: a burst needs a rate, the requests a second")
    if rate is not None and burst is None:
        burst = max(rate, 1.0)
    plain = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    given = {
        "name": name,
        "digest": digest(plain.encode()).hex(),
        "scopes": [scope for scope in SCOPES if scope in scopes] or list(scopes),
        "rate": rate,
        "burst": burst,
        "created": now,
        "expires": None if expires is None else now + expires,
    }
    try:
        key = msgspec.convert(given, Key)
    except msgspec.ValidationError as error:
        message, _, field = str(error).partition(" - at `$.")
        field = field.rstrip("`")
        came = f", and {given[field]} came" if field in given else ""
        raise ConfigError(f"{field}: {message}{came}") from None
    if not scopes:
        raise ConfigError(f"scopes: none came, wanted some of: {', '.join(SCOPES)}")
    with _changing(path) as keys:
        if any(each.name == name for each in keys):
            raise ConfigError(f"name: there is a key {name!r} already; remove it, or take another")
        keys.append(key)
    return plain


def remove(path: pathlib.Path, name: str) -> None:
    """Take a key away; servers that read the file refuse it within a second.

    Raises:
        ConfigError: there is no such key, or the file cannot be read or written.
    """
    with _changing(path) as keys:
        found = [key for key in keys if key.name == name]
        if not found:
            known = [key.name for key in keys]
            there = ", ".join(known) or "none"
            raise ConfigError(
                f"name: there is no key {name!r}{spelling.hint(name, known)} (keys: {there})"
            )
        keys.remove(found[0])


def first(path: pathlib.Path) -> str | None:
    """Make a key for everything where there is none yet; return it, or ``None``.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    return None if read(path) else add(path, "first", SCOPES)


def secret(path: pathlib.Path) -> bytes:
    """Return what sessions are signed with; made beside the file of keys at the first start.

    Raises:
        ConfigError: it is damaged, others may read it, or it cannot be written.
    """
    place = path.with_name(SECRET)
    with _writing(path), _locked(path):
        try:
            mode, content = stat.S_IMODE(place.stat().st_mode), place.read_bytes()
        except FileNotFoundError:
            mode, content = 0o600, secrets.token_bytes(SECRET_BYTES)
            _write(place, content)
    if len(content) != SECRET_BYTES or mode & OPEN_BITS:
        raise ConfigError(
            f"keys: {place} is damaged, or others may read it; remove it: sessions begin anew"
        )
    return content


@contextlib.contextmanager
def _changing(path: pathlib.Path) -> Iterator[list[Key]]:
    """Give the keys; write them back unless something is raised. One process at a time."""
    with _writing(path), _locked(path):
        keys = read(path)
        yield keys
        content = msgspec.json.format(msgspec.json.encode(_File(keys)), indent=2)
        _write(path, content + b"\n")


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    """Make the folder, and turn a failure to write into one sentence."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UnwritableError(
            f"keys: {path} cannot be written: {error.strerror or error}"
        ) from None


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Wait until no other process changes the keys: each of them takes a moment."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: pathlib.Path, content: bytes) -> None:
    """Replace a file in one move; nobody else can read it, not even while it is written."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
