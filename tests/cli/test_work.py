"""How the command line hands work to the engines, and how that ends."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from mastery_jax.commands import ending
from mastery_jax.workflow import config, run
from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.sweep import driver, places
from tests.cli.calls import FIRST, SECOND, SWEEP, call
from tests.folders import write_run, write_sweep


def test_run(engines):
    code, out, _ = call("run", "digits", "seed=3", "a.b=-1", "--runs", "there")
    assert code == 0
    assert out.startswith(
        f"run digits/{FIRST}: finished, 100/100 steps, 0:07\ntest_accuracy: 0.9\n"
    )
    assert engines["mastery_jax.workflow.launch.prepare"] == ((), {})
    assert engines["mastery_jax.workflow.config.load"] == (("digits", ("seed=3", "a.b=-1")), {})
    assert engines["mastery_jax.workflow.run.run"][1]["runs"] == pathlib.Path("there")


def test_run_with_trackers(engines):
    assert call("run", "digits", "--track", "tensorboard, mlflow")[0] == 0
    assert engines["mastery_jax.workflow.run.run"][1]["track"] == ("tensorboard", "mlflow")
    assert call("run", "digits")[0] == 0
    assert engines["mastery_jax.workflow.run.run"][1]["track"] == ()


def test_a_tracker_that_is_not_known_is_refused_before_anything(engines):
    code, out, err = call("run", "digits", "--track", "mlflow,wand")
    assert (code, out) == (2, "")
    assert "no tracker is named wand; did you mean wandb?" in err
    assert engines.keys() == {"replace"}


def test_run_for_programs(engines, runs):
    code, out, err = call("run", "digits", "--quiet")
    assert (code, out, err) == (0, f"{runs / 'digits' / FIRST}\n", "")
    found = json.loads(call("run", "digits", "--json")[1])
    assert found["folder"] == str(runs / "digits" / FIRST)
    assert (found["state"], found["metrics"]) == ("finished", {"test_accuracy": 0.9})


@pytest.mark.parametrize(("state", "code"), [("interrupted", 75), ("failed", 1), ("finished", 0)])
@pytest.mark.parametrize("flag", [[], ["--quiet"], ["--json"]])
def test_how_a_run_ended_is_the_exit_code(engines, runs, state, code, flag):
    folder = write_run(runs, "20261126-000000-dddddd", state=state, reason="loss became nan")
    engines["replace"](run, "run", folder)
    found, out, err = call("run", "digits", *flag)
    assert found == code
    assert (f"mastery resume {folder}" in out + err) == (state == "interrupted")
    assert flag == [] or "\n" not in out.strip() or json.loads(out)["state"] == state


def test_lanes_that_failed_are_exit_3(engines, runs):
    measure = lambda seed: None if seed else {"test_accuracy": 0.5}  # noqa: E731
    engines["replace"](driver, "sweep", write_sweep(runs, "x", {"seed": [0, 1]}, measure))
    assert call("sweep", "digits", "seed=0,1")[0] == ending.LANES_FAILED == 3


@pytest.mark.parametrize(
    ("options", "strategy", "splits"),
    [
        ([], "auto", False),
        (["--exact"], "loop", False),
        (["--strategy", "vmap", "--width", "8"], "vmap", True),
        (["--strategy", "map"], "map", True),
    ],
)
def test_sweep_strategies(engines, options, strategy, splits):
    code, out, _ = call("sweep", "digits", "seed=0,1", *options)
    assert code == 0
    assert f"to compare its lanes: mastery compare {pathlib.Path.cwd()}/runs/digits/{SWEEP}" in out
    found = engines["mastery_jax.workflow.sweep.driver.sweep"][1]
    assert found["strategy"] == strategy
    assert found["width"] == (8 if "8" in options else None)
    devices = engines["mastery_jax.workflow.launch.prepare"][1]["host_devices"]
    assert devices == (len(os.sched_getaffinity(0)) if splits else None)


def test_plan_is_printed_and_nothing_run(engines, monkeypatch):
    class Plan:
        def describe(self):
            return "digits: 2 lanes in 1 program"

        def to_json(self):
            return {"lanes": 2}

    monkeypatch.setattr(driver, "planned", lambda swept, *, strategy, width: Plan())
    assert call("sweep", "digits", "--plan")[1] == "digits: 2 lanes in 1 program\n"
    assert json.loads(call("sweep", "digits", "--plan", "--json")[1]) == {"lanes": 2}
    assert "mastery_jax.workflow.sweep.driver.sweep" not in engines


def test_print_config_and_schema(engines, monkeypatch):
    monkeypatch.setattr(config, "to_yaml", lambda loaded: f"experiment: {loaded.experiment}\n")
    monkeypatch.setattr(config, "schema", lambda loaded: {"title": loaded.name})
    assert call("run", "digits", "--print-config")[1] == "experiment: experiments.classify\n"
    assert json.loads(call("run", "digits", "--schema")[1]) == {"title": "digits"}
    assert "mastery_jax.workflow.run.run" not in engines


def killed(folder):
    """Make a finished run one that a kill left behind."""
    found = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(found | {"state": "running"}))
    return pathlib.Path("runs/digits") / folder.name


def test_resume_finds_out_what_it_is(engines, runs):
    first, second = killed(runs / "digits" / FIRST), killed(runs / "digits" / SWEEP)
    engines["replace"](run, "resume", runs / "digits" / SECOND)
    engines["replace"](driver, "resume", runs / "digits" / SECOND)
    assert call("resume", "a1b2")[0] == 0
    assert engines["mastery_jax.workflow.run.resume"][1]["force"] is False
    assert engines["mastery_jax.workflow.run.resume"][0] == (first,)
    assert "mastery_jax.workflow.sweep.driver.resume" not in engines
    (runs / "digits" / SWEEP / "plan.json").write_text('{"strategy": "vmap", "width": 8}')
    assert call("resume", "sweep", "--force", "--engine", "ray", "--resource", "CPU=2")[0] == 0
    options = engines["mastery_jax.workflow.sweep.driver.resume"][1]
    assert options["force"] is True
    assert options["where"] == places.Where("ray", None, {"CPU": 2})
    assert engines["mastery_jax.workflow.sweep.driver.resume"][0] == (second,)
    assert engines["mastery_jax.workflow.launch.prepare"][1]["host_devices"]


def test_what_is_finished_is_refused_at_once(engines, runs):
    for source in (FIRST, SWEEP):
        code, _, said = call("resume", source)
        assert code == 2
        assert f"{source} is finished: there is nothing to resume" in said
    assert "mastery_jax.workflow.launch.prepare" not in engines


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--resource", "CPU"), "CPU is not NAME=VALUE"),
        (("--process", "2/2"), "2/2 is not NUMBER/COUNT"),
        (("--process", "one"), "one is not NUMBER/COUNT"),
    ],
)
def test_where_options(engines, option, message):
    code, _, said = call("sweep", "digits", "seed=0,1", *option)
    assert code == 2
    assert message in said


def test_what_is_asked_of_a_sweep(engines):
    options = ("--num-samples", "8", "--metric", "a:max", "--metric", "b:min", "--yes")
    assert call("sweep", "digits", "rate=uniform(0,1)", *options)[0] == 0
    found, asked = engines["mastery_jax.workflow.config.load_sweep"]
    assert found == (
        "digits",
        ("rate=uniform(0,1)", "search.num_samples=8", "search.metrics=[a:max,b:min]"),
    )
    assert asked["many"] is True


@pytest.mark.parametrize("error", [ConfigError("sed is not a field"), RunError("the disk is full")])
def test_errors_of_the_engines_are_one_sentence(engines, error):
    engines["replace"](run, "run", error)
    assert call("run", "digits") == (2, "", f"mastery: {error}\n")


def test_completion_of_the_shell():
    env = {
        **os.environ,
        "_MASTERY_COMPLETE": "bash_complete",
        "COMP_WORDS": "mastery sw",
        "COMP_CWORD": "1",
    }
    program = "from mastery_jax.cli import main; main(prog_name='mastery')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False
    )
    assert "plain,sweep" in done.stdout
