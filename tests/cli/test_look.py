"""What the command line prints, how it refuses, and what it never imports."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from mastery_jax import __version__, cli
from mastery_jax.workflow import config, records
from tests.cli.calls import COMMANDS, FIRST, SECOND, SWEEP, call, process
from tests.folders import write_run, write_sweep


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
        ["compare", SWEEP, "--test", "paired", "--html", "a.html", "--watch"],
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


def test_the_help_of_a_sweep_names_what_chooses_points_and_lanes():
    _, out, _ = call("sweep", "-h")
    assert "search.sampler=tpe|gp|cma|nsga" in out
    assert "search.stop=halving|median|population" in out


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
        (["compare"], "mastery: Missing argument 'RUN_OR_SWEEP...'"),
        (
            ["compare", SWEEP, "--where", "sed=1"],
            "mastery: sed is not a field or a metric of",
        ),
        (["compare", SWEEP, "--where", "model.kind<mlp"], '"mlp" is no number, and < needs one'),
        (["compare", SWEEP, "--metric", "acc"], "runs; they report test_accuracy"),
        (
            ["compare", SWEEP, "--best", "test_acuracy:max"],
            "did you mean test_accuracy? They",
        ),
        (["compare", SWEEP, "--pareto", "test_accuracy:max"], "is one objective; a Pareto table"),
        (["compare", SWEEP, "--top", "0"], "mastery: Invalid value for '--top': 0 is not in"),
        (["compare", f"{SWEEP}#9"], f"mastery: {SWEEP} has no lane 9 that is over: 4 are"),
        (["compare", f"{FIRST}#0"], f"{FIRST} is a run, which has no lanes"),
        (["compare", "--watch", SWEEP], "is no number of seconds; write what to compare before"),
        (["compare", SWEEP, "--watch", "0"], "'--watch': 0 is not more than 0 seconds"),
        (
            ["compare", FIRST, "--html", "no/such/a.html"],
            "a.html cannot be written: No such",
        ),
        (["compare", SWEEP, "--plots", "a.file"], "mastery: a.file cannot be written: "),
        (["export", FIRST], "mastery: Missing option '--name'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(runs, arguments, message):
    pathlib.Path("a.file").write_text("no folder")
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


def test_compare_chooses_orders_and_cuts(runs):
    out = call("compare", SWEEP, "--where", "seed in 1", "--best", "test_accuracy:max")[1]
    assert [line.split()[:2] for line in out.splitlines()[2:4]] == [["0.2", "1"], ["0.1", "1"]]
    out = call("compare", SWEEP, "--where", "seed=0", "--where", "state=done", "--top", "1")[1]
    assert out.splitlines()[2].split()[:2] == ["0.1", "1"]
    assert "note: the first 1 of 2 groups" in out
    out = call("compare", f"{SWEEP}#3", f"{SWEEP}#0", "--by", "run", "--best", "test_accuracy")[1]
    assert [line.split()[0] for line in out.splitlines()[2:4]] == [f"{SWEEP}#3", f"{SWEEP}#0"]


def test_compare_a_sweep_without_lanes_yet(runs):
    write_sweep(runs, "x", {"seed": []}, lambda seed: {}, state="interrupted")
    for options in ([], ["--where", "seed=1"], ["--watch"]):
        code, out, err = call("compare", "x", *options)
        assert (code, out) == (2, "")
        assert err == "mastery: there is nothing to compare: the sweep has no lanes yet\n"


def test_compare_tests_and_weighs_objectives(runs):
    measure = lambda num_steps, seed: {  # noqa: E731
        "test_accuracy": num_steps + seed / 8 * num_steps,
        "seconds": float(num_steps),
        **({"stopped": "median"} if num_steps == 3 else {}),
    }
    write_sweep(runs, "x", {"num_steps": [1, 2, 3], "seed": [0, 1, 2]}, measure)
    out = call("compare", "x", "--pareto", "test_accuracy:max, seconds:min", "--test", "paired")[1]
    assert "not dominated in test_accuracy:max and seconds:min: 2 groups" in out
    assert "after Holm's correction" in out
    assert "note: 3 of 9 were stopped early" in out
    out = call("compare", "x", "--include-stopped")[1]
    assert out.splitlines()[4].split()[:2] == ["3", "3"]
    assert "left out" not in out
    out = call("compare", "x", "--where", "state=stopped")[1]
    assert out.splitlines()[2].split()[0] == "3"
    assert "left out" not in out


def test_compare_reports(runs):
    code, _, err = call("compare", SWEEP, "--html", "a.html", "--plots", "plots", "--top", "1")
    assert (code, err.count("drawn")) == (0, 2)
    page = pathlib.Path("a.html").read_text()
    assert page.count("<img") == 2
    assert page.count("<tr>") == 2
    call("compare", SWEEP, FIRST, "--html", "a.html")
    page = pathlib.Path("a.html").read_text()
    assert page.count("Environment of") == 2
    assert sorted(path.name for path in pathlib.Path().glob("*a.html*")) == ["a.html"]


def test_compare_watches_until_it_ends_or_ctrl_c(runs, monkeypatch):
    from mastery_jax.workflow.compare import members, watch

    assert call("compare", SWEEP, "--watch") == call("compare", SWEEP)
    asked = {}

    def interrupted(sources, compare, **given):
        made = compare(members.gather(sources))
        asked.update(given, rates=[row.fields["optimizer.learning_rate"] for row in made.rows])
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch", interrupted)
    assert call("compare", SWEEP, "--watch", "0.5") == (0, "", "")
    assert asked == {"seconds": 0.5, "rates": [0.2, 0.1]}, "the best first"


def test_configs(monkeypatch):
    monkeypatch.setattr(config, "names", lambda: [("digits_mlp", "An MLP on digits: 0.97")])
    assert call("configs")[1].splitlines()[2] == "digits_mlp  An MLP on digits: 0.97"
    assert json.loads(call("configs", "--json")[1]) == {"digits_mlp": "An MLP on digits: 0.97"}
