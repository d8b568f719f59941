"""Whatever happens to the database, predictions go on; the record resumes by itself."""

import contextlib
import logging
import sqlite3
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from mastery_jax.workflow.errors import ConfigError
from serving.store import maintenance
from serving.store import writer as writers
from serving.store.log import Bounds, Log
from tests.serving.recorded import LINE, fresh, judge, predict, until
from tests.serving.served import samples, start


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Have a database that failed tried again at once."""
    monkeypatch.setattr(writers, "RETRY", 0.05)


def dropped(client):
    return samples(client)["ml_prediction_log_dropped_total", ()]


def told(caplog):
    """Return what the log says of the record, less where it is."""
    lines = [r.getMessage() for r in caplog.records if r.name == writers.__name__]
    return [line.partition(":")[0].partition(";")[0] for line in lines]


def count(client):
    with client.app.state.log.writer.database.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM predictions"))


NOW, AGAIN = "predictions are not recorded now", "predictions are recorded again"


def test_a_locked_file(published, tmp_path, caplog):
    path = tmp_path / "p.sqlite3"
    caplog.set_level(logging.INFO, writers.__name__)
    with start(published, store=f"sqlite:///{path}") as client:
        first = predict(client, LINE)["prediction_id"]
        assert judge(client, first, 1).status_code == 200
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            names = [predict(client, LINE)["prediction_id"] for _ in range(20)]
            refused = judge(client, names[0], 1)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            until(lambda: told(caplog) == [NOW])
        until(lambda: told(caplog) == [NOW, AGAIN])
        listed = client.get("/predictions").json()
        assert [each["prediction_id"] for each in listed] == [*names[::-1], first]
        assert dropped(client) == 0


def test_a_file_that_may_only_be_read(published, tmp_path, caplog):
    path = tmp_path / "p.sqlite3"
    maintenance.upgrade(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=DELETE")
    with start(published, store=f"sqlite:///file:{path}?mode=ro&uri=true") as client:
        for _ in range(5):
            predict(client, LINE)
        assert client.get("/predictions").status_code == 503
    assert told(caplog) == [NOW, "5 predictions were not recorded"]


@pytest.mark.parametrize("where", ["nowhere/p.sqlite3", "file/p.sqlite3", ""])
def test_a_folder_that_cannot_be_written(published, tmp_path, caplog, where):
    (tmp_path / "file").touch()
    with start(published, store=f"sqlite:///{tmp_path}/{where}") as client:
        for _ in range(5):
            predict(client, LINE)
        assert client.get("/predictions").status_code == 503
        (tmp_path / "nowhere").mkdir()
        if where.startswith("nowhere"):
            until(lambda: client.get("/predictions").status_code == 200)
            assert len(client.get("/predictions").json()) == 5, "it has resumed"
    if not where.startswith("nowhere"):
        assert told(caplog) == [NOW, "5 predictions were not recorded"]


def test_a_full_disk(published, tmp_path, caplog):
    with start(published, store=f"sqlite:///{tmp_path}/p.sqlite3") as client:
        predict(client, LINE)
        client.get("/predictions")
        engine = client.app.state.log.writer.database.engine
        pages = {"max": 1}

        def limit(connection, _):
            connection.execute(f"PRAGMA max_page_count={pages['max']}")

        event.listen(engine, "connect", limit)
        engine.dispose()
        for _ in range(200):
            predict(client, LINE)
        until(lambda: told(caplog) == [NOW])
        assert "full" in caplog.text
        pages["max"] = 2**30
        engine.dispose()
        until(lambda: count(client) == 201)
        assert dropped(client) == 0


def test_a_file_that_is_taken_away(published, tmp_path):
    path = tmp_path / "p.sqlite3"
    with start(published, store=f"sqlite:///{path}") as client:
        predict(client, LINE)
        assert len(client.get("/predictions").json()) == 1
        for name in ("p.sqlite3", "p.sqlite3-wal", "p.sqlite3-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        predict(client, LINE)
        until(lambda: len(client.get("/predictions").json()) == 1)
        assert path.is_file(), "a new one"


def test_a_file_that_is_no_database(published, tmp_path, caplog):
    path = tmp_path / "p.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    with start(published, store=f"sqlite:///{path}") as client:
        predict(client, LINE)
        until(lambda: told(caplog) == [NOW])
        path.unlink()
        until(lambda: client.get("/predictions").status_code == 200)
        assert len(client.get("/predictions").json()) == 1


def test_a_database_that_is_newer(published, tmp_path, caplog):
    url = f"sqlite:///{tmp_path}/p.sqlite3"
    maintenance.upgrade(url)
    with contextlib.closing(sqlite3.connect(tmp_path / "p.sqlite3")) as other:
        other.execute("UPDATE predictions_version SET version_num = '9999'")
        other.commit()
    with start(published, store=url) as client:
        predict(client, LINE)
        until(lambda: "newer" in caplog.text)
    with pytest.raises(ConfigError, match="need a newer mastery_jax"):
        maintenance.upgrade(url)


@pytest.mark.services("postgres")
def test_tables_that_somebody_must_make(published, postgres, caplog):
    url = fresh(postgres, is_upgraded=False)
    with start(published, store=url) as client:
        name = predict(client, LINE)["prediction_id"]
        until(lambda: told(caplog) == [NOW])
        assert "run `mastery db upgrade`" in caplog.text
        assert maintenance.upgrade(url) == (None, "0001")
        until(lambda: judge(client, name, 1).status_code == 200)


@pytest.mark.services("postgres")
def test_a_server_that_restarts_under_load(published, postgres):
    over = threading.Event()
    with start(published, store=fresh(postgres)) as client:
        names = []

        def load():
            while not over.is_set():
                names.append(predict(client, LINE)["prediction_id"])

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(2):
                until(lambda: count(client) > 20)
                postgres.stop()
                enough = len(names) + 100
                until(lambda enough=enough: len(names) > enough)
                assert client.get("/predictions").status_code == 503
                postgres.start()
                until(lambda: client.get("/predictions").status_code == 200)
        finally:
            over.set()
            thread.join()
        until(lambda: client.get("/predictions").status_code == 200)
        kept = [name for name in names if name is not None]
        assert count(client) == len(kept), "each that has an id is there, once"
        assert len(names) - len(kept) == dropped(client)


@pytest.mark.services("postgres")
def test_nobody_is_behind_the_address(published, postgres, caplog):
    url = postgres.url.replace(str(postgres.port), "1").replace("mastery@", "mastery:secret@")
    with start(published, store=url) as client:
        predict(client, LINE)
        assert client.get("/predictions").status_code == 503
    assert told(caplog) == [NOW, "1 predictions were not recorded"]
    assert "secret" not in caplog.text


def test_a_full_queue_drops_and_counts(published, tmp_path):
    path = tmp_path / "p.sqlite3"
    with start(published, store=f"sqlite:///{path}") as client:
        client.get("/predictions")
        client.app.state.log.waiting.bounds = Bounds(records=5)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            names = [predict(client, LINE)["prediction_id"] for _ in range(200)]
            lost = names.count(None)
            assert lost > 0
            assert dropped(client) == lost
        until(lambda: client.get("/predictions").status_code == 200)
        until(lambda: count(client) == 200 - lost)


def test_one_record_at_fault_takes_no_other_with_it(published, tmp_path, caplog):
    with start(published, store=f"sqlite:///{tmp_path}/p.sqlite3") as client:
        client.get("/predictions")
        engine = client.app.state.log.writer.database.engine
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE TRIGGER bad BEFORE INSERT ON predictions WHEN new.request_id = 'bad' "
                    "BEGIN SELECT RAISE(ABORT, 'bad'); END"
                )
            )
        for name in ("a", "bad", "b"):
            client.post("/predict", json=LINE, headers={"X-Request-ID": name})
        listed = client.get("/predictions").json()
        assert [each["request_id"] for each in listed] == ["b", "a"]
        assert dropped(client) == 1
        assert "cannot be recorded" in caplog.text


def test_what_waits_is_written_at_the_end(published, tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "INTERVAL", 3600.0)
    url = f"sqlite:///{tmp_path}/p.sqlite3"
    with start(published, store=url) as client:
        for _ in range(30):
            predict(client, LINE)
    assert maintenance.status(url)["predictions"] == 30


def test_an_end_that_the_database_delays_is_bounded(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writers, "GRACE", 0.05)
    held, go = threading.Event(), threading.Event()
    log = Log(f"sqlite:///{tmp_path}/p.sqlite3")

    def hang():
        held.set()
        go.wait()

    monkeypatch.setattr(log.writer.database, "prepare", hang)
    with log:
        held.wait()
    assert "does not answer" in caplog.text
    go.set()
    log.writer._thread.join()


def test_two_servers_share_a_file(published, tmp_path):
    url = f"sqlite:///{tmp_path}/p.sqlite3"
    with start(published, store=url) as one, start(published, store=url) as other:
        names = {predict(client, LINE)["prediction_id"] for client in (one, other) * 10}
        assert len(names) == 20

        def listed():
            return {each["prediction_id"] for each in one.get("/predictions").json()}

        until(lambda: listed() == names)
        assert all(judge(one, name, 1).status_code == 200 for name in names)
