"""What ran is named by digests, and what was not committed can be made again from its patch."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from mastery_jax.workflow import sources


def git(*words, cwd):
    settings = ("user.name=a", "user.email=a@b.c", "diff.noprefix=true", "core.quotePath=false")
    options = [word for setting in settings for word in ("-c", setting)]
    return subprocess.run(
        ["git", *options, *words], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Work in a repository with one commit."""
    root = tmp_path / "project"
    (root / "deep").mkdir(parents=True)
    git("init", "--quiet", cwd=root)
    (root / "mine.py").write_text("rate = 1\n")
    (root / "deep" / "old.py").write_text("x = 1\n")
    git("add", ".", cwd=root)
    git("commit", "--quiet", "-m", "Begin", cwd=root)
    monkeypatch.chdir(root)
    return root


def test_a_clean_repository_has_a_revision_and_no_patch(repository):
    found = sources.git(repository / "runs" / "x")
    revision = git("rev-parse", "HEAD", cwd=repository).strip()
    assert found == sources.Git(revision, False, b"", False, ())
    assert found.to_json("code.patch") == {"revision": revision, "is_dirty": False}


@pytest.mark.parametrize("where", [".", "deep"])
def test_a_patch_makes_the_code_again(repository, tmp_path, monkeypatch, where):
    new = {"mine.py": "rate = 2", "new.py": "y = '−'\nz = 2", "deep/a b.py": "", "c.yaml": "a: 1\n"}
    for name, text in new.items():
        (repository / name).write_text(text)
    (repository / "deep" / "old.py").unlink()
    (repository / ".env").write_text("TOKEN=secret\n")
    run = repository / "runs" / "mine" / "1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("a: 1\n")
    monkeypatch.chdir(repository / where)
    found = sources.git(run)
    assert found.is_dirty
    assert not found.is_cut
    assert b"secret" not in found.patch
    assert b"config.yaml" not in found.patch

    clone = tmp_path / "clone"
    git("clone", "--quiet", str(repository), str(clone), cwd=tmp_path)
    (tmp_path / "code.patch").write_bytes(found.patch)
    git("apply", str(tmp_path / "code.patch"), cwd=clone)
    assert {name: (clone / name).read_text() for name in new} == new
    assert not (clone / "deep" / "old.py").exists()


def test_the_files_of_other_runs_are_no_code(repository):
    other = repository / "runs" / "mine" / "0"
    other.mkdir(parents=True)
    for name in ("config.yaml", "environment.json"):
        (other / name).write_text("{}")
    assert not sources.git(repository / "runs" / "mine" / "1").is_dirty


def test_a_large_patch_is_cut_and_says_so(repository, monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES", 300)
    (repository / "mine.py").write_text("rate = 2\n" * 100)
    found = sources.git()
    *lines, last = found.patch.decode().splitlines()
    assert found.is_cut
    assert len("\n".join(lines)) <= 300
    assert lines[-1] == "+rate = 2"
    assert last.startswith("# cut here: ")
    assert last.endswith(" bytes are kept")
    assert found.to_json("code.patch")["patch"]["is_cut"]


def test_what_a_patch_cannot_hold_is_named(repository, monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES_OF_A_FILE", 10)
    (repository / "large.py").write_text("x = 1\n" * 10)
    (repository / "binary.py").write_bytes(b"\0\1")
    (repository / "latin.py").write_bytes(b"\xe9")
    found = sources.git()
    assert (found.is_dirty, found.patch) == (True, b"")
    assert set(found.left_out) == {"large.py", "binary.py", "latin.py"}


def test_outside_of_a_repository_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.git(tmp_path) == sources.Git(None, None, b"", False, ())
    monkeypatch.setenv("PATH", str(tmp_path))  # without git
    assert sources.git(tmp_path).revision is None


def test_every_module_that_the_experiment_brought_in_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "brought.py").write_text("x = 1\n")
    (tmp_path / "chosen.py").write_text("import brought\n")
    __import__("chosen")
    before = sources.digests("chosen")
    assert {"mastery_jax", "chosen", "brought"} <= before.keys()
    assert not {"jax", "numpy", "pathlib", "os", "__main__", "pytest"} & before.keys()
    assert not any(name.startswith("mastery_jax.") for name in before)
    (tmp_path / "brought.py").write_text("x = 2\n")
    after = sources.digests("chosen")
    assert [name for name in before if before[name] != after[name]] == ["brought"]
    (tmp_path / "brought.py").unlink()
    assert "brought" not in sources.digests("chosen")
    for name in ("chosen", "brought"):
        del sys.modules[name]


def test_an_installed_experiment_counts_too(tmp_path, monkeypatch):
    place = tmp_path / "site-packages"
    (place / "shipped").mkdir(parents=True)
    for name in ("__init__.py", "blocks.py", "mine.py"):
        (place / "shipped" / name).write_text("")
    (place / "other.py").write_text("")
    monkeypatch.syspath_prepend(place)
    for name in ("shipped.mine", "shipped.blocks", "other"):
        __import__(name)
    found = sources.digests("shipped.mine")
    assert {"shipped", "shipped.mine", "shipped.blocks"} <= found.keys()
    assert "other" not in found
    for name in ("shipped.mine", "shipped.blocks", "shipped", "other"):
        del sys.modules[name]


def test_the_digest_of_the_house_is_that_of_its_sources(tmp_path, monkeypatch):
    house = pathlib.Path(sources.__file__).parents[1]
    copied = tmp_path / "mastery_jax"
    (copied / "workflow").mkdir(parents=True)
    for name in ("cli.py", "workflow/sources.py"):
        shutil.copy(house / name, copied / name)
    monkeypatch.setattr(sources, "__file__", str(copied / "workflow" / "sources.py"))
    before = sources.digests("tests.toy")["mastery_jax"]
    (copied / "notes.txt").write_text("no source")
    assert sources.digests("tests.toy")["mastery_jax"] == before
    (copied / "cli.py").rename(copied / "cly.py")
    assert sources.digests("tests.toy")["mastery_jax"] != before
