"""Accounts that a register left out because of the caps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "sequestered",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("xkey", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Text(), server_default="", nullable=False)
            for name in ("register", "period", "line", "what", "usl_ok", "date_z_2")
        ),
        sa.Column("sumv", sa.BigInteger(), server_default="0", nullable=False),
        *(
            sa.Column(name, sa.Text(), server_default="", nullable=False)
            for name in ("path", "at", "who", "new_register")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sequestered")),
        sa.UniqueConstraint("xkey", name=op.f("uq_sequestered_xkey")),
    )
    op.create_index(op.f("ix_sequestered_new_register"), "sequestered", ["new_register"], unique=False)
