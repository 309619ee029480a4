"""Remember who somebody is to the provider of OpenID Connect."""

import sqlalchemy as sa
from alembic import op

revision = "0016_openid"
down_revision = "0015_records_by_person"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("openid_subject", sa.String(), nullable=True))
    op.create_index("ix_staff_openid_subject", "staff", ["openid_subject"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_staff_openid_subject", table_name="staff")
    with op.batch_alter_table("staff") as batch:
        batch.drop_column("openid_subject")
