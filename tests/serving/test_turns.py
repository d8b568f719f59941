"""The turns of the thread that has the database: what comes first, and what may take how long."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.store import queries
from serving.store import writer as writers
from serving.store.log import Bounds, Waiting
from tests.serving.recorded import LINE, PATIENCE, judge, predict, until
from tests.serving.served import start


def test_a_question_that_comes_while_others_are_written_is_about_all_before_it(
    published, tmp_path, monkeypatch
):
    written, go_on = threading.Event(), threading.Event()
    with (
        start(published, store=f"sqlite:///{tmp_path}/p.sqlite3") as client,
        ThreadPoolExecutor(1) as caller,
    ):
        log = client.app.state.log
        flush = log.writer._flush

        def held():
            flush()
            written.set()
            assert go_on.wait(PATIENCE)

        monkeypatch.setattr(log.writer, "_flush", held)
        assert written.wait(PATIENCE)
        name = predict(client, LINE)["prediction_id"]
        answer = caller.submit(judge, client, name, 1)
        until(lambda: len(log.waiting.jobs) == 1)
        go_on.set()
        assert answer.result().status_code == 200


def test_live_accuracy_has_a_tenth_of_the_time_at_most(tmp_path, monkeypatch):
    now, looks = [1000.0], []

    def slow(connection, **_):
        looks.append(now[0])
        now[0] += 3.0
        return []

    monkeypatch.setattr(writers, "clock", lambda: now[0])
    monkeypatch.setattr(queries, "agreements", slow)
    writer = writers.Writer(f"sqlite:///{tmp_path}/p.sqlite3", Waiting(Bounds()), keep_days=1)
    writer._prepare()
    while now[0] < 1100:
        writer._is_judged = True  # feedback comes all the time
        writer._clean()
        now[0] += 0.1
    writer.database.engine.dispose()
    rests = np.diff(looks) - 3.0
    assert len(looks) == 4
    assert (rests >= 30).all()
