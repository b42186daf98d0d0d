"""Since when something is gone, and since when a file is named by nothing."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("tombstones", sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    op.add_column("files", sa.Column("unused_since", sa.BigInteger(), nullable=True))
    tombstones = sa.table("tombstones", sa.column("deleted_at", sa.BigInteger()))
    # When they were buried was not kept: as if today.
    op.execute(tombstones.update().values(deleted_at=int(time.time())))
    op.create_index(op.f("ix_tombstones_deleted_at"), "tombstones", ["deleted_at"], unique=False)
