"""Keep what the preflight found, who overrode it, how a campaign is spread, and the days of warming up."""

import sqlalchemy as sa
from alembic import op

revision = "0009_delivery"
down_revision = "0008_bounces"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "standings",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column(
            "grade",
            sa.Enum("fine", "note", "unknown", "failed", name="grade", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("word", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_standings")),
    )
    op.create_table(
        "sending_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_sending_days")),
    )
    op.add_column("campaigns", sa.Column("overridden_by", sa.String(), nullable=True))
    op.add_column("campaigns", sa.Column("spread_minutes", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("campaigns") as batch:
        batch.drop_column("spread_minutes")
        batch.drop_column("overridden_by")
    op.drop_table("sending_days")
    op.drop_table("standings")
