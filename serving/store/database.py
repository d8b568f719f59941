"""A database by its URL: opened, looked at, brought up to date."""

import importlib.util
import pathlib
import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError

from mastery_jax.workflow.errors import ConfigError
from serving.store.tables import NEWEST, VERSIONS

__all__ = ["READS", "Database", "reason"]

WANTED = "sqlite:///file.sqlite3 or postgresql://user@host/database"
READS = "reads"  # the option of a connection that writes nothing
BUSY = 1.0  # seconds that another program may hold SQLite's lock
CONNECT = 3  # seconds until PostgreSQL must have answered
STATEMENT = 10_000  # milliseconds that a statement may take there


def parse(text: str) -> sa.URL:
    """Return a URL with the driver that is used for it.

    Raises:
        ConfigError: it is none, or of another database.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):  # it may hold a password: it is not repeated
        raise ConfigError(f"store: what came is no URL of a database, wanted {WANTED}") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        if importlib.util.find_spec("psycopg") is None:
            raise ConfigError(
                "store: PostgreSQL needs a driver: pip install 'mastery-jax[postgres]'"
            )
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ConfigError(f"store: {url.drivername} is not offered, wanted {WANTED}")
    if url.database in (None, "", ":memory:"):
        raise ConfigError(f"store: SQLite needs a file, wanted {WANTED}")
    return url


class Database:
    """Where predictions are recorded.

    Raises:
        ConfigError: the URL is none, or its driver is missing.
    """

    def __init__(self, text: str) -> None:
        self.url = parse(text)
        self.is_sqlite = self.url.drivername.startswith("sqlite")
        given: dict[str, Any] = {"timeout": BUSY}
        if not self.is_sqlite:
            given = {
                "connect_timeout": CONNECT,
                "tcp_user_timeout": STATEMENT,
                "application_name": "mastery_jax",
                "options": f"-c statement_timeout={STATEMENT}",
            }
            given = {k: v for k, v in given.items() if k not in self.url.query}
        self.engine = sa.create_engine(
            self.url,
            connect_args=given,
            pool_pre_ping=True,
            pool_size=1,
            hide_parameters=True,  # an error's text goes to the log, people's data does not
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", set_up)
            event.listen(self.engine, "begin", begin)
        self._file: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Return the URL, its password hidden."""
        return self.url.render_as_string(hide_password=True)

    def revision(self) -> str | None:
        """Return the last step that was taken; None where there was none."""
        with self.engine.connect().execution_options(**{READS: True}) as connection:
            if not sa.inspect(connection).has_table(VERSIONS):
                return None
            return connection.scalar(sa.text(f"SELECT version_num FROM {VERSIONS}"))

    def is_behind(self) -> bool:
        """Say whether steps are missing, which the server takes itself: those of SQLite.

        Raises:
            ConfigError: somebody must run ``mastery db upgrade``, or a newer program.
        """
        current = self.revision()
        if current is not None and current > NEWEST:
            raise self.newer(current)
        if current != NEWEST and not self.is_sqlite:
            raise ConfigError(
                f"the tables of {self} are of revision {current or 'none'}, wanted {NEWEST}: "
                "run `mastery db upgrade`"
            )
        return current != NEWEST

    def prepare(self) -> None:
        """Have the tables as they must be: SQLite's are made, others are looked at.

        Raises:
            ConfigError: as :meth:`is_behind`.
        """
        if self.is_behind():
            self.upgrade()
        self._file = self._identity()

    def newer(self, current: str) -> ConfigError:
        """Return the refusal of tables that this program does not know."""
        return ConfigError(
            f"the tables of {self} are of revision {current}, newer than {NEWEST}: "
            "they need a newer mastery_jax"
        )

    def upgrade(self) -> None:
        """Take the steps that are missing, all or none; who comes meanwhile waits.

        Raises:
            ConfigError: the tables are newer than this program.
        """
        from alembic import command
        from alembic.config import Config

        current = self.revision()
        if current is not None and current > NEWEST:
            raise self.newer(current)
        config = Config()
        config.set_main_option("script_location", "serving.store:migrations")
        with self.engine.begin() as connection:  # on SQLite this has the lock
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), LOCK)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def is_there(self) -> bool:
        """Say whether the file is the one that was opened: SQLite would go on without it."""
        return self._file is None or self._file == self._identity()

    def _identity(self) -> tuple[int, int] | None:
        if not self.is_sqlite or str(self.url.database).startswith("file:"):
            return None
        try:
            found = pathlib.Path(str(self.url.database)).stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino


LOCK = {"name": VERSIONS}


def set_up(connection: sqlite3.Connection, _: object) -> None:
    """Set up a connection to SQLite: readers never wait, and transactions are ours alone."""
    connection.isolation_level = None  # its driver would begin late, and not before CREATE TABLE
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def begin(connection: sa.Connection) -> None:
    """Begin a transaction of SQLite; who will write takes the lock at once, or waits for it."""
    is_reading = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def reason(error: Exception) -> str:
    """Return the first line of what a database says."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return (str(said).splitlines() or [type(said).__name__])[0]
