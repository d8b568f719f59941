"""Event files that TensorBoard reads, in ``events/`` of a run, ``events/0007/`` of a sweep's lane.

A file is a series of records: length, masked CRC-32C of the length, an ``Event`` of
tensorboardX's protocol buffers, masked CRC-32C of that. It is opened for every chunk of rows and
closed again, so that a thousand lanes keep no thousand files open, and what was logged can be
seen at once.
"""

import functools
import importlib
import pathlib
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mastery_jax.workflow.track.tracker import Row, Scalar, Whole

__all__ = ["open"]

_STATUS = {"failed": "STATUS_FAILURE", "interrupted": "STATUS_UNKNOWN"}


def open(whole: Whole) -> "_Session":
    """Return a session; nothing is written yet."""
    import tensorboardX  # noqa: F401

    return _Session(whole.folder / "events")


class _Session:
    def __init__(self, folder: pathlib.Path):
        self._folder = folder

    def lane(self, number: int | None) -> "_Lane":
        return _Lane(self._folder if number is None else self._folder / f"{number:04d}")

    def close(self, state: str) -> None:
        """Nothing is open."""


class _Lane:
    def __init__(self, folder: pathlib.Path):
        self._folder, self._path = folder, folder
        self._config: dict[str, Scalar] = {}
        self._step = 0

    def start(self, config: Mapping[str, Scalar], first: int) -> None:
        from tensorboardX.summary import hparams

        Event, Log = _proto("event").Event, _proto("event").SessionLog

        self._config, self._step = dict(config), first
        self._folder.mkdir(parents=True, exist_ok=True)
        before = len(list(self._folder.glob("events.out.tfevents.*")))
        # They are read in the order of their names, and two may begin within a second.
        name = f"events.out.tfevents.{int(time.time()):010d}.{before:04d}.{socket.gethostname()}"
        self._path = self._folder / name
        _, begin, _ = hparams(self._config, {})
        _append(
            self._path,
            Event(file_version="brain.Event:2"),
            # TensorBoard forgets what earlier files have of this step and later ones.
            Event(step=first + 1 if first else 0, session_log=Log(status=Log.START)),
            Event(summary=begin),
        )

    def log(self, rows: Sequence[Row]) -> None:
        Event, Summary = _proto("event").Event, _proto("summary").Summary

        def event(row: Row) -> Any:
            named = ((name, value) for name, value in row.items() if name != "step")
            values = [Summary.Value(tag=name, simple_value=value) for name, value in named]
            return Event(step=row["step"], summary=Summary(value=values))

        self._step = rows[-1]["step"]
        _append(self._path, *map(event, rows))

    def artifact(self, path: pathlib.Path) -> None:
        """Show a picture; other files lie in the folder already."""
        if path.suffix != ".png":
            return
        Event, Summary = _proto("event").Event, _proto("summary").Summary
        content = path.read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        image = Summary.Image(
            width=width, height=height, colorspace=4, encoded_image_string=content
        )
        value = Summary.Value(tag=f"{path.parent.name}/{path.stem}", image=image)
        _append(self._path, Event(step=self._step, summary=Summary(value=[value])))

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        """Name the metrics for the table of hyperparameters, and say how it ended."""
        from tensorboardX.summary import hparams

        Event = _proto("event").Event
        columns, _, end = hparams(self._config, dict(metrics))
        _set_status(end, _STATUS.get(state, "STATUS_SUCCESS"))
        _append(self._path, Event(summary=columns), Event(summary=end))


def _proto(file: str) -> Any:
    """Return a module of messages, whose classes are made when it is imported."""
    return importlib.import_module(f"tensorboardX.proto.{file}_pb2")


def _set_status(end: Any, name: str) -> None:
    """Have the end of a session, which tensorboardX writes as a success, say how it was."""
    plugin = end.value[0].metadata.plugin_data
    content = _proto("plugin_hparams").HParamsPluginData.FromString(plugin.content)
    content.session_end_info.status = _proto("api").Status.Value(name)
    plugin.content = content.SerializeToString()


def _append(path: pathlib.Path, *events: Any) -> None:
    now, parts = time.time(), []
    for event in events:
        event.wall_time = now
        content = event.SerializeToString()
        parts += [_head(len(content)), content, _masked(content)]
    with path.open("ab") as file:
        file.write(b"".join(parts))


@functools.cache
def _head(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + _masked(packed)


def _masked(content: bytes) -> bytes:
    from tensorboardX.crc32c import crc32c

    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
