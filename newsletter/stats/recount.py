"""Counting again: are the roll-ups what the raw records say, and what they would be under new rules.

Roll-ups outlive people and their records, so they may say more than is left to count, never less.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignTotals, Edition
from newsletter.config import settings
from newsletter.db import db, insert_or_ignore, table_of
from newsletter.sending.models import Delivery
from newsletter.stats.changes import Changes, hour_of
from newsletter.stats.copies import Copy, all_copies
from newsletter.stats.groups import GroupNames, take_turn
from newsletter.stats.haste import Click, judge
from newsletter.stats.models import CampaignClass, CampaignGroup, CampaignHour
from newsletter.tracking.classify import HUMAN, RULES_VERSION, TRAP, Rules
from newsletter.tracking.models import Event, EventKind, LinkReader, LinkTotals, MachineClass, RecentClick

_NAMES = ("opens_human", "opens_machine", "opens_unique", "clicks_human", "clicks_machine", "clicks_unique")
#: The January purge, which stands above: what was recorded before its year may be gone.
_purge_runs = sa.table("purge_runs", sa.column("started_at"))


@dataclass(frozen=True, slots=True)
class Difference:
    """A number that is not what counting gives."""

    campaign_id: int
    what: str
    stored: int
    counted: int


def verify() -> tuple[int, list[Difference]]:
    """Recount every campaign; return how many there are, and every number that is wrong."""
    campaign_ids = db.session.scalars(sa.select(Campaign.id).order_by(Campaign.id)).all()
    return len(campaign_ids), [
        found for campaign_id in campaign_ids for found in verify_campaign(campaign_id)
    ]


def verify_campaign(campaign_id: int) -> list[Difference]:
    """Compare a campaign's roll-ups with the raw records, and with each other."""
    totals = db.session.get_one(CampaignTotals, campaign_id, populate_existing=True)
    stored = {name: getattr(totals, name) for name in _NAMES}
    found = [*_compare(campaign_id, stored, _count_events(campaign_id), exact=_all_is_there(totals))]
    for what, parts in _sums(campaign_id).items():
        found += _compare(campaign_id, {f"{name} by {what}": stored[name] for name in parts}, {
            f"{name} by {what}": number for name, number in parts.items()
        }, exact=True)  # fmt: skip
    return [*found, *_verify_links(campaign_id, exact=_all_is_there(totals))]


def reclassify() -> int:
    """Apply the rules to every kept record; return how many changed. Commits campaign by campaign."""
    rules = Rules.of(settings())
    campaign_ids = db.session.scalars(sa.select(Campaign.id).order_by(Campaign.id)).all()
    db.session.rollback()
    return sum(_reclassify_campaign(campaign_id, rules) for campaign_id in campaign_ids)


def _compare(
    campaign_id: int, stored: dict[str, int], counted: dict[str, int], *, exact: bool
) -> Iterator[Difference]:
    for name, number in stored.items():
        other = counted.get(name, 0)
        if number < other or (exact and number != other):
            yield Difference(campaign_id, name, number, other)


def _all_is_there(totals: CampaignTotals) -> bool:
    """Tell whether nobody's delivery and nobody's records have gone since."""
    deliveries = sa.select(sa.func.count()).where(Delivery.campaign_id == totals.campaign_id)
    purged = sa.select(sa.func.count()).select_from(_purge_runs).where(
        _purge_runs.c.started_at
        > sa.select(Campaign.started_at).where(Campaign.id == totals.campaign_id).scalar_subquery()
    )  # fmt: skip
    return db.session.scalar(deliveries) == totals.recipients and not db.session.scalar(purged)


def _count_events(campaign_id: int) -> dict[str, int]:
    counts: Counter[str] = Counter()
    rows = db.session.execute(
        sa.select(Event.kind, Event.machine_class, sa.func.count())
        .where(Event.campaign_id == campaign_id)
        .group_by(Event.kind, Event.machine_class)
    )
    for kind, made_by, number in rows:
        counts[f"{kind.value}s_{'human' if made_by in HUMAN else 'machine'}"] += number
    people = db.session.execute(
        sa.select(Event.kind, sa.func.count(Event.subscriber_id.distinct()))
        .join(
            Delivery,
            sa.and_(Delivery.campaign_id == Event.campaign_id, Delivery.subscriber_id == Event.subscriber_id),
        )
        .where(Event.campaign_id == campaign_id, Event.machine_class.in_(HUMAN))
        .group_by(Event.kind)
    )
    return dict(counts) | {f"{kind.value}s_unique": number for kind, number in people}


