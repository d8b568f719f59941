"""What a sampler is asked for and told, and the journal that keeps it."""

import json
import math
import warnings

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.sweep import asks
from mastery_jax.workflow.sweep.asks import Outcome, Study
from mastery_jax.workflow.sweep.journal import Journal
from mastery_jax.workflow.sweep.notation import Distribution
from mastery_jax.workflow.sweep.search import Search

SPACE = {
    "rate": Distribution("loguniform", 1e-5, 1.0, (), ""),
    "noise": Distribution("uniform", -1.0, 2.0, (), ""),
    "steps": Distribution("integers", 1, 9, (), ""),
    "widths": Distribution("choice", None, None, ((32,), (64, 64), (), None, "a", 1.0, 2), ""),
}
TPE = Search(sampler="tpe", num_samples=48, batch=8, metrics=("loss:min",))


def installed(name):
    if name == "gp":
        pytest.importorskip("torch")


def study(folder, search=TPE, space=SPACE, known=None, say=pytest.fail):
    return Study(folder / "study.journal", search, space, known=known or {}, say=say)


def loss(drawn):
    return (math.log10(drawn["rate"]) + 2) ** 2 + drawn["noise"] ** 2 + 0.1 * drawn["steps"]


def search_on(made, search=TPE, num=48):
    """Ask and tell whole batches, as far as ``num`` trials."""
    for first in range(0, num, search.batch):
        numbers = range(first, first + search.batch)
        if made.is_told(numbers[-1]):
            continue
        if len(made) < numbers.stop:
            made.ask(numbers)
        values = {n: loss(made.drawn(n)) for n in numbers}
        signs = [1, -1][: len(search.metrics)]
        made.tell({n: Outcome(tuple(s * v for s in signs)) for n, v in values.items()})
    return [made.drawn(n) for n in range(num)]


@pytest.mark.parametrize("sampler", ["tpe", "nsga", "cma", "gp"])
def test_what_is_drawn_is_typed_and_within_bounds(tmp_path, sampler, capfd):
    installed(sampler)
    search = Search(sampler=sampler, num_samples=24, batch=8, metrics=("loss:min",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = search_on(study(tmp_path, search), search, 24)
    for point in drawn:
        assert list(point) == list(SPACE)
        assert 1e-5 <= point["rate"] <= 1
        assert -1 <= point["noise"] <= 2
        assert type(point["steps"]) is int
        assert 1 <= point["steps"] <= 9
        assert any(point["widths"] is choice for choice in SPACE["widths"].choices)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("sampler", ["tpe", "nsga", "cma", "gp"])
def test_a_seed_decides_what_is_drawn(tmp_path, sampler):
    installed(sampler)
    found = []
    for place, seed in enumerate((3, 3, 4)):
        (folder := tmp_path / str(place)).mkdir()
        search = Search(sampler=sampler, num_samples=24, batch=8, metrics=("loss:min",), seed=seed)
        found.append(search_on(study(folder, search), search, 24))
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("sampler", ["tpe", "nsga", "cma"])
def test_an_opened_journal_goes_on_as_if_it_had_not_been_closed(tmp_path, sampler):
    installed(sampler)
    search = Search(sampler=sampler, num_samples=24, batch=8, metrics=("loss:min",))
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = search_on(study(tmp_path / "whole", search), search, 24)
    search_on(study(tmp_path / "parts", search), search, 16)
    parts = study(tmp_path / "parts", search)
    assert len(parts) == 16
    parts.ask(range(16, 24))
    assert [parts.drawn(n) for n in range(24)] == whole


def test_a_sampler_learns_from_what_it_is_told(tmp_path):
    drawn = search_on(study(tmp_path))
    early, late = ([loss(point) for point in part] for part in (drawn[:8], drawn[-8:]))
    assert sum(late) < sum(early) / 2


@pytest.mark.parametrize("sampler", ["tpe", "nsga", "cma"])
def test_trials_that_are_known_are_not_chosen_anew(tmp_path, sampler):
    """A journal that is lost is made again alike, and goes on alike."""
    installed(sampler)
    search = Search(sampler=sampler, num_samples=64, batch=16, metrics=("loss:min",))
    whole = search_on(study(tmp_path, search), search, 64)
    known = {n: json.loads(json.dumps(whole[n])) for n in range(48)}
    (tmp_path / "study.journal").unlink()
    said = []
    assert search_on(study(tmp_path, search, known=known, say=said.append), search, 64) == whole
    assert len(said) == 1
    assert "lacks 48 trials" in said[0]


def test_a_known_trial_need_not_be_what_would_be_drawn(tmp_path):
    known = {1: {"rate": 0.25, "noise": 0, "steps": 3, "widths": [64, 64]}}
    made = study(tmp_path, known=known, say=[].append)
    made.ask(range(8))
    assert made.drawn(1) == {"rate": 0.25, "noise": 0.0, "steps": 3, "widths": (64, 64)}
    (tmp_path / "other").mkdir()
    assert made.drawn(0) == search_on(study(tmp_path / "other"), num=8)[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:100] + b"\0" + content[101:],
        lambda content: b"garbage",
        lambda content: b'{"op_code": 77}\n' + content,
        lambda content: content.replace(b'"rate"', b'"rat"'),
        lambda content: content.replace(b'"directions":[1]', b'"directions":[2]'),
        lambda content: content.replace(b'"param_value_internal":', b'"param_value_internal":1e'),
        lambda content: content[: content.index(b"\n") + 1],
    ],
)
def test_a_damaged_journal_is_kept_aside_and_made_again(tmp_path, damage):
    whole = search_on(study(tmp_path))
    path = tmp_path / "study.journal"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    said = []
    made = study(tmp_path, known=dict(enumerate(whole[:40])), say=said.append)
    assert search_on(made) == whole
    assert len(said) == 1
    assert "study.journal is damaged" in said[0]
    assert (tmp_path / "study.journal.damaged").read_bytes() == damaged


