"""A search that was killed, at whatever point, ends with the table of one that was not."""

import pytest

from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import store
from mastery_jax.workflow.sweep.asks import Study
from mastery_jax.workflow.sweep.journal import Journal
from mastery_jax.workflow.sweep.ledger import Ledger
from tests.sweep.searches import load, measured, search, table


class Killed(BaseException):
    """What a test ends a search with, as a kill would."""


def nth(number, thing, half=None):
    """Wrap something so that its ``number``-th call does half of it, or nothing, and dies."""
    left = iter(range(number))

    def called(*args, **options):
        if next(left, None) is None:
            if half:
                half(*args)
            raise Killed
        return thing(*args, **options)

    return called


def half_a_commit(journal):
    path = journal.path
    content = path.read_bytes() if path.exists() else b""
    journal_commit(journal)
    new = path.read_bytes()
    path.write_bytes(new[: (len(content) + len(new)) // 2])


def half_an_append(folder, points):
    path = folder / "points.jsonl"
    before = path.read_bytes()
    store_append(folder, points)
    after = path.read_bytes()
    path.write_bytes(after[: (len(before) + len(after)) // 2])


journal_commit, store_append = Journal.commit, store.append_points
KILLS = {
    "mid-ask": (Study, "ask", None, 1),
    "before the ask is kept": (Journal, "commit", None, 3),
    "while the ask is kept": (Journal, "commit", half_a_commit, 3),
    "before the points": (store, "append_points", None, 1),
    "while points are written": (store, "append_points", half_an_append, 1),
    "before the run": (Ledger, "end", None, 32),
    "mid-lanes": (Ledger, "end", None, 41),
    "before the tell": (Study, "tell", None, 1),
    "before the tell is kept": (Journal, "commit", None, 4),
    "while the tell is kept": (Journal, "commit", half_a_commit, 4),
    "at the very first commit": (Journal, "commit", half_a_commit, 0),
}


@pytest.fixture(scope="module", params=["tpe", "nsga", "cma"])
def undisturbed(request, toy, tmp_path_factory):
    swept = load(toy, sampler=request.param, samples=64, batch=16)
    folder = tmp_path_factory.mktemp("undisturbed")
    search(folder, swept)
    return swept, folder


@pytest.mark.parametrize("where", KILLS)
def test_a_killed_search_ends_with_the_same_table(undisturbed, tmp_path, monkeypatch, where):
    swept, whole = undisturbed
    owner, name, half, number = KILLS[where]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, nth(number, getattr(owner, name), half))
        with pytest.raises(Killed):
            search(tmp_path, swept)
    over = set(Ledger(tmp_path, say=pytest.fail).over)
    said = []
    again = {lane.number for lane in search(tmp_path, swept, say=said.append)}
    assert not over & again
    assert table(tmp_path) == table(whole)
    assert store.points(tmp_path) == store.points(whole)
    assert bool(said) == (where == "at the very first commit")


def test_a_search_killed_between_two_params_of_a_trial(undisturbed, tmp_path, monkeypatch):
    swept, whole = undisturbed
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append_logs", nth(90, Journal.append_logs))
        with pytest.raises(Killed):
            search(tmp_path, swept)
    search(tmp_path, swept)
    assert table(tmp_path) == table(whole)


@pytest.mark.parametrize("damage", ["missing", "corrupt", "truncated"])
@pytest.mark.parametrize("points", ["kept", "missing"])
def test_a_lost_journal_is_made_again_from_the_lanes(undisturbed, tmp_path, damage, points):
    swept, whole = undisturbed
    with pytest.raises(Killed):
        search(tmp_path, swept, rows=nth(101, measured))
    path, said = tmp_path / "study.journal", []
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        kept = content[: content.index(b'"whole"') + 200]
        path.write_bytes(kept if damage == "truncated" else b"\0" + content[1:])
    if points == "missing":
        (tmp_path / "points.jsonl").unlink()
    ran = search(tmp_path, swept, say=said.append)
    assert [lane.number for lane in ran] == list(range(101, 128))
    assert table(tmp_path) == table(whole)
    assert store.points(tmp_path) == store.points(whole)
    assert len(said) == 1
    assert (tmp_path / "study.journal.damaged").exists() == (damage == "corrupt")


def test_an_interrupt_ends_it_and_it_goes_on(undisturbed, tmp_path):
    swept, whole = undisturbed
    interrupt = Interrupt()

    def watch(lane):
        interrupt.asked = bool(lane) and lane.number == 20

    ran = search(tmp_path, swept, watch=watch, interrupt=interrupt)
    assert [lane.number for lane in ran] == list(range(20))
    search(tmp_path, swept)
    assert table(tmp_path) == table(whole)
