"""Remember when a staff account was closed, and when it was cleared of its person."""

import sqlalchemy as sa
from alembic import op

revision = "0017_staff_cleared"
down_revision = "0016_openid"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("staff", sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True))
    # Nobody wrote down when those closed so far were; their time begins now.
    op.execute("UPDATE staff SET closed_at = CURRENT_TIMESTAMP WHERE NOT active")


def downgrade() -> None:
    with op.batch_alter_table("staff") as batch:
        batch.drop_column("cleared_at")
        batch.drop_column("closed_at")
