import pathlib

import pytest

from mastery_jax.workflow import config, export, launch, run
from mastery_jax.workflow.sweep import driver, search
from tests.cli.calls import FIRST, SECOND, SWEEP
from tests.folders import write_run, write_sweep


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", FIRST)
    write_run(tmp_path / "runs", SECOND, config={"seed": 1}, metrics={"test_accuracy": 0.8})
    swept = {"optimizer.learning_rate": [0.1, 0.2], "seed": [0, 1]}
    measure = lambda learning_rate, seed: {"test_accuracy": learning_rate + seed / 8}  # noqa: E731
    write_sweep(tmp_path / "runs", SWEEP, swept, measure)
    return tmp_path / "runs"


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
        config.Sweep(
            config.Loaded("digits", "experiments.classify", None),
            {"seed": (0, 1)},
            search.Search(),
            ({"seed": 0}, {"seed": 1}),
        ),
    )
    replace(run, "run", runs / "digits" / FIRST)
    replace(run, "resume", runs / "digits" / FIRST)
    replace(driver, "sweep", runs / "digits" / SWEEP)
    replace(driver, "resume", runs / "digits" / SWEEP)
    replace(export, "export", pathlib.Path("models/digits/1"))
    called["replace"] = replace
    return called
