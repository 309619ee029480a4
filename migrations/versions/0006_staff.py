"""Add second steps, sessions and password resets of staff.

Sessions begun before this end: they have no row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006_staff"
down_revision = "0001_first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("staff") as batch:
        batch.add_column(sa.Column("totp_secret", sa.String(), nullable=True))
        batch.add_column(sa.Column("totp_counter", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("recovery_hashes", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("undertaken_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("undertaking_version", sa.Integer(), nullable=True))
    staff = sa.table("staff", sa.column("recovery_hashes", sa.JSON()))
    op.execute(staff.update().values(recovery_hashes=[]))
    with op.batch_alter_table("staff") as batch:
        batch.alter_column("recovery_hashes", existing_type=sa.JSON(), nullable=False)
    op.create_table(
        "staff_resets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_staff_resets_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_resets")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_staff_resets_token_hash")),
    )
    op.create_index(op.f("ix_staff_resets_staff_id"), "staff_resets", ["staff_id"])
    op.create_table(
        "staff_sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_staff_sessions_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_staff_sessions_token_hash")),
    )
    op.create_index(op.f("ix_staff_sessions_staff_id"), "staff_sessions", ["staff_id"])


def downgrade() -> None:
    op.drop_table("staff_sessions")
    op.drop_table("staff_resets")
    with op.batch_alter_table("staff") as batch:
        batch.drop_column("undertaking_version")
        batch.drop_column("undertaken_at")
        batch.drop_column("recovery_hashes")
        batch.drop_column("totp_counter")
        batch.drop_column("totp_secret")
