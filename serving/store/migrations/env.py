"""What Alembic runs: the steps, over the connection that it was given."""

from alembic import context

from serving.store.tables import VERSIONS

if __name__ == "env_py":  # as Alembic calls it; whoever imports it has no steps to take
    context.configure(connection=context.config.attributes["connection"], version_table=VERSIONS)
    with context.begin_transaction():
        context.run_migrations()
