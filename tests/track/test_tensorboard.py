"""Event files, read back record by record, with their sums."""

import math
import struct

import matplotlib.pyplot as plt
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from mastery_jax.workflow.track import writer
from tests.track.fakes import Sayings
from tests.track.rooms import ROWS, feed


def events(folder):
    """Return the events of all files in a folder, in their order."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack("<Q", content[at : at + 8])
            body = content[at + 12 : at + 12 + length]
            for part, where in ((content[at : at + 8], at + 8), (body, at + 12 + length)):
                crc = crc32c(part)
                masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8 & 0xFFFFFFFF
                assert content[where : where + 4] == struct.pack("<I", masked)
            found.append(Event.FromString(body))
            at += 16 + length
    return found


def scalars(folder):
    return [
        (event.step, value.tag, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    ]


def hparams(folder):
    return [
        HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in events(folder)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    ]


def test_rows_come_back(tmp_path):
    assert feed("tensorboard", tmp_path / "toy" / "x") == []
    folder = tmp_path / "toy" / "x" / "events"
    found = scalars(folder)
    assert [(step, tag) for step, tag, _ in found] == [
        *((step, "loss") for step in (1, 2, 3, 4)),
        (4, "test/genauigkeit ü"),
    ]
    values = [1, math.nan, math.inf, 0.25, 0.5]
    assert [value for *_, value in found] == pytest.approx(values, nan_ok=True)
    assert events(folder)[0].file_version == "brain.Event:2"


def test_hyperparameters_of_each_lane(tmp_path):
    feed("tensorboard", tmp_path / "toy" / "x", lanes=(0, 12), state="failed")
    start, columns, end = hparams(tmp_path / "toy" / "x" / "events" / "0012")
    values = start.session_start_info.hparams
    assert values["seed"].number_value == 12
    assert values["model.kind"].string_value == "mlp"
    assert values["model.widths"].string_value == "[32,64]"
    assert [each.name.tag for each in columns.experiment.metric_infos] == ["test/genauigkeit ü"]
    assert end.session_end_info.status == Status.Value("STATUS_FAILURE")
    assert len(scalars(tmp_path / "toy" / "x" / "events" / "0000")) == 5


def test_a_resumed_run_goes_on_in_a_file_that_replaces_what_is_measured_again(tmp_path):
    folder = tmp_path / "toy" / "x"
    feed("tensorboard", folder, state="interrupted")
    feed("tensorboard", folder, rows=[{"step": step, "loss": 0.1} for step in (3, 4, 5)], first=2)
    starts = [e.step for e in events(folder / "events") if e.session_log.status == SessionLog.START]
    assert starts == [0, 3]
    assert [step for step, tag, _ in scalars(folder / "events") if tag == "loss"] == [
        *(1, 2, 3, 4),
        *(3, 4, 5),
    ]
    assert len(list((folder / "events").iterdir())) == 2


def test_pictures_are_shown_and_other_files_are_not(tmp_path):
    (tmp_path / "plots").mkdir()
    figure = plt.figure(figsize=(2, 1), dpi=10)
    figure.savefig(tmp_path / "plots" / "loss.png")
    plt.close(figure)
    (tmp_path / "config.yaml").write_text("a: 1\n")
    said = Sayings()
    with writer.open(["tensorboard"], folder=tmp_path / "toy" / "x", progress=said) as tracked:
        lane = tracked.lane(None, {})
        lane.log(ROWS)
        lane.artifact(tmp_path / "plots" / "loss.png")
        lane.artifact(tmp_path / "config.yaml")
        lane.finish("finished", {})
    assert said.lines == []
    values = [(e.step, v) for e in events(tmp_path / "toy/x/events") for v in e.summary.value]
    ((step, shown),) = [(step, v) for step, v in values if v.WhichOneof("value") == "image"]
    assert (step, shown.tag, shown.image.width, shown.image.height) == (4, "plots/loss", 20, 10)
