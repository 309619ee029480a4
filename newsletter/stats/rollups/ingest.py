"""Ingestion of opens and clicks: stores the raw records and updates the roll-ups in one transaction.

"Unique" means per delivery and human only. It is exact because each delivery and each link reader stores
that it was counted. The January purge deletes that, so it closes the campaign: later hits are counted, but
nobody as unique. A hit is kept only if the person allows tracking *now*: a withdrawal also covers mails
already sent.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from newsletter.campaigns.models import CampaignTotals, Edition
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import bind_list, db, execute_dml, insert_or_ignore_statement, is_sqlite, table_of
from newsletter.sending.models import Delivery
from newsletter.sending.worker.leasing import add_to_totals
from newsletter.stats.rollups import bulk_insert, click_bursts
from newsletter.stats.rollups.click_bursts import Click
from newsletter.stats.rollups.recipients import Recipient, measured_recipients
from newsletter.stats.rollups.segments import SegmentResolver, ensure_segments, lock_totals
from newsletter.stats.rollups.writer import RollupWriter, truncate_to_hour
from newsletter.subscribers.self_service.unsubscribe import campaign_unsubscribed
from newsletter.subscribers.signup import queue
from newsletter.tracking.classify import HONEYPOT_LINK, HUMAN_CLASSES, RULES_VERSION, Rules
from newsletter.tracking.loader import Hit, load
from newsletter.tracking.models import EventKind, LinkReader, MachineClass
from newsletter.tracking.personal_data import share_erasure_lock


def campaigns_of_editions(edition_ids: set[int]) -> dict[int, int]:
    """Return the campaign of each edition; an unknown edition is left out."""
    found = db.session.execute(sa.select(Edition.id, Edition.campaign_id).where(Edition.id.in_(edition_ids)))
    return dict(found.all())


def load_local_logs() -> int:
    """Load this machine's logs of signups and hits into the database; return how many hits. Commits."""
    queue.load_queued()
    return load_hits()


def load_hits(rest: Callable[[], None] = lambda: None) -> int:
    """Load this machine's hits into the tables and the roll-ups; return how many were read.

    Commits in batches, and calls ``rest`` in between.
    """
    return load(current_settings().instance_path / "spool", store=store_hits, rest=rest)


def store_hits(hits: Sequence[Hit]) -> None:
    """Store hits and add them to the roll-ups of their campaigns, in the caller's transaction."""
    share_erasure_lock()
    campaign_of = campaigns_of_editions({hit.edition_id for hit in hits})
    by_campaign: defaultdict[int, list[Hit]] = defaultdict(list)
    for hit in hits:
        if hit.edition_id in campaign_of:
            by_campaign[campaign_of[hit.edition_id]].append(hit)
    rules = Rules.of(current_settings())
    # In a fixed order, so that two loaders never wait for each other's rows.
    for campaign_id, campaign_hits in sorted(by_campaign.items()):
        is_open = lock_totals(campaign_id)
        _store_campaign(campaign_id, campaign_hits, rules, utcnow(), is_open=is_open)


def close_uniques(campaign_id: int, now: datetime) -> None:
    """Count no more unique readers of this campaign, in the caller's transaction."""
    lock_totals(campaign_id)
    execute_dml(
        sa.update(CampaignTotals)
        .where(CampaignTotals.campaign_id == campaign_id)
        .values(uniques_closed_at=now)
    )


def record_unsubscribe(_sender: object, *, campaign_id: int, subscriber_id: int, now: datetime) -> None:
    """Count an unsubscribe once for the campaign whose link was used."""
    lock_totals(campaign_id)
    counted = execute_dml(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.subscriber_id == subscriber_id,
            Delivery.unsubscribed_at.is_(None),
        )
        .values(unsubscribed_at=now)
    )
    add_to_totals(campaign_id, unsubscribed=counted)


def connect_signals() -> None:
    """Count unsubscribes through a newsletter's link."""
    campaign_unsubscribed.connect(record_unsubscribe)


@dataclass(slots=True)
class _IngestBatch:
    """What is worked on: one campaign's hits of one transaction."""

    campaign_id: int
    recipients: dict[int, Recipient]
    changes: RollupWriter
    groups: SegmentResolver
    #: False once the purge has closed the campaign's uniques.
    is_open: bool
    #: People counted now, with the moment that stands for them; None takes the count back.
    firsts: dict[EventKind, dict[int, datetime | None]] = field(
        default_factory=lambda: {kind: {} for kind in EventKind}
    )

    def first_at(self, kind: EventKind, subscriber_id: int) -> datetime | None:
        """Return when this person was counted, this step's changes included."""
        if subscriber_id in self.firsts[kind]:
            return self.firsts[kind][subscriber_id]
        return self.recipients[subscriber_id].first_at(kind)

    def count_person(self, kind: EventKind, subscriber_id: int, at: datetime) -> bool:
        """Count a person for a kind unless they are; tell whether it counted."""
        recipient = self.recipients.get(subscriber_id)
        if (
            not self.is_open
            or recipient is None
            or recipient.edition_id is None
            or self.first_at(kind, subscriber_id) is not None
        ):
            return False
        self.firsts[kind][subscriber_id] = at
        self.changes.add_unique(kind, at, self.groups.segments_of(recipient))
        return True

    def uncount_person(self, kind: EventKind, subscriber_id: int) -> None:
        """Undo the count of a person for a kind."""
        at = self.first_at(kind, subscriber_id)
        if at is not None:
            self.firsts[kind][subscriber_id] = None
            self.changes.add_unique(kind, at, self.groups.segments_of(self.recipients[subscriber_id]), -1)


