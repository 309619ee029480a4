"""Versions of editions, held schedules, second persons, pictures, and lists with an archive.

Only adds columns, so no table is remade and nothing waits for long. What is there stays as it was:
a list that exists is not made public by an upgrade.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_writing"
down_revision = "0004_privacy"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uploaded_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pictures")),
    )
    reason = sa.Enum("late", "refused", name="heldreason", native_enum=False, length=20)
    op.add_column("campaigns", sa.Column("held_reason", reason, nullable=True))
    op.add_column("campaigns", sa.Column("proposed_by", sa.String(), nullable=True))
    op.add_column("editions", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("editions", sa.Column("saved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("editions", sa.Column("saved_by", sa.String(), nullable=True))
    op.add_column("lists", sa.Column("is_public", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    for table, column in (
        ("lists", "is_public"), ("editions", "saved_by"), ("editions", "saved_at"), ("editions", "version"),
        ("campaigns", "proposed_by"), ("campaigns", "held_reason"),
    ):  # fmt: skip
        op.drop_column(table, column)
    op.drop_table("pictures")