def test_a_journal_of_other_points_than_the_lanes_have_is_damaged(tmp_path):
    whole = search_on(study(tmp_path))
    known = {3: whole[3] | {"rate": 0.5}}
    said = []
    assert len(study(tmp_path, known=known, say=said.append)) == 0
    assert "trial 3 is not what its lanes were run with" in said[0]


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=6)
def test_a_cut_off_journal_has_whole_batches(tmp_path_factory, data):
    folder, other = tmp_path_factory.mktemp("cut"), tmp_path_factory.mktemp("whole")
    search_on(study(folder), num=16)
    path = folder / "study.journal"
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(content.index(b'"whole"'), len(content)))])
    made = study(folder, say=[].append)
    assert len(made) in (0, 8, 16)
    assert len({made.is_told(n) for n in range(len(made))} - {True}) <= 1
    assert search_on(study(folder, say=[].append), num=24) == search_on(study(other), num=24)


def test_optuna_reads_the_journal(tmp_path):
    search_on(study(tmp_path), num=16)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    (summary,) = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    assert summary.n_trials == 16
    assert summary.best_trial.params["widths"] in {"[32]", "[64,64]", "[]", "null", '"a"', "1.0"}


def states(folder):
    journal = Journal(folder / "study.journal")
    storage = optuna.storages.JournalStorage(journal)
    trials = optuna.load_study(study_name="search", storage=storage).trials
    return [(trial.state.name, trial.values) for trial in trials]


def test_trials_fail_and_are_stopped(tmp_path):
    made = study(tmp_path)
    made.ask(range(3))
    made.tell({0: Outcome(None), 1: Outcome((0.5,), stopped_at=7), 2: Outcome((0.25,))})
    assert states(tmp_path) == [("FAIL", None), ("PRUNED", [0.5]), ("COMPLETE", [0.25])]
    assert [made.is_told(n) for n in range(4)] == [True, True, True, False]


def test_several_metrics_have_no_stopped_trials(tmp_path):
    search = Search(sampler="tpe", num_samples=8, metrics=("loss:min", "gain:max"))
    made = study(tmp_path, search)
    made.ask(range(2))
    made.tell({0: Outcome((0.5, 2.0), stopped_at=7), 1: Outcome(None)})
    assert states(tmp_path) == [("COMPLETE", [0.5, 2.0]), ("FAIL", None)]


def test_a_population_that_only_counts_whole_trials_counts_stopped_ones(tmp_path):
    made = study(tmp_path, Search(sampler="nsga", num_samples=8, metrics=("loss:min",)))
    made.ask(range(1))
    made.tell({0: Outcome((0.5,), stopped_at=7)})
    assert states(tmp_path) == [("COMPLETE", [0.5])]


@pytest.mark.parametrize(
    ("sampler", "missing", "message"),
    [
        ("tpe", "optuna", "search.sampler needs Optuna: pip install 'mastery-jax[search]'"),
        ("cma", "cmaes", "search.sampler=cma needs cmaes: pip install 'mastery-jax[search]'"),
        ("gp", "torch", "search.sampler=gp needs PyTorch: pip install torch"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch, sampler, missing, message):
    monkeypatch.setattr(asks, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(RunError) as caught:
        asks.confirm(Search(sampler=sampler, metrics=("loss:min",)), SPACE)
    assert str(caught.value) == message
    monkeypatch.setattr(asks, "find_spec", lambda name: name)
    asks.confirm(Search(sampler=sampler, metrics=("loss:min",)), SPACE)


def test_what_a_sampler_cannot_is_refused(monkeypatch):
    monkeypatch.setattr(asks, "find_spec", lambda name: name)
    several = Search(sampler="cma", metrics=("loss:min", "gain:max"))
    with pytest.raises(ConfigError, match=r"cma seeks one metric, search.metrics names 2: .*=nsga"):
        asks.confirm(several, SPACE)
    choices = {"widths": SPACE["widths"]}
    with pytest.raises(ConfigError, match="cma needs numbers, and widths are choices"):
        asks.confirm(Search(sampler="cma", metrics=("loss:min",)), choices)
