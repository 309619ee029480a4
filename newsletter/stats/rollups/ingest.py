"""Adds what happens to the roll-ups, in the transaction of what happened.

"Unique" means per delivery and human only. It is exact because each delivery and each reader of a
link remembers being counted. The January purge makes them forget, so it closes the campaign: what
comes later is counted, but as nobody new. A hit is kept only if the person allows measuring *now*:
a withdrawal works for mails already sent.
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
from newsletter.config import settings
from newsletter.db import change, db, insert_ignoring, is_sqlite, listed, table_of
from newsletter.sending.models import Delivery
from newsletter.sending.worker.leasing import count
from newsletter.stats.rollups import bulk_insert, click_bursts
from newsletter.stats.rollups.click_bursts import Click
from newsletter.stats.rollups.recipients import Copy, measured_copies
from newsletter.stats.rollups.segments import GroupNames, ensure_groups, take_turn
from newsletter.stats.rollups.writer import Changes, hour_of
from newsletter.subscribers.self_service.unsubscribe import left
from newsletter.subscribers.signup import queue
from newsletter.tracking.classify import HUMAN, RULES_VERSION, TRAP, Rules
from newsletter.tracking.loader import Hit, load
from newsletter.tracking.models import EventKind, LinkReader, MachineClass
from newsletter.tracking.personal_data import share_turn_of_erasure


def campaigns_of(edition_ids: set[int]) -> dict[int, int]:
    """Return the campaign of each edition; an unknown edition is left out."""
    found = db.session.execute(sa.select(Edition.id, Edition.campaign_id).where(Edition.id.in_(edition_ids)))
    return dict(found.all())


def load_spool() -> int:
    """Load all that this machine has taken in and not stored yet; return how many hits were read."""
    queue.load()
    return load_hits()


def load_hits(rest: Callable[[], None] = lambda: None) -> int:
    """Load this machine's hits into the tables and the roll-ups; return how many were read.

    Commits in steps, and rests in between.
    """
    return load(settings().instance_path / "spool", store=store, rest=rest)


def store(hits: Sequence[Hit]) -> None:
    """Store hits and add them to the roll-ups of their campaigns, in the caller's transaction."""
    share_turn_of_erasure()
    campaign_of = campaigns_of({hit.edition_id for hit in hits})
    by_campaign: defaultdict[int, list[Hit]] = defaultdict(list)
    for hit in hits:
        if hit.edition_id in campaign_of:
            by_campaign[campaign_of[hit.edition_id]].append(hit)
    rules = Rules.of(settings())
    # In a fixed order, so that two loaders never wait for each other's rows.
    for campaign_id, theirs in sorted(by_campaign.items()):
        is_open = take_turn(campaign_id)
        _store_campaign(campaign_id, theirs, rules, utcnow(), is_open=is_open)


def close_uniques(campaign_id: int, now: datetime) -> None:
    """Count nobody as a new reader of this campaign from now on, in the caller's transaction."""
    take_turn(campaign_id)
    change(
        sa.update(CampaignTotals)
        .where(CampaignTotals.campaign_id == campaign_id)
        .values(uniques_closed_at=now)
    )


def record_left(_sender: object, *, campaign_id: int, subscriber_id: int, now: datetime) -> None:
    """Count a person once for the campaign whose link they left by."""
    take_turn(campaign_id)
    counted = change(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.subscriber_id == subscriber_id,
            Delivery.unsubscribed_at.is_(None),
        )
        .values(unsubscribed_at=now)
    )
    count(campaign_id, unsubscribed=counted)


def listen() -> None:
    """Hear of everyone who leaves by a newsletter's link."""
    left.connect(record_left)


@dataclass(slots=True)
class _Step:
    """What is worked on: one campaign's hits of one transaction."""

    campaign_id: int
    copies: dict[int, Copy]
    changes: Changes
    groups: GroupNames
    #: False once the purge has made everyone forget being counted.
    is_open: bool
    #: People counted now, with the moment that stands for them; None takes the count back.
    firsts: dict[EventKind, dict[int, datetime | None]] = field(
        default_factory=lambda: {kind: {} for kind in EventKind}
    )

    def first_at(self, kind: EventKind, subscriber_id: int) -> datetime | None:
        """Return when this person was counted, this step's changes included."""
        if subscriber_id in self.firsts[kind]:
            return self.firsts[kind][subscriber_id]
        return self.copies[subscriber_id].first_at(kind)

    def count_person(self, kind: EventKind, subscriber_id: int, at: datetime) -> bool:
        """Count a person for a kind unless they are; tell whether it counted."""
        copy = self.copies.get(subscriber_id)
        if (
            not self.is_open
            or copy is None
            or copy.edition_id is None
            or self.first_at(kind, subscriber_id) is not None
        ):
            return False
        self.firsts[kind][subscriber_id] = at
        self.changes.add_person(kind, at, self.groups.of(copy))
        return True

    def take_person_back(self, kind: EventKind, subscriber_id: int) -> None:
        """Count a person no longer."""
        at = self.first_at(kind, subscriber_id)
        if at is not None:
            self.firsts[kind][subscriber_id] = None
            self.changes.add_person(kind, at, self.groups.of(self.copies[subscriber_id]), -1)


