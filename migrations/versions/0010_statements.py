"""Add statements of persons, what those who received data are told, and the course of a breach.

Tasks that are open already have no letter: whoever works them off writes one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_statements"
down_revision = "0009_delivery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscribers.id"],
            name=op.f("fk_statements_subscriber_id_subscribers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statements")),
    )
    op.create_index(op.f("ix_statements_subscriber_id"), "statements", ["subscriber_id"])
    op.add_column("incidents", sa.Column("effects", sa.String(), nullable=False, server_default=""))
    op.add_column("incidents", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("disclosures", sa.Column("contact", sa.String(), nullable=True))
    kind = sa.Enum("recipient", "source", name="told", native_enum=False, length=20)
    op.add_column("notification_tasks", sa.Column("letter", sa.String(), nullable=True))
    op.add_column("notification_tasks", sa.Column("kind", kind, nullable=False, server_default="recipient"))


def downgrade() -> None:
    op.drop_column("notification_tasks", "kind")
    op.drop_column("notification_tasks", "letter")
    op.drop_column("disclosures", "contact")
    op.drop_column("incidents", "told_at")
    op.drop_column("incidents", "effects")
    op.drop_table("statements")