def _sums(campaign_id: int) -> dict[str, dict[str, int]]:
    """Return what other roll-ups of a campaign add up to."""
    hours = db.session.execute(
        sa.select(*(sa.func.sum(getattr(CampaignHour, name)) for name in _NAMES)).where(
            CampaignHour.campaign_id == campaign_id
        )
    ).one()
    classes: Counter[str] = Counter({name: 0 for name in _NAMES if not name.endswith("unique")})
    for row in db.session.scalars(sa.select(CampaignClass).where(CampaignClass.campaign_id == campaign_id)):
        classes[f"{row.kind.value}s_{'human' if row.machine_class in HUMAN else 'machine'}"] += row.count
    found = {
        "hour": {name: int(number or 0) for name, number in zip(_NAMES, hours, strict=True)},
        "class": dict(classes),
    }
    groups = db.session.execute(
        sa.select(
            CampaignGroup.dimension,
            sa.func.sum(CampaignGroup.opens_unique),
            sa.func.sum(CampaignGroup.clicks_unique),
        )
        .where(CampaignGroup.campaign_id == campaign_id)
        .group_by(CampaignGroup.dimension)
    )
    for dimension, opened, clicked in groups:
        found[dimension] = {"opens_unique": int(opened), "clicks_unique": int(clicked)}
    return found


def _verify_links(campaign_id: int, *, exact: bool) -> Iterator[Difference]:
    rows = db.session.scalars(
        sa.select(LinkTotals)
        .join(Edition, Edition.id == LinkTotals.edition_id)
        .where(Edition.campaign_id == campaign_id)
        .execution_options(populate_existing=True)
    ).all()
    editions = {row.edition_id for row in rows}
    clicks: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for edition_id, number, made_by, count in db.session.execute(
        sa.select(Event.edition_id, Event.link_number, Event.machine_class, sa.func.count())
        .where(Event.campaign_id == campaign_id, Event.kind == EventKind.CLICK)
        .group_by(Event.edition_id, Event.link_number, Event.machine_class)
    ):
        clicks[edition_id, number or TRAP]["human" if made_by in HUMAN else "machine"] += count
    for edition_id, number, count in db.session.execute(
        sa.select(LinkReader.edition_id, LinkReader.number, sa.func.count())
        .where(LinkReader.edition_id.in_(editions))
        .group_by(LinkReader.edition_id, LinkReader.number)
    ):
        clicks[edition_id, number]["unique_human"] = count
    for row in rows:
        names = ("human", "machine", "unique_human")
        stored = {f"{name} of link {row.edition_id}/{row.number}": getattr(row, name) for name in names}
        counted = {
            f"{name} of link {row.edition_id}/{row.number}": clicks[row.edition_id, row.number][name]
            for name in names
        }
        yield from _compare(campaign_id, stored, counted, exact=exact)


#: id, at, edition, subscriber, kind, link, ip, agent, class: what judging a record needs.
_COLUMNS = (
    Event.id, Event.at, Event.edition_id, Event.subscriber_id, Event.kind, Event.link_number, Event.ip,
    Event.user_agent, Event.machine_class,
)  # fmt: skip


