"""Say of every outcome by which rule, and which version of the rules, it was judged."""

import sqlalchemy as sa
from alembic import op

revision = "0022_verdicts"
down_revision = "0021_periodic_runs"
branch_labels = None
depends_on = None

_JUDGED = ("deliveries", "outbox")


def upgrade() -> None:
    for table in _JUDGED:
        op.add_column(table, sa.Column("rule", sa.String(), nullable=True))
        op.add_column(table, sa.Column("rules", sa.Integer(), nullable=True))
    op.add_column("bounces", sa.Column("rules", sa.Integer(), nullable=True))
    op.add_column("bounces", sa.Column("said", sa.JSON(), nullable=True))
    op.create_table(
        "webhook_tokens",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_webhook_tokens")),
    )


def downgrade() -> None:
    op.drop_table("webhook_tokens")
    with op.batch_alter_table("bounces") as batch:
        batch.drop_column("said")
        batch.drop_column("rules")
    for table in reversed(_JUDGED):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("rules")
            batch.drop_column("rule")
