"""Find raw records by person, in runs of numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0015_records_by_person"
down_revision = "0014_address_by_desk"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_events_run", "events", [sa.text("(id / 20000)"), "subscriber_id"])


def downgrade() -> None:
    op.drop_index("ix_events_run", table_name="events")
