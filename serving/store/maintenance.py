"""What the command line does with a database: look at it, and bring it up to date."""

import os
import pathlib

import sqlalchemy as sa
from sqlalchemy import exc

from mastery_jax.workflow.errors import ConfigError
from serving.store.database import READS, Database, reason
from serving.store.tables import FEEDBACK, NEWEST, PREDICTIONS

__all__ = ["look", "status", "upgrade"]


def upgrade(url: str) -> tuple[str | None, str]:
    """Take the steps that are missing; return the revision before and after.

    Raises:
        ConfigError: there is no such database, or it is newer than this program.
    """
    database = Database(url)
    try:
        before = database.revision()
        database.upgrade()
    except exc.SQLAlchemyError as error:
        raise refusal(database, error) from None
    finally:
        database.engine.dispose()
    return before, NEWEST


def look(url: str) -> str:
    """Return in one sentence how a server would find its database; nothing is changed.

    Raises:
        ConfigError: it could record nothing there.
    """
    database = Database(url)
    if database.is_sqlite and not _is_there(database):
        folder = pathlib.Path(str(database.url.database)).absolute().parent
        if not os.access(folder, os.W_OK):
            raise ConfigError(f"store: {database}: {folder} is no folder that can be written to")
        return f"store: {database} would be made"
    try:
        is_behind = database.is_behind()
        with database.engine.connect() as connection, connection.begin() as nothing:
            if database.is_sqlite:  # it has the lock to write
                connection.execute(sa.text("PRAGMA user_version = 0"))
            nothing.rollback()
    except exc.SQLAlchemyError as error:
        raise refusal(database, error) from None
    except ConfigError as error:
        raise ConfigError(f"store: {error}") from None
    finally:
        database.engine.dispose()
    return f"store: {database} {'would be brought up to date' if is_behind else 'is up to date'}"


def status(url: str) -> dict[str, str | int | None]:
    """Return the revision of the tables, the newest one, and the number of records.

    Raises:
        ConfigError: there is no such database.
    """
    database = Database(url)
    if database.is_sqlite and not _is_there(database):  # it would be made by looking at it
        raise ConfigError(f"store: {database} is not there")
    found: dict[str, str | int | None] = {"store": str(database), "newest": NEWEST}
    try:
        found["revision"] = database.revision()
        if found["revision"] is not None:
            with database.engine.connect().execution_options(**{READS: True}) as connection:
                for table in (PREDICTIONS, FEEDBACK):
                    count = sa.select(sa.func.count()).select_from(table)
                    found[table.name] = connection.scalar(count)
    except exc.SQLAlchemyError as error:
        raise refusal(database, error) from None
    finally:
        database.engine.dispose()
    return found


def _is_there(database: Database) -> bool:
    name = str(database.url.database)
    return name.startswith("file:") or pathlib.Path(name).is_file()


def refusal(database: Database, error: Exception) -> ConfigError:
    """Return the one sentence for a database that cannot be had."""
    return ConfigError(f"store: {database}: {reason(error)}")
