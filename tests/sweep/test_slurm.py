"""Lanes as jobs of submitit, by its executor of local processes."""

import pytest

from mastery_jax.workflow import config, environment
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, slurm, store
from mastery_jax.workflow.sweep.search import Halving, Search

QUIET = Progress(quiet=True)
LOCAL = driver.Where("slurm", address="local", jobs=2)


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def programs(folder):
    return environment.read(folder).get("programs")


def test_jobs_give_the_table_of_one_process(toy, tmp_path):
    search = Search(metrics=("test_loss:min",), stop=Halving(min_steps=5))
    made = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(3)"])._replace(search=search)
    here = driver.sweep(made, runs=tmp_path / "here", strategy="loop", progress=QUIET)
    there = driver.sweep(made, runs=tmp_path / "jobs", strategy="loop", where=LOCAL, progress=QUIET)
    assert (there / "lanes.csv").read_text() == (here / "lanes.csv").read_text()
    assert programs(there) == programs(here) != []
    left = [sorted(path.name for path in (each / "lanes").iterdir()) for each in (here, there)]
    assert left[0] == left[1]  # no state of a lane that is over


def test_a_job_that_is_lost_is_submitted_again(toy, tmp_path, monkeypatch):
    """The first jobs die with their second lane; the next leave out what is there."""
    said = []
    progress = Progress(quiet=True)
    monkeypatch.setattr(progress, "say", said.append)
    (tmp_path / "dies.py").write_text(
        "import os, pathlib\n"
        "from tests.toy import Config, build as whole\n"
        "def build(config, spec):\n"
        f"    flag = pathlib.Path({str(tmp_path / 'flag')!r})\n"
        "    if flag.exists() and 'SUBMITIT_EXECUTOR' in os.environ:\n"
        "        flag.unlink()\n"
        "        os._exit(9)\n"
        "    return whole(config, spec)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    toy.write_text("experiment: dies\nnum_steps: 20\n")
    made = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(2)"])
    (tmp_path / "flag").touch()
    folder = driver.sweep(made, runs=tmp_path, strategy="loop", where=LOCAL, progress=progress)
    assert [lane["state"] for lane in store.lanes(folder)] == ["done"] * 4
    assert any("was lost; its log" in line for line in said)
    assert any("submitted again" in line for line in said)


def test_a_parameter_that_submitit_does_not_know(toy, tmp_path):
    where, made = LOCAL._replace(resources={"colour": "blue"}), config.load_sweep(toy, ["seed=0,1"])
    with pytest.raises(RunError, match=r"--resource: .*colour"):
        driver.sweep(made, runs=tmp_path, where=where, progress=QUIET)


def test_what_the_folder_shows_is_not_run_again(tmp_path):
    (tmp_path / "lanes").mkdir()
    store.write_lane(tmp_path, 3, {"rate": 0.1}, [{"step": 1}])
    part = slurm.remote.pack([], slurm.remote.How("", "loop", 1, 1), 1, keeps_states=False)
    known = slurm._known(part._replace(numbers=(3, 4)), tmp_path)
    assert {number: news.step for number, news in known.items()} == {3: None}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (None, "no sbatch on PATH; --address local runs"),
        ("slurm", "no sbatch on PATH; --address local runs"),
        ("debug", "--address: debug is no queue; write slurm or local"),
    ],
)
def test_a_machine_without_slurm_runs_no_job(toy, tmp_path, monkeypatch, address, said):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    where, made = LOCAL._replace(address=address), config.load_sweep(toy, ["seed=0,1"])
    with pytest.raises(RunError, match=said):
        driver.sweep(made, runs=tmp_path / "runs", where=where, progress=QUIET)
    assert not (tmp_path / "runs").exists()