def _store_campaign(campaign_id: int, hits: list[Hit], rules: Rules, now: datetime, *, is_open: bool) -> None:
    copies = measured_copies(campaign_id, {hit.subscriber_id for hit in hits if hit.subscriber_id})
    kept = [hit for hit in hits if _is_kept(hit, copies)]
    if not kept:
        return
    ensure_groups(campaign_id, now)
    step = _Step(campaign_id, copies, Changes(campaign_id), GroupNames(campaign_id), is_open)
    classes = [_class_of(hit, copies, rules) for hit in kept]
    opens, clicks = [], []
    for hit, made_by in zip(kept, classes, strict=True):
        if not hit.subscriber_id:
            step.changes.add_hit(hit.kind, made_by, hit.at, (hit.edition_id, hit.link_number))
        elif hit.kind is EventKind.CLICK:
            clicks.append((hit, _click(hit, made_by)))
        else:
            opens.append((hit, made_by))
    _store_opens(step, opens)
    _store_clicks(step, clicks, rules, now)
    _write_firsts(step)
    step.changes.write()


def _is_kept(hit: Hit, copies: dict[int, Copy]) -> bool:
    if not hit.subscriber_id:
        return settings().tracking == "aggregate"
    copy = copies.get(hit.subscriber_id)
    return copy is not None and (copy.allowed_from is None or hit.at >= copy.allowed_from)


def _class_of(hit: Hit, copies: dict[int, Copy], rules: Rules) -> MachineClass:
    if hit.machine_class is not None and hit.link_number != TRAP:
        return hit.machine_class
    copy = copies.get(hit.subscriber_id)
    after = copy.since_acceptance(hit.at) if copy else None
    return rules.classify(hit.user_agent, hit.ip or "", after=after, link=hit.link_number)


def _click(hit: Hit, made_by: MachineClass) -> Click:
    return Click(hit.subscriber_id, hit.edition_id, hit.link_number or TRAP, hit.at, made_by)


def _store_opens(step: _Step, opens: list[tuple[Hit, MachineClass]]) -> None:
    if not opens:
        return
    _insert_events(step.campaign_id, opens)
    seen: Counter[tuple[MachineClass, datetime, int]] = Counter()
    for hit, made_by in opens:
        seen[made_by, hour_of(hit.at), hit.edition_id] += 1
    for (made_by, hour, edition_id), times in seen.items():
        step.changes.add_hit(EventKind.OPEN, made_by, hour, (edition_id, None), times)
    humans = sorted((hit.at, hit.subscriber_id) for hit, made_by in opens if made_by in HUMAN)
    for at, subscriber_id in humans:
        step.count_person(EventKind.OPEN, subscriber_id, at)


def _store_clicks(step: _Step, new: list[tuple[Hit, Click]], rules: Rules, now: datetime) -> None:
    if not new:
        return
    clicks = [click for _hit, click in new]
    recent = click_bursts.find_recent(clicks, rules)
    by_copy: defaultdict[tuple[int, int], list[Click]] = defaultdict(list)
    for click in (*recent, *clicks):
        by_copy[click.edition_id, click.subscriber_id].append(click)
    changed = [click for theirs in by_copy.values() for click in click_bursts.judge(theirs, rules)]
    revoked = [click for click in changed if click.event_id]
    stand_ins = _take_back(step, revoked, recent)
    ids = _insert_events(step.campaign_id, [(hit, click.machine_class) for hit, click in new])
    for click, event_id in zip(clicks, ids, strict=True):
        click.event_id = event_id
    seen = Counter(
        (click.machine_class, hour_of(click.at), click.edition_id, click.number) for click in clicks
    )
    for (made_by, hour, edition_id, number), times in seen.items():
        step.changes.add_hit(EventKind.CLICK, made_by, hour, (edition_id, number), times)
    _count_people(step, [*stand_ins, *sorted(clicks, key=lambda click: click.at)])
    click_bursts.update([*revoked, *stand_ins])
    click_bursts.store(clicks, now)


