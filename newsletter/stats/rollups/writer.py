"""Collects what one transaction adds to a campaign's roll-ups, and writes it at the end.

All counting goes through here, adding and subtracting alike, so that all roll-ups agree.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.campaigns.models import CampaignTotals
from newsletter.db import Base, db, execute_dml, is_sqlite, table_of
from newsletter.stats.models import CampaignClass, CampaignGroup, CampaignHour
from newsletter.tracking.classify import HONEYPOT_LINK, HUMAN_CLASSES
from newsletter.tracking.models import EventKind, LinkTotals, MachineClass

#: A dimension and a name: one row of campaign_groups.
Segment = tuple[str, str]


class RollupWriter:
    """Pending changes of one campaign's roll-ups. The caller holds the lock of the campaign's totals."""

    def __init__(self, campaign_id: int) -> None:
        self.campaign_id = campaign_id
        self._totals: Counter[str] = Counter()
        self._hours: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
        self._classes: Counter[tuple[EventKind, MachineClass]] = Counter()
        self._links: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        self._groups: defaultdict[Segment, Counter[str]] = defaultdict(Counter)

    def add_hit(
        self,
        kind: EventKind,
        made_by: MachineClass,
        at: datetime,
        link: tuple[int, int | None],
        times: int = 1,
    ) -> None:
        """Count an open or click; ``link`` is its edition and number."""
        who = "human" if made_by in HUMAN_CLASSES else "machine"
        name = f"{kind.value}s_{who}"
        self._totals[name] += times
        self._hours[truncate_to_hour(at)][name] += times
        self._classes[kind, made_by] += times
        edition_id, number = link
        if number is not None and number != HONEYPOT_LINK:
            self._links[edition_id, number][who] += times

    def add_unique(self, kind: EventKind, at: datetime, groups: Iterable[Segment], times: int = 1) -> None:
        """Count a person's first open or click."""
        name = f"{kind.value}s_unique"
        self._totals[name] += times
        self._hours[truncate_to_hour(at)][name] += times
        for group in groups:
            self._groups[group][name] += times

    def add_reader(self, edition_id: int, number: int, times: int = 1) -> None:
        """Count a person who follows a link for the first time."""
        if number != HONEYPOT_LINK:
            self._links[edition_id, number]["unique_human"] += times

    def write(self) -> None:
        """Add everything to the tables."""
        totals = {name: getattr(CampaignTotals, name) + n for name, n in self._totals.items() if n}
        if totals:
            execute_dml(
                sa.update(CampaignTotals)
                .where(CampaignTotals.campaign_id == self.campaign_id)
                .values(**totals)
            )
        hours = ({"hour": hour} | counts for hour, counts in sorted(self._hours.items()))
        self._upsert(CampaignHour, hours)
        self._upsert(
            CampaignClass,
            (
                {"kind": kind, "machine_class": made_by, "count": n}
                for (kind, made_by), n in self._classes.items()
            ),
        )
        self._update_groups()
        self._update_links()

    def _upsert(self, model: type[Base], rows: Iterable[Mapping[str, Any]]) -> None:
        table = table_of(model)
        keys = {column.name for column in table.primary_key}
        counted = [column.name for column in table.columns if column.name not in keys]
        full = [
            {"campaign_id": self.campaign_id} | dict.fromkeys(counted, 0) | dict(row)
            for row in rows
            if any(row.get(name) for name in counted)
        ]
        if not full:
            return
        insert = sqlite.insert(table) if is_sqlite() else postgresql.insert(table)
        added = {name: table.c[name] + insert.excluded[name] for name in counted}
        db.session.execute(insert.on_conflict_do_update(index_elements=sorted(keys), set_=added), full)

    def _update_groups(self) -> None:
        for (dimension, name), counts in sorted(self._groups.items()):
            values = {column: getattr(CampaignGroup, column) + n for column, n in counts.items() if n}
            if values:
                execute_dml(
                    sa.update(CampaignGroup)
                    .where(
                        CampaignGroup.campaign_id == self.campaign_id,
                        CampaignGroup.dimension == dimension,
                        CampaignGroup.name == name,
                    )
                    .values(**values)
                )

    def _update_links(self) -> None:
        for (edition_id, number), counts in sorted(self._links.items()):
            values = {column: getattr(LinkTotals, column) + n for column, n in counts.items() if n}
            if values:
                execute_dml(
                    sa.update(LinkTotals)
                    .where(LinkTotals.edition_id == edition_id, LinkTotals.number == number)
                    .values(**values)
                )


def truncate_to_hour(at: datetime) -> datetime:
    """Return the beginning of the hour of an instant."""
    return at.replace(minute=0, second=0, microsecond=0)
