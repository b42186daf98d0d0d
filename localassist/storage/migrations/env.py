"""Alembic's entry point: runs on the connection that ``Database`` hands over, inside its lock."""

from __future__ import annotations

from alembic import context

from localassist.storage.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
context.run_migrations()