def _store_campaign(campaign_id: int, hits: list[Hit], rules: Rules, now: datetime, *, is_open: bool) -> None:
    recipients = measured_recipients(campaign_id, {hit.subscriber_id for hit in hits if hit.subscriber_id})
    kept = [hit for hit in hits if _may_store(hit, recipients)]
    if not kept:
        return
    ensure_segments(campaign_id, now)
    batch = _IngestBatch(
        campaign_id, recipients, RollupWriter(campaign_id), SegmentResolver(campaign_id), is_open
    )
    classes = [_classify(hit, recipients, rules) for hit in kept]
    opens, clicks = [], []
    for hit, made_by in zip(kept, classes, strict=True):
        if not hit.subscriber_id:
            batch.changes.add_hit(hit.kind, made_by, hit.at, (hit.edition_id, hit.link_number))
        elif hit.kind is EventKind.CLICK:
            clicks.append((hit, _make_click(hit, made_by)))
        else:
            opens.append((hit, made_by))
    _store_opens(batch, opens)
    _store_clicks(batch, clicks, rules, now)
    _write_first_times(batch)
    batch.changes.write()


def _may_store(hit: Hit, recipients: dict[int, Recipient]) -> bool:
    if not hit.subscriber_id:
        return current_settings().tracking == "aggregate"
    recipient = recipients.get(hit.subscriber_id)
    return recipient is not None and (recipient.allowed_from is None or hit.at >= recipient.allowed_from)


def _classify(hit: Hit, recipients: dict[int, Recipient], rules: Rules) -> MachineClass:
    if hit.machine_class is not None and hit.link_number != HONEYPOT_LINK:
        return hit.machine_class
    recipient = recipients.get(hit.subscriber_id)
    after = recipient.since_acceptance(hit.at) if recipient else None
    return rules.classify(hit.user_agent, hit.ip or "", after=after, link=hit.link_number)


def _make_click(hit: Hit, made_by: MachineClass) -> Click:
    return Click(hit.subscriber_id, hit.edition_id, hit.link_number or HONEYPOT_LINK, hit.at, made_by)


def _store_opens(batch: _IngestBatch, opens: list[tuple[Hit, MachineClass]]) -> None:
    if not opens:
        return
    _insert_events(batch.campaign_id, opens)
    seen: Counter[tuple[MachineClass, datetime, int]] = Counter()
    for hit, made_by in opens:
        seen[made_by, truncate_to_hour(hit.at), hit.edition_id] += 1
    for (made_by, hour, edition_id), times in seen.items():
        batch.changes.add_hit(EventKind.OPEN, made_by, hour, (edition_id, None), times)
    humans = sorted((hit.at, hit.subscriber_id) for hit, made_by in opens if made_by in HUMAN_CLASSES)
    for at, subscriber_id in humans:
        batch.count_person(EventKind.OPEN, subscriber_id, at)


def _store_clicks(batch: _IngestBatch, new: list[tuple[Hit, Click]], rules: Rules, now: datetime) -> None:
    if not new:
        return
    clicks = [click for _hit, click in new]
    recent = click_bursts.find_related_clicks(clicks, rules)
    by_recipient: defaultdict[tuple[int, int], list[Click]] = defaultdict(list)
    for click in (*recent, *clicks):
        by_recipient[click.edition_id, click.subscriber_id].append(click)
    changed = [
        click
        for person_clicks in by_recipient.values()
        for click in click_bursts.mark_bursts(person_clicks, rules)
    ]
    revoked = [click for click in changed if click.event_id]
    replacements = _uncount_clicks(batch, revoked, recent)
    ids = _insert_events(batch.campaign_id, [(hit, click.machine_class) for hit, click in new])
    for click, event_id in zip(clicks, ids, strict=True):
        click.event_id = event_id
    seen = Counter(
        (click.machine_class, truncate_to_hour(click.at), click.edition_id, click.number) for click in clicks
    )
    for (made_by, hour, edition_id, number), times in seen.items():
        batch.changes.add_hit(EventKind.CLICK, made_by, hour, (edition_id, number), times)
    _count_people(batch, [*replacements, *sorted(clicks, key=lambda click: click.at)])
    click_bursts.update_clicks([*revoked, *replacements])
    click_bursts.store_clicks(clicks, now)


