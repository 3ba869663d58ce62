"""Kind of control and fine of an expert's decision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("decisions") as table:
        table.add_column(sa.Column("kind", sa.Text(), server_default="", nullable=False))
        table.add_column(sa.Column("fine", sa.BigInteger(), server_default="0", nullable=False))
