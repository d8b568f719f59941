"""A record says what a run was made with; what goes on with anything else is refused, by name."""

import json

import pytest

from mastery_jax.workflow import config, data, environment, sources
from mastery_jax.workflow.errors import RunError

CODE = {"mastery_jax": "a" * 64, "tests.toy": "b" * 64}


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """Hold still what other tests import, and the repository."""
    monkeypatch.setattr(sources, "digests", lambda experiment: dict(CODE))
    found = sources.Git("abc", True, b"+x = 1\n", False, ())
    monkeypatch.setattr(sources, "git", lambda folder=None: found)


@pytest.fixture
def loaded(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 40\n")
    return config.load(path)


@pytest.fixture
def folder(tmp_path, loaded):
    (tmp_path / "run").mkdir()
    environment.write(tmp_path / "run", loaded, [dataset()], programs=["f" * 64])
    return tmp_path / "run"


def dataset(fingerprint="0123456789abcdef"):
    return data.Dataset({}, (), (), fingerprint)


def edited(folder, **entries):
    """Write other entries into a record, as if it had been made so."""
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def said(folder, loaded, *, fingerprint="0123456789abcdef", **options):
    lines = []
    environment.confirm(folder, loaded, [dataset(fingerprint)], say=lines.append, **options)
    return lines


def test_a_record_holds_everything(folder, loaded):
    found = environment.read(folder)
    assert found["fields"]["rate"] == 0.1
    assert found["fields"]["data.source"] == "eight_schools"
    assert (found["experiment"], found["config"]) == ("tests.toy", config.digest(loaded))
    assert found["data"] == ["0123456789abcdef"]
    assert found["code"] == CODE
    assert found["git"]["revision"] == "abc"
    assert found["git"]["patch"] == {
        "file": "code.patch", "bytes": 7, "is_cut": False, "left_out": [],
    }  # fmt: skip
    assert (folder / "code.patch").read_bytes() == b"+x = 1\n"
    assert (found["strategy"], found["width"], found["seeds"]) == ("loop", 1, [0])
    assert found["programs"] == ["f" * 64]
    assert found["time"].endswith("+00:00")
    assert found["devices"]["count"] == 4


def test_the_strategy_is_recorded(tmp_path, loaded):
    environment.write(tmp_path, loaded, [], strategy="vmap", width=8, seeds=[2, 1, 2], searched=3)
    found = environment.read(tmp_path)
    assert (found["strategy"], found["width"], found["seeds"]) == ("vmap", 8, [1, 2])
    assert found["searched"] == 3


def test_what_is_the_same_says_nothing(folder, loaded):
    assert said(folder, loaded) == []


def changed_config(loaded):
    return loaded._replace(value=config.replace(loaded.value, {"rate": 0.2, "label": "b"}))


def test_another_config_is_named_field_by_field(folder, loaded):
    with pytest.raises(RunError) as error:
        said(folder, changed_config(loaded))
    assert str(error.value) == (
        f"{folder} is not what it was: its config changed since it began (rate was 0.1 and is 0.2; "
        'label was "a" and is "b"); run it anew, or go on all the same with --force'
    )
    with pytest.raises(RunError, match=r'experiment was "tests\.toy" and is "tests\.tay"'):
        said(folder, loaded._replace(experiment="tests.tay"))


def test_other_data_are_refused(folder, loaded):
    with pytest.raises(RunError, match="data was 0123456789ab and is fedcba987654"):
        said(folder, loaded, fingerprint="fedcba9876543210")


def test_other_code_is_named_by_module(folder, loaded, monkeypatch):
    now = CODE | {"tests.toy": "c" * 64, "tests.imported_later": "d" * 64}
    monkeypatch.setattr(sources, "digests", lambda experiment: now)
    with pytest.raises(
        RunError, match=r"its code .*\(module tests.toy was bbbbbbbbbbbb and is ccc"
    ):
        said(folder, loaded)


def test_other_packages_are_refused_by_name(folder, loaded):
    packages = environment.read(folder)["packages"]
    edited(folder, packages=packages | {"jax": "0.1.0", "gone": "1.0"})
    with pytest.raises(RunError) as error:
        said(folder, loaded)
    assert f"jax was 0.1.0 and is {packages['jax']}; gone was 1.0 and is missing" in str(
        error.value
    )


def test_another_place_of_the_cache_is_no_difference(folder, loaded):
    launch = environment.read(folder)["launch"]
    edited(folder, launch=launch | {"JAX_COMPILATION_CACHE_DIR": "/elsewhere/xla"})
    assert said(folder, loaded) == []


def test_another_device_or_launch_is_a_warning(folder, loaded):
    launch = environment.read(folder)["launch"]
    edited(folder, devices={"kind": "H200", "count": 4}, launch=launch | {"NPROC": "99"}, x64=True)
    assert [line.removeprefix("warning: ") for line in said(folder, loaded)] == [
        'devices.kind was "H200" and is "cpu"; the bits may differ',
        f"launch.NPROC was 99 and is {launch['NPROC']}; the bits may differ",
        "x64 was True and is False; the bits may differ",
    ]


def test_what_is_forced_is_recorded_and_not_asked_again(folder, loaded):
    other = changed_config(loaded)
    assert len(said(folder, other, force=True)) == 2
    (entry,) = environment.read(folder)["forced"]
    assert entry["differences"] == ["rate was 0.1 and is 0.2", 'label was "a" and is "b"']
    assert entry["time"].endswith("+00:00")
    assert entry["git"]["patch"]["file"] == "code-1.patch"
    assert (folder / "code-1.patch").exists()
    assert environment.read(folder)["fields"]["rate"] == 0.1, "what it began with stands"
    assert len(said(folder, other)) == 2
    third = other._replace(value=config.replace(other.value, {"rate": 0.3}))
    with pytest.raises(RunError, match=r"rate was 0\.1 and is 0\.3"):
        said(folder, third)
    said(folder, third, force=True)
    assert len(environment.read(folder)["forced"]) == 2


def test_force_without_a_difference_records_nothing(folder, loaded):
    assert said(folder, loaded, force=True) == []
    assert "forced" not in environment.read(folder)


def test_a_record_that_is_missing_is_written_now(folder, loaded):
    (folder / "environment.json").unlink()
    (line,) = said(folder, loaded, programs=["e"])
    assert line == (
        "run has no environment.json, so what it began with is not known; it is recorded now"
    )
    assert environment.read(folder)["programs"] == ["e"]
    assert said(folder, loaded) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"config": 3}', '{"config": "a", "forced": [3]}']
)
def test_a_damaged_record_is_one_sentence(folder, loaded, text):
    (folder / "environment.json").write_text(text)
    with pytest.raises(RunError, match=r"environment.json is damaged, so what run was .*remove it"):
        said(folder, loaded, force=True)


def test_a_record_grows(folder):
    environment.amend(folder, programs=["f" * 64, "e"], width=3, found={"a": 1})
    found = environment.read(folder)
    assert (found["programs"], found["width"], found["found"]) == (["f" * 64, "e"], 3, {"a": 1})


def test_a_config_that_json_cannot_tell_apart_differs_all_the_same(folder):
    before = environment.read(folder)
    (found,) = environment.differences(before, before | {"config": "b" * 64})
    assert found.text == f"the config was {before['config'][:12]} and is {'b' * 12}"
