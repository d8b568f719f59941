"""A report in one file: whole, escaped, and without anything from outside."""

import base64
import html.parser
import shutil
import subprocess

import pytest

from mastery_jax.workflow import records
from mastery_jax.workflow.compare import pictures, report
from mastery_jax.workflow.compare import table as compare
from tests.compare.known import gather
from tests.folders import write_run, write_sweep

HOSTILE = '"><script src="http://evil.example/x.js">alert(1)</script>'


class Page(html.parser.HTMLParser):
    """What a browser would see: tags with their attributes, and texts."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open += [tag] if tag not in ("meta", "img") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())

    def all(self, tag):
        return [attrs for each, attrs in self.tags if each == tag]


def measure(learning_rate, kind, seed):
    return {
        "test_accuracy": 0.5 + seed / 8 * (1 + learning_rate) + learning_rate,
        "test_nll": learning_rate,
    }


@pytest.fixture
def page(tmp_path):
    swept = {
        "optimizer.learning_rate": [0.25, 0.125],
        "model.kind": ["mlp", HOSTILE],
        "seed": [0, 1],
    }
    search = {"metrics": ["test_accuracy:max", "test_nll:min"]}
    folder = write_sweep(tmp_path, "a", swept, measure, search=search)
    run = write_run(tmp_path, "b<b>", config={"model": {"kind": "<i>"}}, metrics={"test_nll": 1.0})
    compared = gather(folder, run)
    made = compare.table(compared, by=["optimizer.learning_rate", "model.kind"], test=True)
    drawn = pictures.draw(made, compared, tmp_path / "plots")
    return Page(report.report(made, [records.read(folder), records.read(run)], drawn)), made, drawn


def test_nothing_is_loaded_from_outside(page):
    found, _, drawn = page
    for _, attrs in found.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert not attrs.get(name) or attrs[name].startswith("data:image/png;base64,")
    (policy,) = [meta["content"] for meta in found.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")
    images = [image["src"].partition(",")[2] for image in found.all("img")]
    assert [base64.b64decode(image) for image in images] == [file.read_bytes() for file in drawn]
    assert not found.all("link")
    assert found.open == []


def test_hostile_values_are_escaped(page):
    found, _, _ = page
    assert [attrs for attrs in found.all("script") if attrs] == []
    assert len(found.all("script")) == 1
    assert not found.all("b")
    assert not found.all("i")
    assert HOSTILE in found.texts
    assert any(HOSTILE in (attrs.get("data-key") or "") for attrs in found.all("td"))
    assert "run digits/b<b>: finished" in found.texts


def test_what_is_in_it(page):
    found, made, _ = page
    whole = "\n".join(found.texts)
    assert "python 3.11.7, jax 0.10.2" in whole
    assert "git: abc123 with changes" in whole
    assert "learning_rate: 1.0e-05" in whole
    assert all(f"note: {note}" in found.texts for note in made.notes)
    assert len(found.all("tr")) == 2 + len(made.rows) + len(made.front)
    for head in ("model.kind", "test_accuracy", "minus best", "p", "front"):
        assert head in found.texts
    keys = [attrs["data-key"] for attrs in found.all("td")]
    assert repr(made.rows[-1].estimates["test_accuracy"].mean) in keys
    assert "" in keys, "no value is sorted last"


def test_the_script_is_sound(page):
    if not (node := shutil.which("node")):
        assert report._SCRIPT.count("{") == report._SCRIPT.count("}")
        return
    checked = subprocess.run([node, "--check", "-"], input=report._SCRIPT, text=True, check=False)
    assert checked.returncode == 0