def _uncount_clicks(batch: _IngestBatch, revoked: list[Click], recent: list[Click]) -> list[Click]:
    """Uncount clicks; return those other recent clicks of these people that may stand in for them."""
    for click in revoked:
        link = (click.edition_id, click.number)
        batch.changes.add_hit(EventKind.CLICK, click.was or MachineClass.HUMAN, click.at, link, -1)
        batch.changes.add_hit(EventKind.CLICK, click.machine_class, click.at, link)
        if click.is_first and batch.is_open:
            batch.uncount_person(EventKind.CLICK, click.subscriber_id)
        if click.is_reader and batch.is_open:
            batch.changes.add_reader(*link, -execute_dml(_delete_link_reader(click)))
    counted = [click for click in revoked if click.is_first or click.is_reader]
    for click in revoked:
        click.is_first = click.is_reader = False
    if not counted:
        return []
    known = {click.event_id: click for click in recent}
    others = click_bursts.find_recent_clicks(
        {click.subscriber_id for click in counted}, {click.edition_id for click in counted}
    )
    remaining = [known.get(click.event_id, click) for click in others]
    return sorted((click for click in remaining if click.is_human), key=lambda click: click.at)


def _delete_link_reader(click: Click) -> sa.Delete:
    return sa.delete(LinkReader).where(
        LinkReader.edition_id == click.edition_id,
        LinkReader.number == click.number,
        LinkReader.subscriber_id == click.subscriber_id,
    )


def _count_people(batch: _IngestBatch, clicks: list[Click]) -> None:
    human = [click for click in clicks if click.is_human and batch.recipients[click.subscriber_id].edition_id]
    for click in human:
        if batch.count_person(EventKind.CLICK, click.subscriber_id, click.at):
            click.is_first = True
    if not batch.is_open:
        return
    new = _insert_link_readers({(click.edition_id, click.number, click.subscriber_id) for click in human})
    for click in human:
        key = (click.edition_id, click.number, click.subscriber_id)
        if key in new:
            new.discard(key)
            click.is_reader = True
            batch.changes.add_reader(click.edition_id, click.number)


def _write_first_times(batch: _IngestBatch) -> None:
    table = table_of(Delivery)
    for kind, column in ((EventKind.OPEN, "first_open_at"), (EventKind.CLICK, "first_click_at")):
        rows = [{"who": who, "at": at} for who, at in sorted(batch.firsts[kind].items())]
        if rows:
            db.session.connection().execute(
                sa.update(table)
                .where(table.c.campaign_id == batch.campaign_id, table.c.subscriber_id == sa.bindparam("who"))
                .values({column: sa.bindparam("at", type_=table.c[column].type)}),
                rows,
            )


_COLUMNS = (
    "id", "at", "campaign_id", "edition_id", "subscriber_id", "kind", "link_number", "ip", "user_agent",
    "machine_class", "rules_version",
)  # fmt: skip


def _insert_events(campaign_id: int, hits: list[tuple[Hit, MachineClass]]) -> list[int]:
    """Store the raw records and return their numbers, in the same order."""
    moment = bulk_insert.timestamp_writer()
    ids = list(bulk_insert.reserve_ids("events", len(hits)))
    rows = [
        (
            event_id, moment(hit.at), campaign_id, hit.edition_id, hit.subscriber_id, hit.kind.value,
            hit.link_number, hit.ip, hit.user_agent, made_by.value, RULES_VERSION,
        )
        for event_id, (hit, made_by) in zip(ids, hits, strict=True)
    ]  # fmt: skip
    bulk_insert.bulk_insert("events", _COLUMNS, rows)
    return ids


def _insert_link_readers(readers: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """Store who followed which link; return those who had not before."""
    by_link: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for edition_id, number, subscriber_id in sorted(readers):
        by_link[edition_id, number].append(subscriber_id)
    statement = _link_readers_statement(for_sqlite=is_sqlite())
    new = set()
    for (edition_id, number), people in by_link.items():
        values = {"edition": edition_id, "link": number, "people": bind_list(people)}
        new |= {(edition_id, number, who) for who in db.session.execute(statement, values).scalars()}
    return new


@cache
def _link_readers_statement(*, for_sqlite: bool) -> sa.Insert:
    # One value for all people of a link: most of them have followed it before, and nothing comes of them.
    who: sa.ColumnElement[int]
    if for_sqlite:
        who = sa.func.json_each(sa.bindparam("people", type_=sa.String)).table_valued("value").c.value
    else:
        who = sa.func.unnest(sa.bindparam("people", type_=postgresql.ARRAY(sa.Integer))).column_valued("who")
    given = sa.select(sa.bindparam("edition", type_=sa.Integer), sa.bindparam("link", type_=sa.Integer), who)
    return (
        insert_or_ignore_statement(LinkReader)
        # SQLite would take ON CONFLICT for the ON of a join, did no WHERE stand before it.
        .from_select(["edition_id", "number", "subscriber_id"], given.where(who > 0))
        .returning(LinkReader.subscriber_id)
    )
