"""What the command line does with a database: look at it, and bring it up to date."""

import pathlib

import sqlalchemy as sa
from sqlalchemy import exc

from mastery_jax.workflow.errors import ConfigError
from serving.store.database import READS, Database, reason
from serving.store.tables import FEEDBACK, NEWEST, PREDICTIONS

__all__ = ["status", "upgrade"]


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
