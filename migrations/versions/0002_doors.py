"""Every door in and out: imports, links to the mailbox, the funnel, receipts, remarks and proof of others."""

import sqlalchemy as sa
from alembic import op

revision = "0002_doors"
down_revision = "0001_first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("file_hash", sa.String(), nullable=False),
        sa.Column("lists", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    with op.batch_alter_table("consents") as batch:
        batch.add_column(sa.Column("remarks", sa.String(), nullable=True))
        batch.add_column(sa.Column("import_id", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("source", sa.String(), nullable=True))
        batch.add_column(sa.Column("proof", sa.String(), nullable=True))
        batch.create_foreign_key(op.f("fk_consents_import_id_imports"), "imports", ["import_id"], ["id"])
    _make_links()
    _make_funnel()
    op.add_column(
        "campaign_totals", sa.Column("uniques_closed_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("signups", sa.Column("form_host", sa.String(), nullable=True))
    op.add_column("subscriptions", sa.Column("receipt_at", sa.DateTime(timezone=True), nullable=True))
    undelivered = sa.text("status in ('failed', 'uncertain')")
    op.create_index(
        "ix_outbox_undelivered", "outbox", ["id"], postgresql_where=undelivered, sqlite_where=undelivered
    )


def _make_links() -> None:
    purposes = ("address", "new_address", "choice", "copy", "erasure")
    op.create_table(
        "fresh_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column(
            "purpose", sa.Enum(*purposes, name="linkpurpose", native_enum=False, length=20), nullable=False
        ),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("new_address", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("allows_tracking", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscribers.id"],
            name=op.f("fk_fresh_links_subscriber_id_subscribers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fresh_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_fresh_links_token_hash")),
    )
    op.create_index(op.f("ix_fresh_links_created_at"), "fresh_links", ["created_at"])
    op.create_index(op.f("ix_fresh_links_subscriber_id"), "fresh_links", ["subscriber_id"])


def _make_funnel() -> None:
    steps = ("shown", "sent_in", "mail_accepted", "page_opened", "confirmed")
    op.create_table(
        "funnel",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("list_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("form_host", sa.String(), nullable=False),
        sa.Column("step", sa.Enum(*steps, name="funnelstep", native_enum=False, length=20), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_funnel_list_id_lists")),
        sa.PrimaryKeyConstraint(
            "day", "list_id", "language", "form_host", "step", "shard", name=op.f("pk_funnel")
        ),
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_undelivered", table_name="outbox")
    op.drop_column("subscriptions", "receipt_at")
    op.drop_column("signups", "form_host")
    op.drop_column("campaign_totals", "uniques_closed_at")
    op.drop_table("funnel")
    op.drop_table("fresh_links")
    with op.batch_alter_table("consents") as batch:
        batch.drop_constraint(op.f("fk_consents_import_id_imports"), type_="foreignkey")
        for column in ("proof", "source", "import_id", "remarks"):
            batch.drop_column(column)
    op.drop_table("imports")
