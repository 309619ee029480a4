"""Applies the current machine-detection rules to the kept raw records, and corrects the figures."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign
from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore, read_transactions, table_of
from newsletter.sending.models import Delivery
from newsletter.stats.rollups.click_bursts import Click, mark_bursts
from newsletter.stats.rollups.recipients import Recipient, all_recipients
from newsletter.stats.rollups.segments import SegmentResolver, lock_totals
from newsletter.stats.rollups.writer import RollupWriter, truncate_to_hour
from newsletter.tracking.classify import HONEYPOT_LINK, HUMAN_CLASSES, RULES_VERSION, Rules
from newsletter.tracking.models import Event, EventKind, LinkReader, MachineClass, RecentClick

#: id, at, edition, subscriber, kind, link, ip, agent, class: what judging a record needs.
_COLUMNS = (
    Event.id, Event.at, Event.edition_id, Event.subscriber_id, Event.kind, Event.link_number, Event.ip,
    Event.user_agent, Event.machine_class,
)  # fmt: skip


def reclassify() -> int:
    """Apply the rules to every kept record; return how many changed. Commits campaign by campaign."""
    rules = Rules.of(current_settings())
    campaign_ids = db.session.scalars(sa.select(Campaign.id).order_by(Campaign.id)).all()
    db.session.rollback()
    return sum(_reclassify_campaign(campaign_id, rules) for campaign_id in campaign_ids)


def _reclassify_campaign(campaign_id: int, rules: Rules) -> int:
    """Judge a campaign's records anew. Most are read before the lock, so that others wait shortly."""
    records = sa.select(*_COLUMNS).where(Event.campaign_id == campaign_id).order_by(Event.id)
    with read_transactions():
        rows = list(db.session.execute(records))
        db.session.rollback()
    is_open = lock_totals(campaign_id)
    last = rows[-1].id if rows else 0
    rows += db.session.execute(records.where(Event.id > last))
    by_person: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_person[row.subscriber_id].append(row)
    recipients = all_recipients(campaign_id, by_person)
    changes, resolver = RollupWriter(campaign_id), SegmentResolver(campaign_id)
    changed: list[dict[str, Any]] = []
    firsts: list[dict[str, Any]] = []
    for subscriber_id, rows_of_person in by_person.items():
        recipient = recipients.get(subscriber_id)
        if recipient is None:
            continue  # erased while we read
        judged = _classify_person(rows_of_person, recipient, rules)
        differing = [row for row in rows_of_person if judged[row.id] is not row.machine_class]
        if not differing:
            continue
        changed += [{"key": row.id, "made_by": judged[row.id]} for row in differing]
        for row in differing:
            link = (row.edition_id, row.link_number)
            changes.add_hit(row.kind, row.machine_class, row.at, link, -1)
            changes.add_hit(row.kind, judged[row.id], row.at, link)
        if is_open:  # else nobody remembers who was counted, and the numbers of people stand
            firsts += _recount_person(rows_of_person, judged, recipient, changes, resolver)
    _write_changes(campaign_id, changes, changed, firsts)
    if rows:
        _stamp_rules_version(campaign_id, rows[0].id, rows[-1].id)
    db.session.commit()
    return len(changed)


def _classify_person(rows: Sequence[Any], recipient: Recipient, rules: Rules) -> dict[int, MachineClass]:
    judged = {}
    clicks: defaultdict[int, list[Click]] = defaultdict(list)
    for row in rows:
        ip = (row.ip or "").partition("/")[0]  # once cut, its network stands for it
        made_by = rules.classify(
            row.user_agent or "", ip, after=recipient.since_acceptance(row.at), link=row.link_number
        )
        judged[row.id] = made_by
        if row.kind is EventKind.CLICK:
            clicks[row.edition_id].append(
                Click(
                    row.subscriber_id,
                    row.edition_id,
                    row.link_number or HONEYPOT_LINK,
                    row.at,
                    made_by,
                    row.id,
                )
            )
    for rows_of_person in clicks.values():
        mark_bursts(rows_of_person, rules)
        judged |= {click.event_id: click.machine_class for click in rows_of_person}
    return judged


def _recount_person(
    rows: Sequence[Any],
    judged: dict[int, MachineClass],
    recipient: Recipient,
    changes: RollupWriter,
    resolver: SegmentResolver,
) -> list[dict[str, Any]]:
    """Correct for what one person is counted once; return what their delivery is to remember."""
    if recipient.edition_id is None:
        return []
    human = [row for row in rows if judged[row.id] in HUMAN_CLASSES]
    firsts = {"who": recipient.subscriber_id}
    for kind in EventKind:
        before = recipient.first_at(kind)
        after = min((row.at for row in human if row.kind is kind), default=None)
        if (before is None) != (after is None):
            changes.add_unique(
                kind,
                (before or after) or truncate_to_hour(rows[0].at),
                resolver.segments_of(recipient),
                -1 if before else 1,
            )
        else:
            after = before
        firsts[f"first_{kind.value}_at"] = after  # type: ignore[assignment] # a moment or none
    clicked = {(row.edition_id, row.link_number) for row in rows if row.kind is EventKind.CLICK}
    wanted = {(row.edition_id, row.link_number) for row in human if row.kind is EventKind.CLICK} - {
        (recipient.edition_id, HONEYPOT_LINK)
    }
    for edition_id, number in sorted(wanted):
        reader = {"edition_id": edition_id, "number": number, "subscriber_id": recipient.subscriber_id}
        changes.add_reader(edition_id, number, insert_or_ignore(LinkReader, reader))
    for edition_id, number in sorted(clicked - wanted):
        gone = sa.delete(LinkReader).where(
            LinkReader.edition_id == edition_id,
            LinkReader.number == number,
            LinkReader.subscriber_id == recipient.subscriber_id,
        )
        changes.add_reader(edition_id, number, -db.session.execute(gone).rowcount)  # type: ignore[attr-defined] # of a DELETE
    return [firsts]


def _write_changes(
    campaign_id: int, changes: RollupWriter, changed: list[dict[str, Any]], firsts: list[dict[str, Any]]
) -> None:
    changes.write()
    connection = db.session.connection()
    events, deliveries = table_of(Event), table_of(Delivery)
    if changed:
        connection.execute(
            sa.update(events)
            .where(events.c.id == sa.bindparam("key"))
            .values(machine_class=sa.bindparam("made_by")),
            changed,
        )
        # Their flags no longer hold: no more of them is counted back by itself.
        keys = [row["key"] for row in changed]
        people = sa.select(Event.subscriber_id)
        for start in range(0, len(keys), 5000):
            some = people.where(Event.id.in_(keys[start : start + 5000]))
            db.session.execute(sa.delete(RecentClick).where(RecentClick.subscriber_id.in_(some)))
    if firsts:
        connection.execute(
            sa.update(deliveries)
            .where(deliveries.c.campaign_id == campaign_id, deliveries.c.subscriber_id == sa.bindparam("who"))
            .values({
                name: sa.bindparam(name, type_=deliveries.c[name].type)
                for name in ("first_open_at", "first_click_at")
            }),
            firsts,
        )  # fmt: skip


def _stamp_rules_version(campaign_id: int, first: int, last: int) -> None:
    """Write on every record of a campaign, all between two numbers, which rules it was judged by."""
    db.session.execute(
        sa.update(Event)
        .where(
            Event.id.between(first, last),
            Event.campaign_id == campaign_id,
            Event.rules_version != RULES_VERSION,
        )
        .values(rules_version=RULES_VERSION)
        .execution_options(synchronize_session=False)
    )
