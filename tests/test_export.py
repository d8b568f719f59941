"""What is exported is what was run; other code is said, other data are refused."""

import json
import shutil

import numpy as np
import pytest

from mastery_jax.workflow import artifact, config, environment, export, run
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.sweep import states, store
from tests.test_reproduce import QUIET, Told


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text(
        "experiment: tests.toy\nnum_steps: 5\ndata:\n  source: eight_schools\n  columns: [effect]\n"
    )
    return run.run(config.load(path), runs=tmp_path_factory.mktemp("runs"), progress=QUIET)


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "toy" / "run")
    return tmp_path / "toy" / "run"


def exported(folder):
    told = Told()
    found = export.export(folder, name="toy", models=folder / "models", progress=told)
    return artifact.load(found).manifest.provenance, told.lines


def edit(folder, **entries):
    path = folder / "environment.json"
    path.write_text(json.dumps(environment.read(folder) | entries))


def test_the_record_goes_with_the_model(copied):
    found, said = exported(copied)
    recorded = environment.read(copied)
    for key in ("git", "packages", "code"):
        assert found[key] == recorded[key]
    assert said == []


def test_other_code_is_a_warning(copied):
    edit(copied, code={"tests.toy": "0" * 64}, launch={})
    found, said = exported(copied)
    assert found["code"] == {"tests.toy": "0" * 64}
    assert said[0].startswith("warning: module tests.toy was 000000000000 and is ")
    assert "forced" not in environment.read(copied), "nothing is written into what was run"


def test_another_config_is_refused(copied):
    path = copied / "config.yaml"
    path.write_text(path.read_text().replace("rate: 0.1", "rate: 0.2"))
    with pytest.raises(RunError, match=r"its config changed .*\(rate was 0\.1 and is 0\.2\);"):
        exported(copied)


def test_without_a_record_it_is_said(copied):
    (copied / "environment.json").unlink()
    found, said = exported(copied)
    assert "git" not in found
    assert said == [f"warning: {copied} has no environment.json: what it was made with is lost"]
    assert not (copied / "environment.json").exists()


def test_a_damaged_record_is_one_sentence(copied):
    (copied / "environment.json").write_text("[]")
    with pytest.raises(RunError, match=r"environment\.json is damaged"):
        exported(copied)


@pytest.mark.parametrize("step", [None, 5, 25])
def test_a_state_of_another_step_is_not_taken_for_the_last(tmp_path, step):
    """A kill left what a lane of a population was at a rung, or nothing."""
    (tmp_path / "lanes").mkdir()
    store.write_lane(tmp_path, 2, {"rate": 0.1}, [{"step": 5}, {"step": 20, "test_loss": 0.5}])
    if step:
        content = states.dump({"w": np.zeros(2)}, step=step, rows=[], fields={})
        store.write_state(tmp_path, 2, content)
    said = "is not of the last step" if step else "is not there"
    with pytest.raises(RunError, match=rf"0002\.state {said}: the process was killed as lane 2"):
        export._adopt(tmp_path, 2, tmp_path / "runs")