def _take_back(step: _Step, revoked: list[Click], recent: list[Click]) -> list[Click]:
    """Uncount clicks; return those other recent clicks of these people that may stand in for them."""
    for click in revoked:
        link = (click.edition_id, click.number)
        step.changes.add_hit(EventKind.CLICK, click.was or MachineClass.HUMAN, click.at, link, -1)
        step.changes.add_hit(EventKind.CLICK, click.machine_class, click.at, link)
        if click.is_first and step.is_open:
            step.take_person_back(EventKind.CLICK, click.subscriber_id)
        if click.is_reader and step.is_open:
            step.changes.add_reader(*link, -change(_reader_of(click)))
    counted = [click for click in revoked if click.is_first or click.is_reader]
    for click in revoked:
        click.is_first = click.is_reader = False
    if not counted:
        return []
    known = {click.event_id: click for click in recent}
    others = click_bursts.all_recent(
        {click.subscriber_id for click in counted}, {click.edition_id for click in counted}
    )
    left_over = [known.get(click.event_id, click) for click in others]
    return sorted((click for click in left_over if click.is_human), key=lambda click: click.at)


def _reader_of(click: Click) -> sa.Delete:
    return sa.delete(LinkReader).where(
        LinkReader.edition_id == click.edition_id,
        LinkReader.number == click.number,
        LinkReader.subscriber_id == click.subscriber_id,
    )


def _count_people(step: _Step, clicks: list[Click]) -> None:
    human = [click for click in clicks if click.is_human and step.copies[click.subscriber_id].edition_id]
    for click in human:
        if step.count_person(EventKind.CLICK, click.subscriber_id, click.at):
            click.is_first = True
    if not step.is_open:
        return
    new = _add_readers({(click.edition_id, click.number, click.subscriber_id) for click in human})
    for click in human:
        key = (click.edition_id, click.number, click.subscriber_id)
        if key in new:
            new.discard(key)
            click.is_reader = True
            step.changes.add_reader(click.edition_id, click.number)


def _write_firsts(step: _Step) -> None:
    table = table_of(Delivery)
    for kind, column in ((EventKind.OPEN, "first_open_at"), (EventKind.CLICK, "first_click_at")):
        rows = [{"who": who, "at": at} for who, at in sorted(step.firsts[kind].items())]
        if rows:
            db.session.connection().execute(
                sa.update(table)
                .where(table.c.campaign_id == step.campaign_id, table.c.subscriber_id == sa.bindparam("who"))
                .values({column: sa.bindparam("at", type_=table.c[column].type)}),
                rows,
            )


_COLUMNS = (
    "id", "at", "campaign_id", "edition_id", "subscriber_id", "kind", "link_number", "ip", "user_agent",
    "machine_class", "rules_version",
)  # fmt: skip


def _insert_events(campaign_id: int, hits: list[tuple[Hit, MachineClass]]) -> list[int]:
    """Store the raw records and return their numbers, in the same order."""
    moment = bulk_insert.moments()
    ids = list(bulk_insert.reserve_ids("events", len(hits)))
    rows = [
        (
            event_id, moment(hit.at), campaign_id, hit.edition_id, hit.subscriber_id, hit.kind.value,
            hit.link_number, hit.ip, hit.user_agent, made_by.value, RULES_VERSION,
        )
        for event_id, (hit, made_by) in zip(ids, hits, strict=True)
    ]  # fmt: skip
    bulk_insert.insert("events", _COLUMNS, rows)
    return ids


def _add_readers(readers: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """Store who followed which link; return those who had not before."""
    by_link: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for edition_id, number, subscriber_id in sorted(readers):
        by_link[edition_id, number].append(subscriber_id)
    statement = _adding_readers(for_sqlite=is_sqlite())
    new = set()
    for (edition_id, number), people in by_link.items():
        values = {"edition": edition_id, "link": number, "people": listed(people)}
        new |= {(edition_id, number, who) for who in db.session.execute(statement, values).scalars()}
    return new


@cache
def _adding_readers(*, for_sqlite: bool) -> sa.Insert:
    # One value for all people of a link: most of them have followed it before, and nothing comes of them.
    who: sa.ColumnElement[int]
    if for_sqlite:
        who = sa.func.json_each(sa.bindparam("people", type_=sa.String)).table_valued("value").c.value
    else:
        who = sa.func.unnest(sa.bindparam("people", type_=postgresql.ARRAY(sa.Integer))).column_valued("who")
    given = sa.select(sa.bindparam("edition", type_=sa.Integer), sa.bindparam("link", type_=sa.Integer), who)
    return (
        insert_ignoring(LinkReader)
        # SQLite would take ON CONFLICT for the ON of a join, did no WHERE stand before it.
        .from_select(["edition_id", "number", "subscriber_id"], given.where(who > 0))
        .returning(LinkReader.subscriber_id)
    )
