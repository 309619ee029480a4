"""Let the new mailbox confirm an address that the rights desk puts right."""

import sqlalchemy as sa
from alembic import op

revision = "0016_address_by_desk"
down_revision = "0012_funnel_months"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rights_requests", sa.Column("address_link_id", sa.Integer(), nullable=True))
    op.add_column(
        "rights_requests", sa.Column("address_confirmed_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    with op.batch_alter_table("rights_requests") as batch:
        batch.drop_column("address_confirmed_at")
        batch.drop_column("address_link_id")
