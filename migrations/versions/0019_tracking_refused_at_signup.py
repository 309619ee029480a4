"""Remember what a sign-up form says against tracking until its link comes back."""

import sqlalchemy as sa
from alembic import op

revision = "0019_tracking_refused_at_signup"
down_revision = "0018_confirmed_words"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "signups", sa.Column("refuses_tracking", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    with op.batch_alter_table("signups") as batch:
        batch.drop_column("refuses_tracking")
