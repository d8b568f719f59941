"""Searches whose lanes are measured by a formula, for the tests of what drives them."""

import math

import optuna
import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import sampled, store
from mastery_jax.workflow.sweep.journal import Journal
from mastery_jax.workflow.sweep.ledger import Ledger

FIELDS = ["rate=loguniform(1e-4,1)", "noise=uniform(0,1)", "seed=0,1"]


def load(
    path, *arguments, sampler="tpe", metrics="test_loss:min", samples=24, batch=8, fields=None
):
    how = [f"search.sampler={sampler}", f"search.metrics=[{metrics}]"]
    how += [f"search.num_samples={samples}", f"search.batch={batch}"]
    return config.load_sweep(path, [*(fields or FIELDS), *how, *arguments])


def quadratic(lane):
    rate, noise, seed = lane.fields["rate"], lane.fields["noise"], lane.fields.get("seed", 0)
    return (math.log10(rate) + 2.3) ** 2 + (noise - 0.3) ** 2 + 0.01 * seed


def measured(lane):
    value = quadratic(lane)
    return [{"step": 7, "test_loss": value + 1}, {"step": 20, "loss": 0.0, "test_loss": value}]


def search(folder, swept, *, rows=measured, watch=lambda lane: None, interrupt=None, say=None):
    """Run a search whose lanes are measured by a formula; return what was run, in order."""
    folder.mkdir(exist_ok=True)
    ledger, ran = Ledger(folder, say=pytest.fail), []

    def run_lanes(lanes):
        watch(None)
        for lane in lanes:
            if lane.number not in ledger.over:
                watch(lane)
                if interrupt and interrupt.asked:
                    return
                ran.append(lane)
                ledger.end(lane, rows(lane))

    sampled.run(
        folder,
        swept,
        swept.search,
        run_lanes=run_lanes,
        ledger=ledger,
        interrupt=interrupt or Interrupt(),
        say=say or pytest.fail,
    )
    store.write_table(folder)
    return ran


def table(folder):
    return (folder / "lanes.csv").read_text()


def best(folder):
    return min(row["test_loss"] for row in store.lane_rows(folder))


def trials(folder):
    storage = optuna.storages.JournalStorage(Journal(folder / "study.journal"))
    return optuna.load_study(study_name="search", storage=storage).trials
