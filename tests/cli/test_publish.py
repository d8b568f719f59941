"""The commands of models: out of a run, under a label, behind HTTP."""

import json
import pathlib
import re

import pytest

from tests.cli.calls import FIRST, SWEEP, call, process
from tests.published import embed, put


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    models = tmp_path_factory.mktemp("shelf") / "models"
    for _ in range(3):
        put(models, {"embed": embed})
    return models


@pytest.fixture
def models(published, monkeypatch):
    monkeypatch.chdir(published.parent)
    for path in (published / "toy").glob("labels*"):
        path.unlink()
    return published


def test_export(engines):
    code, out, _ = call("export", "sweep", "--best", "test_accuracy:max", "--name", "digits")
    assert (code, out) == (0, "models/digits/1\n")
    found, options = engines["mastery_jax.workflow.export.export"]
    assert found == (pathlib.Path("runs/digits") / SWEEP,)
    assert options["best"] == "test_accuracy:max"
    assert (options["name"], options["models"]) == ("digits", pathlib.Path("models"))
    out = call("export", FIRST, "--name", "digits", "--json")[1]
    assert json.loads(out) == {"folder": "models/digits/1"}


def test_promote_says_what_it_was_before(models):
    assert call("promote", "toy", "1", "--label", "stable") == (0, "toy@stable is version 1\n", "")
    assert call("promote", "toy@3", "--label", "canary")[1] == "toy@canary is version 3\n"
    assert call("promote", "toy@canary", "--label", "stable")[1] == (
        "toy@stable is version 3, was 1\n"
    )
    assert call("promote", "toy@3", "--label", "stable")[1] == (
        "toy@stable is version 3, as before\n"
    )
    assert call("promote", "toy", "--remove", "--label", "canary")[1] == (
        "toy@canary was version 3 and is no more\n"
    )
    code, out, _ = call("promote", "toy")
    assert code == 0
    lines = [line.split("  by ")[0] for line in out.splitlines()]
    assert [re.split(r" {2,}", line) for line in lines[:5]] == [
        ["version", "labels"], [lines[1]], ["1"], ["2"], ["3", "stable"],
    ]  # fmt: skip
    assert [line.split("  ", 1)[1] for line in lines[6:]] == [
        "toy@stable is version 1",
        "toy@canary is version 3",
        "toy@stable is version 3, was 1",
        "toy@canary was version 3 and is no more",
    ]


def test_promote_for_programs(models):
    out = call("promote", "toy@2", "--label", "stable", "--json")[1]
    assert json.loads(out) == {"name": "toy", "label": "stable", "from": None, "to": 2}
    found = json.loads(call("promote", "toy", "--json")[1])
    assert (found["versions"], found["labels"]) == ([1, 2, 3], {"stable": 2})
    assert found["history"][0]["to"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toy", "9", "--label", "stable"], "toy@9 is not there; toy has versions 1, 2, 3"),
        (["toy@stable", "--label", "prod"], "toy has no label 'stable' (labels: none)"),
        (["toy@3", "2", "--label", "a"], "toy@3 names a version already, so 2 cannot be."),
        (["toy", "--label", "a"], "Say which version, as in toy@3."),
        (["toy", "3"], "Say which label, as in --label stable."),
        (["toy", "--remove"], "Say which label, as in --label stable."),
        (["toy@3", "--remove", "--label", "a"], "--remove takes a label away from the model"),
        (["toy", "--remove", "--label", "a"], "toy has no label 'a'"),
        (["tay"], "no model below models is named 'tay'; did you mean toy?"),
        (["toy", "1", "--label", "7"], "label is '7', not letters"),
    ],
)
def test_what_cannot_be_promoted(models, arguments, message):
    code, out, err = call("promote", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_promote_never_imports_jax(models):
    for arguments in (["toy@1", "--label", "stable"], ["toy"]):
        done = process("promote", *arguments, cwd=models.parent)
        assert done.returncode == 0, done.stderr
        assert done.stderr.endswith("False")


def test_serve(monkeypatch, tmp_path):
    from serving import main as serving

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # no keys of whoever runs the tests
    called = []
    monkeypatch.setattr(serving, "run", lambda settings: called.append(settings) or 0)
    assert call("serve", "--models", "there", "--port", "0")[0] == 0
    assert call("serve", "--models", "there", "--no-store", "--workers", "3")[0] == 0
    told, other = called
    assert (told.models, told.host, told.port) == (pathlib.Path("there"), "127.0.0.1", 0)
    assert (told.access.keys, told.access.public_metrics, told.access.proxies) == (None, False, ())
    assert (told.is_tried, told.workers) == (True, 1)
    assert told.store == "sqlite:///there/predictions.sqlite3"
    assert (other.store, other.workers) == (None, 3)
