"""A label names one version that is whole; every move is written down."""

import errno
import getpass
import json
import os
import socket
import threading

import pytest

from mastery_jax.workflow import files, labels
from mastery_jax.workflow.errors import ArtifactError, RunError
from tests.published import embed, put


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for _ in range(3):
        put(models, {"embed": embed})
    return models


@pytest.fixture
def models(published):
    for name in (labels.FILE, labels.HISTORY):
        (published / "toy" / name).unlink(missing_ok=True)
    return published


def test_a_label_moves_and_says_where_it_was(models):
    assert labels.read(models / "toy") == {}
    assert labels.promote(models, "toy", 1, label="stable") is None
    assert labels.promote(models, "toy", 3, label="stable") == 1
    assert labels.promote(models, "toy", 2, label="canary") is None
    assert json.loads((models / "toy" / "labels.json").read_text()) == {"canary": 2, "stable": 3}
    assert labels.read(models / "toy") == {"canary": 2, "stable": 3}
    assert labels.remove(models, "toy", "canary") == 2
    assert labels.read(models / "toy") == {"stable": 3}
    moves = labels.history(models / "toy")
    assert [(move["label"], move["from"], move["to"]) for move in moves] == [
        ("stable", None, 1),
        ("stable", 1, 3),
        ("canary", None, 2),
        ("canary", 2, None),
    ]
    assert {move["who"] for move in moves} == {f"{getpass.getuser()}@{socket.gethostname()}"}
    assert all(move["time"].endswith("+00:00") for move in moves)


def test_to_where_it_is_nothing_is_written(models):
    labels.promote(models, "toy", 1, label="stable")
    assert labels.promote(models, "toy", 1, label="stable") == 1
    assert len(labels.history(models / "toy")) == 1


@pytest.mark.parametrize(
    ("reference", "version"), [("toy", 3), ("toy@2", 2), ("toy@stable", 1), ("toy@a.b-c_1", 2)]
)
def test_a_reference_is_a_version(models, reference, version):
    labels.promote(models, "toy", 1, label="stable")
    labels.promote(models, "toy", 2, label="a.b-c_1")
    assert labels.resolve(models, reference) == ("toy", version)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tay", r"no model below .* is named 'tay'; did you mean toy\? \(there is: toy\)"),
        ("../toy@1", r"no model below .* is named '\.\./toy'"),
        ("", "no model below .* is named ''"),
        ("toy@", r"toy has no label '' \(labels: stable=1\)"),
        ("toy@stabel", r"toy has no label 'stabel'; did you mean stable\? \(labels: stable=1\)"),
        ("toy@4", "toy@4 is not there; toy has versions 1, 2, 3"),
        ("toy@0", "toy@0 is not there"),
        ("toy@-1", "toy has no label '-1'"),
    ],
)
def test_a_reference_to_nothing(models, reference, message):
    labels.promote(models, "toy", 1, label="stable")
    with pytest.raises(ArtifactError, match=message):
        labels.resolve(models, reference)


def test_a_label_of_a_version_that_is_gone(models):
    (models / "toy" / "labels.json").write_text('{"stable": 9}')
    with pytest.raises(ArtifactError, match="toy@stable is version 9, which is not there; toy has"):
        labels.resolve(models, "toy@stable")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"stable": "3"}', '{"stable": 0}', '{"3": 3}', '{"": 1}', '{"a b": 1}']
)
def test_damaged_labels_are_refused(models, text):
    (models / "toy" / "labels.json").write_text(text)
    with pytest.raises(
        ArtifactError, match=r"labels\.json is damaged, .* labels-history\.jsonl says"
    ):
        labels.read(models / "toy")
    with pytest.raises(ArtifactError, match="is damaged"):
        labels.promote(models, "toy", 1, label="stable")
    assert (models / "toy" / "labels.json").read_text() == text


def test_a_damaged_history_is_refused(models):
    (models / "toy" / labels.HISTORY).write_text("{")
    with pytest.raises(ArtifactError, match=r"labels-history\.jsonl cannot be read"):
        labels.history(models / "toy")


@pytest.mark.parametrize(
    "label", ["", "3", "007", "a b", "../x", "-a", ".a", "a" * 129, "a\n", "@"]
)
def test_what_cannot_be_a_label(models, label):
    with pytest.raises(ArtifactError, match=r"label is .* and no number"):
        labels.promote(models, "toy", 1, label=label)


def test_a_version_that_is_not_whole_gets_no_label(models, tmp_path):
    labels.promote(models, "toy", 1, label="stable")
    put(tmp_path, {"embed": embed})
    params = tmp_path / "toy" / "1" / "params.safetensors"
    params.write_bytes(params.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"params\.safetensors is not what was published"):
        labels.promote(tmp_path, "toy", 1, label="stable")
    with pytest.raises(ArtifactError, match="toy@2 is not there; toy has version 1"):
        labels.promote(tmp_path, "toy", 2, label="stable")
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {"1"}


def test_a_label_that_is_not_there_is_not_removed(models):
    labels.promote(models, "toy", 1, label="stable")
    with pytest.raises(ArtifactError, match=r"toy has no label 'canary' \(labels: stable\)"):
        labels.remove(models, "toy", "canary")
    with pytest.raises(ArtifactError, match="no model below"):
        labels.remove(models, "tay", "stable")


def test_a_full_disk_leaves_the_label_where_it_was(models, monkeypatch):
    labels.promote(models, "toy", 1, label="stable")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        labels.promote(models, "toy", 2, label="stable")
    assert labels.read(models / "toy") == {"stable": 1}


def test_two_at_once_are_one_after_the_other(models):
    with files.lock(models / "toy"):
        found = []

        def other():
            try:
                labels.promote(models, "toy", 1, label="stable")
            except RunError as error:
                found.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"is in use by process {os.getpid()}" in found[0]
    assert labels.read(models / "toy") == {}
