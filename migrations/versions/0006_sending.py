"""Keep what servers say, and why the breaker paused a campaign."""

import sqlalchemy as sa
from alembic import op

revision = "0006_sending"
down_revision = "0005_writing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("reply_text", sa.String(), nullable=True))
    op.add_column("deliveries", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("campaigns", sa.Column("pause_reason", sa.String(), nullable=True))
    op.add_column("campaigns", sa.Column("pause_reply", sa.String(), nullable=True))


def downgrade() -> None:
    for table, columns in (
        ("campaigns", ("pause_reply", "pause_reason")),
        ("deliveries", ("decided_at", "reply_text")),
    ):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)
