"""The command line: what it prints, how it exits, and what it never imports."""

import json
import os
import pathlib
import subprocess
import sys

import click.testing
import pytest

from mastery_jax import __version__, cli
from mastery_jax.commands import work
from mastery_jax.workflow import config, export, launch, plan, records, run, sweep
from mastery_jax.workflow.errors import ConfigError, RunError
from tests.folders import write_run, write_sweep

FIRST, SECOND, SWEEP = (
    "20261123-081200-a1b2c3",
    "20261123-091200-bbbbbb",
    "20261124-091200-sweep-0123ab",
)
COMMANDS = ["run", "sweep", "resume", "compare", "export", "serve", "ls", "show", "configs"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", FIRST)
    write_run(tmp_path / "runs", SECOND, config={"seed": 1}, metrics={"test_accuracy": 0.8})
    swept = {"optimizer.learning_rate": [0.1, 0.2], "seed": [0, 1]}
    measure = lambda learning_rate, seed: {"test_accuracy": learning_rate + seed / 8}  # noqa: E731
    write_sweep(tmp_path / "runs", SWEEP, swept, measure)
    return tmp_path / "runs"


def call(*arguments):
    """Run the command line here; return its exit code, output and errors."""
    result = click.testing.CliRunner().invoke(cli.main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def process(*arguments, cwd=None):
    """Run it in a process that says afterwards whether jax was imported."""
    program = (
        "import atexit, sys\nfrom mastery_jax.cli import main\n"
        "atexit.register(lambda: sys.stderr.write(str('jax' in sys.modules)))\nmain()"
    )
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


@pytest.fixture
def engines(monkeypatch, runs):
    """Stand in for what computes; return what it was called with."""
    called = {}

    def stand_in(name, result):
        def engine(*args, **options):
            called[name] = (args, options)
            if isinstance(result, Exception):
                raise result
            return result

        return engine

    def replace(module, name, result):
        monkeypatch.setattr(module, name, stand_in(f"{module.__name__}.{name}", result))

    replace(launch, "prepare", None)
    replace(config, "load", config.Loaded("digits", "experiments.classify", None))
    replace(
        config,
        "load_sweep",
        (config.Loaded("digits", "experiments.classify", None), {"seed": (0, 1)}),
    )
    replace(run, "run", runs / "digits" / FIRST)
    replace(run, "resume", runs / "digits" / FIRST)
    replace(sweep, "sweep", runs / "digits" / SWEEP)
    replace(sweep, "resume", runs / "digits" / SWEEP)
    replace(export, "export", pathlib.Path("models/digits/1"))
    called["replace"] = replace
    return called


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["configs"],
        ["ls"],
        ["show", FIRST],
        ["compare", SWEEP, FIRST, "--plots", "plots", "--csv", "a.csv", "--json", "a.json"],
    ],
    ids=" ".join,
)
def test_looking_never_imports_jax(runs, arguments):
    done = process(*arguments, cwd=runs.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("False")
    assert done.stdout.strip()


def test_help_imports_little():
    done = subprocess.run(
        [sys.executable, "-c", "import mastery_jax.cli, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    heavy = {"jax", "numpy", "scipy", "matplotlib", "msgspec", "yaml", "rich.console", "litestar"}
    assert heavy.isdisjoint(done.stdout.split())


def test_help_names_every_command_in_order():
    code, out, _ = call("--help")
    assert code == 0
    assert list(cli.main.commands) == COMMANDS
    places = [out.index(f"│ {name} ") for name in COMMANDS]
    assert places == sorted(places)
    for name, command in cli.main.commands.items():
        assert command.help, name
        assert call(name, "-h")[0] == 0


def test_version():
    assert call("--version") == (0, f"mastery {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweap"], "mastery: No such command 'sweap'. Did you mean 'sweep'? See: mastery --help"),
        (["ls", "--rums", "x"], "mastery: No such option"),
        (["run"], "mastery: Missing argument 'CONFIG'. See: mastery run --help"),
        (["serve", "--port", "x"], "mastery: Invalid value for '--port': 'x' is not a valid int"),
        (["sweep", "a", "--width", "0"], "mastery: Invalid value for '--width': 0 is not in"),
        (
            ["sweep", "a", "--exact", "--strategy", "vmap"],
            "mastery: --exact is --strategy loop, so",
        ),
        (["show", "20261123-081200-a1b2d3"], f"; did you mean {FIRST}?"),
        (["show", "2026"], "mastery: 2026 means 3 runs: digits/"),
        (["compare", FIRST, "--by", "sed"], "mastery: sed is not a field of these runs; did you"),
        (["compare", FIRST, "--csv", "no/such/a.csv"], "cannot be written: No such file or dir"),
        (["export", FIRST], "mastery: Missing option '--name'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(runs, arguments, message):
    code, _, err = call(*arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_an_unexpected_error_has_a_traceback_and_exit_1(runs):
    program = (
        "from mastery_jax.workflow import records\nfrom mastery_jax.cli import main\n"
        "records.ls = lambda runs: 1 / 0\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "ls"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_ctrl_c_before_anything_is_written(runs, monkeypatch):
    def interrupted(runs):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "ls", interrupted)
    assert call("ls")[0] == 130


def test_ls(runs):
    (runs / "digits" / FIRST / "status.json").write_text("{")
    write_run(runs, "20261122", state="failed", reason="loss became nan at step 3")
    code, out, _ = call("ls")
    head, _, *lines = out.splitlines()
    assert code == 0
    assert head.split() == ["id", "config", "state", "done", "age", "metrics"]
    assert [line.split()[:3] for line in lines] == [
        [SWEEP, "digits", "finished"],
        [SECOND, "digits", "finished"],
        [FIRST, "digits", "damaged"],
        ["20261122", "digits", "failed"],
    ]
    assert "4/4" in lines[0]
    assert lines[1].endswith("test_accuracy 0.8")
    assert "status.json cannot be read" in lines[2]
    assert lines[3].endswith("loss became nan at step 3")
    found = json.loads(call("ls", "--json")[1])["runs"]
    assert [each["state"] for each in found] == ["finished", "finished", "damaged", "failed"]
    assert call("ls", "--runs", "elsewhere") == (0, "no runs below elsewhere\n", "")


def test_ls_into_a_closed_pipe(runs):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", "from mastery_jax.cli import main; main()", "ls"],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_show_a_run(runs):
    code, out, _ = call("show", "bbb")
    assert code == 0
    for line in (
        f"run digits/{SECOND}: finished, 100/100 steps, 0:07",
        "test_accuracy: 0.8",
        "    learning_rate: 1.0e-05",
        "  devices: 2 x cpu",
        "  python 3.11.7, jax 0.10.2",
        "  git: abc123 with changes",
        "  command: mastery run digits",
        "  loss      0.25  at step 100",
        "  checkpoints/  1 entries",
    ):
        assert line in out.splitlines()
    found = json.loads(call("show", "bbb", "--json")[1])
    assert (found["kind"], found["state"]) == ("run", "finished")
    assert found["metrics"] == {"test_accuracy": 0.8}


def test_show_a_killed_run_without_its_record(runs):
    folder = write_run(runs, "20261125-000000-cccccc", state="running", step=7)
    (folder / "environment.json").unlink()
    (folder / "metrics.jsonl").unlink()
    code, out, _ = call("show", str(folder))
    assert code == 0
    assert "killed, 7/100 steps" in out
    assert f"to go on: mastery resume {folder}" in out
    assert "has no environment.json" in out


def test_show_a_sweep(runs):
    out = call("show", SWEEP)[1]
    assert f"sweep digits/{SWEEP}: finished, 4/4 lanes, 0:04" in out
    assert "lanes: 4 done" in out
    assert "sweep:" in out
    running = write_sweep(runs, "x", {"seed": [0]}, lambda seed: {}, state="running")
    (running / "lanes.csv").unlink()
    assert "lanes.csv is written when the sweep ends" in call("show", "x")[1]


def test_compare_prints_or_writes(runs):
    code, out, _ = call("compare", SWEEP)
    assert code == 0
    assert "optimizer.learning_rate" in out.splitlines()[0]
    code, out, _ = call("compare", SWEEP, "--csv", "-", "--json", "found.json")
    assert code == 0
    assert out.startswith("optimizer.learning_rate,")
    rows = json.loads(pathlib.Path("found.json").read_text())["rows"]
    assert [row["fields"] for row in rows] == [
        {"optimizer.learning_rate": 0.1}, {"optimizer.learning_rate": 0.2},
    ]  # fmt: skip
    code, out, err = call("compare", SWEEP, FIRST, "--by", "config", "--plots", "plots")
    assert "digits" in out
    assert err == "drawn: plots/test_accuracy.png\n"
    assert pathlib.Path("plots/test_accuracy.png").exists()


def test_configs(monkeypatch):
    monkeypatch.setattr(config, "names", lambda: [("digits_mlp", "An MLP on digits: 0.97")])
    assert call("configs")[1].splitlines()[2] == "digits_mlp  An MLP on digits: 0.97"
    assert json.loads(call("configs", "--json")[1]) == {"digits_mlp": "An MLP on digits: 0.97"}


def test_run(engines):
    code, out, _ = call("run", "digits", "seed=3", "a.b=-1", "--runs", "there")
    assert code == 0
    assert out.startswith(
        f"run digits/{FIRST}: finished, 100/100 steps, 0:07\ntest_accuracy: 0.9\n"
    )
    assert engines["mastery_jax.workflow.launch.prepare"] == ((), {})
    assert engines["mastery_jax.workflow.config.load"] == (("digits", ("seed=3", "a.b=-1")), {})
    assert engines["mastery_jax.workflow.run.run"][1]["runs"] == pathlib.Path("there")


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
    engines["replace"](sweep, "sweep", write_sweep(runs, "x", {"seed": [0, 1]}, measure))
    assert call("sweep", "digits", "seed=0,1")[0] == work.LANES_FAILED == 3


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
    found = engines["mastery_jax.workflow.sweep.sweep"][1]
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

    monkeypatch.setattr(plan, "plan", lambda loaded, fields, *, strategy: Plan())
    assert call("sweep", "digits", "--plan")[1] == "digits: 2 lanes in 1 program\n"
    assert json.loads(call("sweep", "digits", "--plan", "--json")[1]) == {"lanes": 2}
    assert "mastery_jax.workflow.sweep.sweep" not in engines


def test_print_config_and_schema(engines, monkeypatch):
    monkeypatch.setattr(config, "to_yaml", lambda loaded: f"experiment: {loaded.experiment}\n")
    monkeypatch.setattr(config, "schema", lambda loaded: {"title": loaded.name})
    assert call("run", "digits", "--print-config")[1] == "experiment: experiments.classify\n"
    assert json.loads(call("run", "digits", "--schema")[1]) == {"title": "digits"}
    assert "mastery_jax.workflow.run.run" not in engines


def test_resume_finds_out_what_it_is(engines, runs):
    assert call("resume", "a1b2")[0] == 0
    assert engines["mastery_jax.workflow.run.resume"][0] == (pathlib.Path("runs/digits") / FIRST,)
    assert "mastery_jax.workflow.sweep.resume" not in engines
    (runs / "digits" / SWEEP / "plan.json").write_text('{"strategy": "vmap", "width": 8}')
    assert call("resume", "sweep")[0] == 0
    assert engines["mastery_jax.workflow.sweep.resume"][0] == (pathlib.Path("runs/digits") / SWEEP,)
    assert engines["mastery_jax.workflow.launch.prepare"][1]["host_devices"]


def test_export(engines):
    code, out, _ = call("export", "sweep", "--best", "test_accuracy:max", "--name", "digits")
    assert (code, out) == (0, "models/digits/1\n")
    found, options = engines["mastery_jax.workflow.export.export"]
    assert found == (pathlib.Path("runs/digits") / SWEEP,)
    assert options["best"] == "test_accuracy:max"
    assert (options["name"], options["models"]) == ("digits", pathlib.Path("models"))
    out = call("export", FIRST, "--name", "digits", "--json")[1]
    assert json.loads(out) == {"folder": "models/digits/1"}


@pytest.mark.parametrize("error", [ConfigError("sed is not a field"), RunError("the disk is full")])
def test_errors_of_the_engines_are_one_sentence(engines, error):
    engines["replace"](run, "run", error)
    assert call("run", "digits") == (2, "", f"mastery: {error}\n")


def test_serve(monkeypatch):
    from serving import main as serving

    called = {}
    monkeypatch.setattr(
        serving, "run", lambda models, **options: called.update(options, models=models)
    )
    assert call("serve", "--models", "there", "--port", "0")[0] == 0
    assert called == {"models": pathlib.Path("there"), "host": "127.0.0.1", "port": 0}


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
