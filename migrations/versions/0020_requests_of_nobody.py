"""Blank what identifies whoever made an answered request and is no subscriber; number and hash stay."""

import sqlalchemy as sa
from alembic import op

revision = "0020_requests_of_nobody"
down_revision = "0019_tracking_refused_at_signup"
branch_labels = None
depends_on = None


def upgrade() -> None:
    requests = sa.table(
        "rights_requests",
        sa.column("subscriber_id"),
        sa.column("status"),
        sa.column("address"),
        sa.column("details"),
    )
    op.execute(
        sa.update(requests)
        .where(requests.c.subscriber_id.is_(None), requests.c.status.in_(["done", "nothing_held", "refused"]))
        .values(address=None, details=None)
    )


def downgrade() -> None:
    """Nothing comes back."""
