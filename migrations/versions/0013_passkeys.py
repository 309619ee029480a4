"""Add passkeys, with which staff sign in."""

import sqlalchemy as sa
from alembic import op

revision = "0013_passkeys"
down_revision = "0012_funnel_months"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("passkey_handle", sa.String(), nullable=True))
    op.create_table(
        "staff_passkeys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=False),
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_staff_passkeys_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_passkeys")),
        sa.UniqueConstraint("credential", name=op.f("uq_staff_passkeys_credential")),
    )
    op.create_index(op.f("ix_staff_passkeys_staff_id"), "staff_passkeys", ["staff_id"])


def downgrade() -> None:
    op.drop_table("staff_passkeys")
    with op.batch_alter_table("staff") as batch:
        batch.drop_column("passkey_handle")
