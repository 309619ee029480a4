"""Remember which words that look like a placeholder somebody has said readers shall see."""

import sqlalchemy as sa
from alembic import op

revision = "0018_confirmed_words"
down_revision = "0017_staff_cleared"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("editions", sa.Column("confirmed_words", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    with op.batch_alter_table("editions") as batch:
        batch.drop_column("confirmed_words")
