"""The documentation can be found: links, the index, every module's line, every picture."""

import re
import runpy
import tomllib

import pytest

from tests import oracles
from tests.pages import DOCS, FENCE, ROOMS, ROOT, TEXTS, name_of

ALGORITHMS = ("core", "numerics", "probability", "inference", "learning", "networks")
PICTURES = sorted(DOCS.glob("pictures/*.png"))
DRAWN = runpy.run_path(str(DOCS / "pictures.py"))["PICTURES"]

LINK = re.compile(r"\]\((?!\w+:)(?P<path>[^)#\s]*)(?:#(?P<part>[^)\s]*))?\)")


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_links_lead_somewhere(text):
    for found in LINK.finditer(FENCE.sub("", text.read_text())):
        target = (text.parent / found["path"]).resolve() if found["path"] else text
        assert target.exists(), found[0]
        if found["part"]:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert found["part"] in slugs, found[0]


def test_every_page_is_in_the_index():
    index = (DOCS / "README.md").read_text()
    assert [page for page in ROOMS if f"({page.name})" not in index] == []


def test_the_readme_names_every_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    listed = re.search(r"As a package: (.*?)\n\n", text, re.DOTALL)
    assert listed
    names = set(re.findall(r"`([a-z]+)`", listed[1]))
    assert names == project["optional-dependencies"].keys()


@pytest.mark.parametrize("room", ALGORITHMS)
def test_a_page_names_every_module_of_its_room(room):
    for path in (ROOT / "mastery_jax" / room).rglob("[!_]*.py"):
        page = next(p for at in path.parents if (p := DOCS / f"{at.name}.md").exists())
        assert f"(../{name_of(path)})" in page.read_text()


def test_the_table_of_oracles_has_every_function():
    rows = re.findall(r"^\| `([\w.]+)`", (DOCS / "ORACLES.md").read_text(), re.MULTILINE)
    assert rows == list(oracles.judged())


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_and_shown(picture):
    assert picture.stat().st_size < 60_000
    assert any(f"(pictures/{picture.name})" in page.read_text() for page in ROOMS)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_a_picture_can_be_drawn_again(draw, tmp_path):
    draw(tmp_path / "again.png")
    assert (tmp_path / "again.png").stat().st_size < 60_000
    assert DOCS / f"pictures/{draw.__name__}.png" in PICTURES
