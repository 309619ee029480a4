"""Add lists that staff are limited to, their choice of shortcuts, and counts of what processes did."""

import sqlalchemy as sa
from alembic import op

revision = "0011_lists_of_staff"
down_revision = "0010_statements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("staff") as batch:
        batch.add_column(sa.Column("lists", sa.JSON(none_as_null=True), nullable=True))
        batch.add_column(sa.Column("has_shortcuts", sa.Boolean(), nullable=True))
    op.execute(
        sa.table("staff", sa.column("has_shortcuts", sa.Boolean())).update().values(has_shortcuts=True)
    )
    with op.batch_alter_table("staff") as batch:
        batch.alter_column("has_shortcuts", existing_type=sa.Boolean(), nullable=False)
    with op.batch_alter_table("staff_invitations") as batch:
        batch.add_column(sa.Column("lists", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tallies")),
    )


def downgrade() -> None:
    op.drop_table("tallies")
    with op.batch_alter_table("staff_invitations") as batch:
        batch.drop_column("lists")
    with op.batch_alter_table("staff") as batch:
        batch.drop_column("has_shortcuts")
        batch.drop_column("lists")
