"""Databases by their URLs, their migrations, and the commands."""

import importlib.util
import json
import subprocess
import sys
import threading

import click.testing
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event

from mastery_jax import cli
from mastery_jax.workflow.errors import ConfigError
from serving.settings import Settings, check
from serving.store import maintenance, routes, tables
from serving.store.database import Database
from tests.serving.recorded import LINE, fresh, judge, predict
from tests.serving.served import start

MIGRATIONS = "serving.store:migrations"
LIGHT = """
import sys, pathlib
from litestar.testing import TestClient
from serving.app import create_app
from serving.settings import Settings
with TestClient(create_app(Settings(models=pathlib.Path(sys.argv[1]), buckets=(2,)))) as client:
    assert client.post("/predict", json={"features": [1, 2, 3], "model_id": "flower"}).is_success
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
def url(request, tmp_path):
    """Give a database of each kind, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'predictions.sqlite3'}"
    return fresh(request.getfixturevalue("postgres"), is_upgraded=False)


def mastery(*words):
    done = click.testing.CliRunner().invoke(cli.main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_migrations_make_the_tables(url):
    assert maintenance.upgrade(url) == (None, tables.NEWEST)
    assert maintenance.upgrade(url) == (tables.NEWEST, tables.NEWEST)
    database = Database(url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSIONS})
        assert compare_metadata(context, tables.METADATA) == []
    database.engine.dispose()


def test_the_newest_step_is_the_last_one():
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    assert ScriptDirectory.from_config(config).get_current_head() == tables.NEWEST


def test_upgrades_at_the_same_time(url):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(maintenance.upgrade(url)[1])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tables.NEWEST] * 4


def test_the_commands(url):
    if not url.startswith("sqlite"):
        assert "revision: none" in mastery("db", "status", "--store", url)
    assert mastery("db", "upgrade", "--store", url) == "revision 0001, was without tables\n"
    assert mastery("db", "upgrade", "--store", url) == "revision 0001, as before\n"
    found = json.loads(mastery("db", "status", "--store", url, "--json"))
    assert (found["revision"], found["newest"]) == ("0001", "0001")
    assert (found["predictions"], found["feedback"]) == (0, 0)


def test_the_file_beside_the_models_is_the_usual_one(tmp_path, monkeypatch):
    mastery("db", "upgrade", "--models", tmp_path)
    assert (tmp_path / "predictions.sqlite3").is_file()
    monkeypatch.setenv("MASTERY_STORE", f"sqlite:///{tmp_path}/other.sqlite3")
    mastery("db", "upgrade", "--models", tmp_path)
    assert (tmp_path / "other.sqlite3").is_file()


def test_looking_makes_no_file(tmp_path):
    with pytest.raises(ConfigError, match="is not there"):
        maintenance.status(f"sqlite:///{tmp_path}/p.sqlite3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no URL"),
        ("predictions.sqlite3", "no URL"),
        ("postgresql://user:secret@host:port/db", "no URL"),
        ("mysql://user:secret@host/db", "mysql is not offered"),
        ("sqlite+aiosqlite:///p", "sqlite.aiosqlite is not offered"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
    ],
)
def test_what_is_no_url(url, why):
    with pytest.raises(ConfigError, match=f"store: .*{why}") as caught:
        Database(url)
    assert "secret" not in str(caught.value)


@pytest.mark.services("postgres")
def test_somebody_who_never_answers_is_behind_the_address(published, mute, monkeypatch, caplog):
    monkeypatch.setattr("serving.store.database.CONNECT", 2)  # seconds, the fewest that libpq takes
    with start(published, store=f"postgresql://mastery@{mute}/predictions") as client:
        name = predict(client, LINE)["prediction_id"]
        assert judge(client, name, 1).status_code == 503
        predict(client, LINE)
    assert "2 predictions were not recorded" in caplog.text


def test_a_question_does_not_wait_for_a_database_that_hangs(published, tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "PATIENCE", 0.1)
    go_on = threading.Event()
    monkeypatch.setattr(Database, "prepare", lambda _: go_on.wait())
    with start(published, store=f"sqlite:///{tmp_path}/p.sqlite3") as client:
        name = predict(client, LINE)["prediction_id"]
        refused = judge(client, name, 1)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        predict(client, LINE)
        go_on.set()


def test_every_wait_for_a_database_has_a_bound(tmp_path):
    with Database(f"sqlite:///{tmp_path}/p.sqlite3").engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000
    engine = Database("postgresql://mastery@127.0.0.1:1/predictions").engine
    _, given = engine.dialect.create_connect_args(engine.url)
    event.listen(engine, "do_connect", lambda *args: given.update(args[3]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.connect()
    assert (given["connect_timeout"], given["tcp_user_timeout"]) == (3, 10_000)
    assert given["options"] == "-c statement_timeout=10000"


def test_a_missing_driver(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'mastery-jax\[postgres\]'"):
        Database("postgresql://host/db")


def test_a_database_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="unable to open"):
        maintenance.upgrade(f"sqlite:///{tmp_path}/nowhere/p.sqlite3")


def test_a_password_is_not_shown():
    database = Database("postgresql://user:secret@127.0.0.1:1/db")
    assert str(database) == "postgresql+psycopg://user:***@127.0.0.1:1/db"
    with pytest.raises(ConfigError, match="refused") as caught:
        maintenance.status("postgresql://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan")])
def test_days_that_are_none(tmp_path, days):
    with pytest.raises(ConfigError, match="keep_days"):
        check(Settings(models=tmp_path, keep_days=days))


def test_a_server_without_a_store_imports_no_database(published):
    command = [sys.executable, "-c", LIGHT, str(published)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "litestar" in loaded
    assert loaded & {"sqlalchemy", "alembic", "psycopg", "redis", "advanced_alchemy"} == set()
