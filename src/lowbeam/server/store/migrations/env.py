"""Run by Alembic: runs the versions on the connection that `upgrade` opened, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
