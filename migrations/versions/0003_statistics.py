"""Roll-ups by hour, class and group; lists by day; recent clicks; walks along the raw records."""

import sqlalchemy as sa
from alembic import op

revision = "0003_statistics"
down_revision = "0002_doors"
branch_labels = None
depends_on = None

COUNTS = ("opens_human", "opens_machine", "opens_unique", "clicks_human", "clicks_machine", "clicks_unique")
CLASSES = ("human", "proxy", "apple_mpp", "apple_suspected", "scanner", "bot")


def upgrade() -> None:
    op.create_table(
        "campaign_hours",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_hours_campaign_id_campaigns"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "hour", name=op.f("pk_campaign_hours")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "campaign_classes",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("open", "click", name="eventkind", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column(
            "machine_class",
            sa.Enum(*CLASSES, name="machineclass", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_classes_campaign_id_campaigns"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "kind", "machine_class", name=op.f("pk_campaign_classes")),
    )
    op.create_table(
        "campaign_groups",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("recipients", "accepted", "failed", "measured", "unsubscribed")
        ),
        sa.Column("opens_unique", sa.Integer(), nullable=False),
        sa.Column("clicks_unique", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_groups_campaign_id_campaigns"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "dimension", "name", name=op.f("pk_campaign_groups")),
    )
    op.create_table(
        "list_days",
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("joined", sa.Integer(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["list_id"], ["lists.id"], name=op.f("fk_list_days_list_id_lists"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("list_id", "day", name=op.f("pk_list_days")),
    )
    op.create_table(
        "recent_clicks",
        sa.Column("subscriber_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "machine_class",
            sa.Enum(*CLASSES, name="machineclass", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.Column("is_reader", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber_id", "event_id", name=op.f("pk_recent_clicks")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "walks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("last_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_walks")),
    )
    _fill()


def downgrade() -> None:
    for name in (
        "walks",
        "recent_clicks",
        "list_days",
        "campaign_groups",
        "campaign_classes",
        "campaign_hours",
    ):
        op.drop_table(name)


def _fill() -> None:
    """Count what there is: the raw records by hour and class, and people by their first hour."""
    if op.get_bind().dialect.name == "sqlite":
        hour = "strftime('%Y-%m-%d %H:00:00.000000', {})"
    else:
        hour = "date_trunc('hour', {}, 'UTC')"
    op.execute(
        "INSERT INTO campaign_classes (campaign_id, kind, machine_class, count) "
        "SELECT campaign_id, kind, machine_class, count(*) FROM events "
        "WHERE campaign_id IN (SELECT id FROM campaigns) GROUP BY campaign_id, kind, machine_class"
    )
    pieces = []
    for kind in ("open", "click"):
        human = "machine_class IN ('human', 'proxy')"
        for who, condition in (("human", human), ("machine", f"NOT {human}")):
            pieces.append(
                f"SELECT campaign_id, {hour.format('at')} AS hour, '{kind}s_{who}' AS what FROM events "  # noqa: S608
                f"WHERE kind = '{kind}' AND {condition} AND campaign_id IN (SELECT id FROM campaigns)"
            )
        pieces.append(
            f"SELECT campaign_id, {hour.format(f'first_{kind}_at')}, '{kind}s_unique' FROM deliveries "  # noqa: S608
            f"WHERE first_{kind}_at IS NOT NULL"
        )
    sums = ", ".join(f"sum(CASE WHEN what = '{name}' THEN 1 ELSE 0 END)" for name in COUNTS)
    op.execute(
        f"INSERT INTO campaign_hours (campaign_id, hour, {', '.join(COUNTS)}) "  # noqa: S608
        f"SELECT campaign_id, hour, {sums} FROM ({' UNION ALL '.join(pieces)}) AS hits "
        "GROUP BY campaign_id, hour"
    )
