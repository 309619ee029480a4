"""Count the deferred, and keep the funnel by month."""

import sqlalchemy as sa
from alembic import op

revision = "0012_funnel_months"
down_revision = "0011_lists_of_staff"
branch_labels = None
depends_on = None

STEPS = ("shown", "sent_in", "mail_accepted", "page_opened", "confirmed")


def upgrade() -> None:
    op.add_column(
        "campaign_totals", sa.Column("deferred", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_table(
        "funnel_months",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("form_host", sa.String(), nullable=False),
        sa.Column("step", sa.Enum(*STEPS, name="funnelstep", native_enum=False, length=20), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_funnel_months_list_id_lists")),
        sa.PrimaryKeyConstraint(
            "month", "list_id", "language", "form_host", "step", name=op.f("pk_funnel_months")
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("funnel_months")
    with op.batch_alter_table("campaign_totals") as batch:
        batch.drop_column("deferred")
