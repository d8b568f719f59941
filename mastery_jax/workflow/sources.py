"""What code runs: a digest of every module, the revision, and the patch of what is not committed.

A module counts where the experiment brought it in: its own package, and whatever else is imported
from outside the standard library and the installed packages. This package counts as one.
"""

import functools
import hashlib
import os
import pathlib
import subprocess
import sys
import sysconfig
from typing import Any, NamedTuple

__all__ = ["Git", "digests", "git"]

HOUSE = "mastery_jax"
MOST_BYTES = 2**20  # of a patch
MOST_BYTES_OF_A_FILE = 2**18  # that git does not know yet
TEXTS = (".cfg", ".ini", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml")  # never .env or data
_DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative"),
    *("--src-prefix=a/", "--dst-prefix=b/", "HEAD"),
)


class Git(NamedTuple):
    """The revision, and what lies above it."""

    revision: str | None  # none outside of a repository
    is_dirty: bool | None
    patch: bytes  # for ``git apply``: changes, and new files of code or settings
    is_cut: bool
    left_out: tuple[str, ...]  # new files that are too large, or no text

    def to_json(self, file: str) -> dict[str, Any]:
        """Return what a record says of it; ``file`` is where the patch is kept."""
        said: dict[str, Any] = {"revision": self.revision, "is_dirty": self.is_dirty}
        if self.is_dirty:
            size = len(self.patch)
            said["patch"] = {"file": file, "bytes": size, "is_cut": self.is_cut}
            said["patch"]["left_out"] = list(self.left_out)
        return said


def digests(experiment: str) -> dict[str, str]:
    """Return the SHA-256 of the file of every module that counts, by the module's name.

    Args:
        experiment: The module of the experiment, which is imported.
    """
    found = {HOUSE: _house()}
    package = experiment.partition(".")[0]
    for name, module in sorted(sys.modules.items()):
        top, file = name.partition(".")[0], getattr(module, "__dict__", {}).get("__file__")
        if top in (HOUSE, "__main__", "__mp_main__") or not isinstance(file, str):
            continue
        if top == package or not _is_installed(file):
            try:
                found[name] = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
            except OSError:  # made while it runs, or removed
                continue
    return found


def _house() -> str:
    """Return one digest of the sources of this package."""
    root, whole = str(pathlib.Path(__file__).parents[1]), hashlib.sha256()
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                path = os.path.join(folder, name).removeprefix(root).replace(os.sep, "/")
                whole.update(f"{path} {len(content)}\n".encode())
                whole.update(content)
    return whole.hexdigest()


def _is_installed(file: str) -> bool:
    """Say whether a module's file comes with Python or with a package that has a version."""
    packages = (f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
    if any(folder in file for folder in packages) or file.startswith(_standard()):
        return True
    return os.path.realpath(file).startswith(_standard())


@functools.cache
def _standard() -> tuple[str, ...]:
    """Return the folders of the standard library, as they are written and as they are."""
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    folders |= {os.path.realpath(folder) for folder in folders}
    return tuple(folder + os.sep for folder in sorted(folders))


def git(folder: pathlib.Path | None = None) -> Git:
    """Look at the repository that the program was started in.

    Args:
        folder: A run's, whose own files are no part of the code; nor are those of other runs.
    """

    def ask(*words: str) -> bytes:
        return subprocess.run(
            ["git", *words], capture_output=True, timeout=10, check=True, stdin=subprocess.DEVNULL
        ).stdout

    try:
        revision, _, top = ask("rev-parse", "HEAD", "--show-toplevel").decode().partition("\n")
        root = pathlib.Path(top.rstrip("\n"))
        patch = ask(*_DIFF)
        new = ask("-C", str(root), "ls-files", "--others", "--exclude-standard", "-z")
    except (OSError, ValueError, subprocess.SubprocessError):
        return Git(None, None, b"", False, ())
    left_out = []
    for name in filter(None, new.decode(errors="surrogateescape").split("\0")):
        path = root / name
        if path.suffix not in TEXTS or _is_result(path, folder):
            continue
        if (content := _text(path)) is None:
            left_out.append(name)
        else:
            patch += _created(name, content)
    whole = patch if len(patch) <= MOST_BYTES else _cut(patch)
    return Git(revision, bool(patch or left_out), whole, whole is not patch, tuple(left_out))


def _is_result(path: pathlib.Path, folder: pathlib.Path | None) -> bool:
    """Say whether a file was written by a run or a sweep."""
    is_own = folder is not None and path.parent == folder.resolve()
    return is_own or (path.parent / "environment.json").exists()


def _text(path: pathlib.Path) -> bytes | None:
    """Return the content of a new file that a patch can hold."""
    try:
        if path.stat().st_size > MOST_BYTES_OF_A_FILE:
            return None
        content = path.read_bytes()
        content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return None if b"\0" in content or not str(path).isprintable() else content


def _created(name: str, content: bytes) -> bytes:
    """Return the patch that makes a file."""
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n"
    if not content:
        return f"{head}index 0000000..e69de29\n".encode()
    lines = content.removesuffix(b"\n").split(b"\n")
    marked = b"".join(b"+" + line + b"\n" for line in lines)
    if not content.endswith(b"\n"):
        marked += b"\\ No newline at end of file\n"
    return f"{head}--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n".encode() + marked


def _cut(patch: bytes) -> bytes:
    """Return the whole lines that a patch may hold, and a last one that says so."""
    kept = patch[: patch.rfind(b"\n", 0, MOST_BYTES) + 1]
    return kept + f"# cut here: {len(kept):,} of {len(patch):,} bytes are kept\n".encode()
