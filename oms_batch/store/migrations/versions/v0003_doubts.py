"""Partial matches that wait for a person, and what was decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def upgrade() -> None:
    op.create_table(
        "doubts",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        *map(_text, ("verdict", "register", "xkey", "period", "mo", "payer", "step", "differs")),
        *map(_text, ("asked_at", "due", "agree_by", "agreed_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doubts")),
        sa.UniqueConstraint("pair", name=op.f("uq_doubts_pair")),
    )
    op.create_index(op.f("ix_doubts_state"), "doubts", ["state"], unique=False)
    op.create_table(
        "doubt_moves",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("doubt_id", BIG, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        *map(_text, ("author", "reason", "at", "due")),
        sa.ForeignKeyConstraint(["doubt_id"], ["doubts.id"], name=op.f("fk_doubt_moves_doubt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doubt_moves")),
    )
    op.create_index(op.f("ix_doubt_moves_doubt_id"), "doubt_moves", ["doubt_id"], unique=False)