def _reclassify_campaign(campaign_id: int, rules: Rules) -> int:
    """Judge a campaign's records anew. Most are read before the lock, so that others wait shortly."""
    reading = sa.select(*_COLUMNS).where(Event.campaign_id == campaign_id).order_by(Event.id)
    rows = list(db.session.execute(reading))
    db.session.rollback()
    is_open = take_turn(campaign_id)
    last = rows[-1].id if rows else 0
    rows += db.session.execute(reading.where(Event.id > last))
    by_person: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_person[row.subscriber_id].append(row)
    copies = all_copies(campaign_id, by_person)
    changes, names = Changes(campaign_id), GroupNames(campaign_id)
    changed: list[dict[str, Any]] = []
    firsts: list[dict[str, Any]] = []
    for subscriber_id, theirs in by_person.items():
        copy = copies.get(subscriber_id)
        if copy is None:
            continue  # erased while we read
        judged = _judge_person(theirs, copy, rules)
        differing = [row for row in theirs if judged[row.id] is not row.machine_class]
        if not differing:
            continue
        changed += [{"key": row.id, "made_by": judged[row.id]} for row in differing]
        for row in differing:
            link = (row.edition_id, row.link_number)
            changes.add_hit(row.kind, row.machine_class, row.at, link, -1)
            changes.add_hit(row.kind, judged[row.id], row.at, link)
        if is_open:  # else nobody remembers who was counted, and the numbers of people stand
            firsts += _recount_person(theirs, judged, copy, changes, names)
    _write(campaign_id, changes, changed, firsts)
    _stamp(campaign_id)
    db.session.commit()
    return len(changed)


def _judge_person(rows: Sequence[Any], copy: Copy, rules: Rules) -> dict[int, MachineClass]:
    judged = {}
    clicks: defaultdict[int, list[Click]] = defaultdict(list)
    for row in rows:
        ip = (row.ip or "").partition("/")[0]  # once cut, its network stands for it
        made_by = rules.classify(
            row.user_agent or "", ip, after=copy.since_acceptance(row.at), link=row.link_number
        )
        judged[row.id] = made_by
        if row.kind is EventKind.CLICK:
            clicks[row.edition_id].append(
                Click(row.subscriber_id, row.edition_id, row.link_number or TRAP, row.at, made_by, row.id)
            )
    for theirs in clicks.values():
        judge(theirs, rules)
        judged |= {click.event_id: click.machine_class for click in theirs}
    return judged


def _recount_person(
    rows: Sequence[Any],
    judged: dict[int, MachineClass],
    copy: Copy,
    changes: Changes,
    names: GroupNames,
) -> list[dict[str, Any]]:
    """Correct for what one person is counted once; return what their delivery is to remember."""
    if copy.edition_id is None:
        return []
    human = [row for row in rows if judged[row.id] in HUMAN]
    firsts = {"who": copy.subscriber_id}
    for kind in EventKind:
        before = copy.first_at(kind)
        after = min((row.at for row in human if row.kind is kind), default=None)
        if (before is None) != (after is None):
            changes.add_person(
                kind, (before or after) or hour_of(rows[0].at), names.of(copy), -1 if before else 1
            )
        else:
            after = before
        firsts[f"first_{kind.value}_at"] = after  # type: ignore[assignment] # a moment or none
    clicked = {(row.edition_id, row.link_number) for row in rows if row.kind is EventKind.CLICK}
    wanted = {(row.edition_id, row.link_number) for row in human if row.kind is EventKind.CLICK} - {
        (copy.edition_id, TRAP)
    }
    for edition_id, number in sorted(wanted):
        reader = {"edition_id": edition_id, "number": number, "subscriber_id": copy.subscriber_id}
        changes.add_reader(edition_id, number, insert_or_ignore(LinkReader, reader))
    for edition_id, number in sorted(clicked - wanted):
        gone = sa.delete(LinkReader).where(
            LinkReader.edition_id == edition_id,
            LinkReader.number == number,
            LinkReader.subscriber_id == copy.subscriber_id,
        )
        changes.add_reader(edition_id, number, -db.session.execute(gone).rowcount)  # type: ignore[attr-defined] # of a DELETE
    return [firsts]


def _write(
    campaign_id: int, changes: Changes, changed: list[dict[str, Any]], firsts: list[dict[str, Any]]
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


def _stamp(campaign_id: int) -> None:
    """Write on every record which rules it was judged by."""
    db.session.execute(
        sa.update(Event)
        .where(Event.campaign_id == campaign_id, Event.rules_version != RULES_VERSION)
        .values(rules_version=RULES_VERSION)
        .execution_options(synchronize_session=False)
    )
