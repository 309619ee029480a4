"""Make the tables of the rights desk, and seal the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0004_privacy"
down_revision = "0003_statistics"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bans",
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", "scope", name=op.f("pk_bans")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("measures", sa.String(), nullable=False),
        sa.Column("affected_count", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_table(
        "notices",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_notices")),
    )
    op.create_table(
        "purge_people",
        sa.Column("subscriber_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("subscriber_id", name=op.f("pk_purge_people")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "disclosures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("ground", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscribers.id"],
            name=op.f("fk_disclosures_subscriber_id_subscribers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disclosures")),
    )
    op.create_index(op.f("ix_disclosures_subscriber_id"), "disclosures", ["subscriber_id"], unique=False)

    op.create_table(
        "holds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("reason_code", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscribers.id"],
            name=op.f("fk_holds_subscriber_id_subscribers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(op.f("ix_holds_subscriber_id"), "holds", ["subscriber_id"], unique=False)

    op.create_table(
        "rights_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "access",
                "portability",
                "rectification",
                "erasure",
                "restriction",
                "objection",
                name="requestkind",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "unproven",
                "open",
                "done",
                "nothing_held",
                "refused",
                name="requeststatus",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("details", sa.String(), nullable=True),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("extended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("extension_reason", sa.String(), nullable=True),
        sa.Column("identified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("identified_by", sa.String(), nullable=True),
        sa.Column("token_hash", sa.String(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handler", sa.String(), nullable=True),
        sa.Column("reason_code", sa.String(), nullable=True),
        sa.Column("reason_text", sa.String(), nullable=True),
        sa.Column("reply", sa.String(), nullable=True),
        sa.Column("reply_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscribers.id"],
            name=op.f("fk_rights_requests_subscriber_id_subscribers"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rights_requests")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_rights_requests_token_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_rights_requests_address_hash"), "rights_requests", ["address_hash"], unique=False
    )
    op.create_index(op.f("ix_rights_requests_status"), "rights_requests", ["status"], unique=False)
    op.create_index(
        op.f("ix_rights_requests_subscriber_id"), "rights_requests", ["subscriber_id"], unique=False
    )

    op.create_table(
        "notification_tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["rights_requests.id"],
            name=op.f("fk_notification_tasks_request_id_rights_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_tasks")),
    )
    op.create_index(
        op.f("ix_notification_tasks_request_id"), "notification_tasks", ["request_id"], unique=False
    )

    op.add_column("audit", sa.Column("about", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("audit", sa.Column("salt", sa.String(), nullable=True))
    op.add_column("audit", sa.Column("personal_digest", sa.String(), nullable=True))
    op.add_column("audit", sa.Column("is_sealed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_index("ix_audit_object", "audit", ["object"], unique=False)
    op.create_index(
        "ix_audit_unsealed",
        "audit",
        ["id"],
        unique=False,
        sqlite_where=sa.text("NOT is_sealed"),
        postgresql_where=sa.text("NOT is_sealed"),
    )

    op.add_column("purge_runs", sa.Column("left_out", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("purge_runs", sa.Column("progress", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "purge_runs", sa.Column("is_gathered", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("purge_runs", sa.Column("actor", sa.String(), nullable=False, server_default="system"))

    op.add_column(
        "seals", sa.Column("is_row_deleted", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index(op.f("ix_seals_row_id"), "seals", ["row_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_seals_row_id"), table_name="seals")
    op.drop_column("seals", "is_row_deleted")
    for column in ("actor", "is_gathered", "progress", "left_out"):
        op.drop_column("purge_runs", column)
    for index in ("ix_audit_unsealed", "ix_audit_object", "ix_audit_at"):
        op.drop_index(index, table_name="audit")
    for column in ("is_sealed", "personal_digest", "salt", "about"):
        op.drop_column("audit", column)
    for table in (
        "notification_tasks",
        "rights_requests",
        "holds",
        "disclosures",
        "purge_people",
        "notices",
        "incidents",
        "bans",
    ):
        op.drop_table(table)
