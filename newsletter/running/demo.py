"""Demo data: two lists, 2,000 subscribers, four sent campaigns.

Opens and clicks go through the same ingestion as real ones, so the figures agree with the records.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, Edition
from newsletter.config import current_settings
from newsletter.db import db, execute_dml
from newsletter.errors import N_, NewsletterError
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import add_to_totals
from newsletter.stats.rollups.ingest import store_hits
from newsletter.stats.rollups.periodic import run_periodic_tasks
from newsletter.stats.rollups.segments import count_segments
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.texts import current_notice_version, current_wording
from newsletter.subscribers.lists import all_lists, create_default_lists
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    FunnelCount,
    FunnelStep,
    MailingList,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)
from newsletter.subscribers.self_service.unsubscribe import campaign_unsubscribed
from newsletter.tracking.classify import HONEYPOT_LINK
from newsletter.tracking.loader import Hit
from newsletter.tracking.models import EventKind, Link

SUBSCRIBERS = 2000
#: Of whom this share allows measuring, and this share has left since.
MEASURED_SHARE, LEFT_SHARE = 0.55, 0.06
#: This share has a mail filter that follows links.
SCANNED_SHARE = 0.04
DOMAINS = ("posti.example", "yritys.example", "mail.example", "koulu.example")
FORM_HOSTS = ("www.yritys.example", "www.yritys.example", "kauppa.yritys.example")
USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0",
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
)
#: A mail filter that looks at the picture and follows every link at once.
SCANNER_USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0"
)
#: Subject in both languages, days ago, the hour it went out, how many opened and clicked.
ISSUES = (
    ("Syksyn uutiset: uusi myymälä avautuu", "Autumn news: our new shop opens", 61, 8, 0.46, 0.11),
    ("Näin pidät pyörän kunnossa talven yli", "How to keep your bike well over winter", 40, 14, 0.52, 0.18),
    ("Asiakasilta torstaina, tervetuloa", "Customer evening on Thursday: welcome", 19, 17, 0.44, 0.09),
    ("Joulun aukioloajat ja lahjavinkit", "Christmas hours and ideas for presents", 5, 9, 0.57, 0.21),
)
BODY = """# {subject}

Hei!

Kokosimme tähän kirjeeseen tärkeimmät asiat. Lue lisää [verkkosivuiltamme](https://www.yritys.example/uutiset).

- [Ohjeet vaihe vaiheelta](https://www.yritys.example/ohjeet)
- [Ilmoittaudu mukaan](https://www.yritys.example/ilmoittaudu?l=uutiskirje)

Mukavaa viikkoa!
"""
BODY_EN = """# {subject}

Hello!

This letter has what matters most. Read more [on our site](https://www.yritys.example/en/news).

- [Step by step](https://www.yritys.example/en/guides)
- [Sign up](https://www.yritys.example/ilmoittaudu?l=uutiskirje)

Have a good week!
"""


class DatabaseNotEmpty(NewsletterError):
    """The demo never mixes with real people."""

    message = N_("The database already has subscribers; the demo fills an empty one only.")


def fill_database(now: datetime) -> dict[str, int]:
    """Fill an empty database and return how much was made; raise DatabaseNotEmpty otherwise."""
    if db.session.scalar(sa.select(Subscriber.id).limit(1)) is not None:
        raise DatabaseNotEmpty
    rng = random.Random(20270115)  # noqa: S311 - the same demo every time, nothing secret
    create_default_lists(now)
    lists = list(all_lists())[:2]
    _subscribe_people(lists, rng, now)
    hits = 0
    for subject, subject_en, days, hour, opens, clicks in ISSUES:
        sent_at = _at_hour(now - timedelta(days=days), hour)
        campaign = create_campaign(
            lists, subject=subject, body=BODY.format(subject=subject), now=sent_at, actor="console"
        )
        if "en" in current_settings().languages and campaign.editions[0].language != "en":
            english = Edition(language="en", subject=subject_en, body=BODY_EN.format(subject=subject_en))
            campaign.editions.append(english)
            db.session.flush()
        campaign.overridden_by = "console"  # nobody gets it, so nobody need ask whether it would arrive
        start_campaign(campaign.id, now=sent_at, actor="console")
        _mark_accepted(campaign, rng, sent_at)
        hits += _store_reads(campaign, rng, sent_at, opens, clicks, now)
    _unsubscribe_some(campaign, rng, now)
    count_segments(campaign.id, now)
    _fill_funnel(lists, rng, now)
    db.session.commit()
    run_periodic_tasks(now)
    return {
        "lists": len(lists),
        "subscribers": SUBSCRIBERS,
        "campaigns": len(ISSUES),
        "opens and clicks": hits,
    }


def _subscribe_people(lists: list[MailingList], rng: random.Random, now: datetime) -> None:
    people, subscriptions, consents = [], [], []
    wording = {item.language: current_wording(Purpose.NEWSLETTER, item.language, now).id for item in lists}
    # A house of one language has one list.
    choices = [choice for choice in ((lists[:1], 6), (lists[1:], 3), (lists, 1)) if choice[0]]
    kinds, weights = zip(*choices, strict=True)
    for number in range(1, SUBSCRIBERS + 1):
        address = f"tilaaja{number:04}@{rng.choice(DOMAINS)}"
        joined = now - timedelta(
            days=rng.randint(70, 400) if number <= SUBSCRIBERS * 0.9 else rng.randint(1, 69),
            minutes=rng.randint(0, 1440),
        )
        measured = rng.random() < MEASURED_SHARE
        chosen = rng.choices(kinds, weights=weights)[0]
        people.append({
            "id": number, "address": address, "address_key": address, "address_hash": hash_address(address),
            "language": chosen[0].language, "created_at": joined,
            "tracking": TrackingState.GRANTED if measured else TrackingState.UNKNOWN,
            "tracking_chosen_at": joined if measured else None,
        })  # fmt: skip
        for item in chosen:
            subscriptions.append({
                "subscriber_id": number, "list_id": item.id, "status": SubscriptionStatus.CONFIRMED,
                "created_at": joined, "confirmed_at": joined,
            })  # fmt: skip
            consents.append({
                "subscriber_id": number, "kind": ConsentKind.CONFIRMED, "purpose": Purpose.NEWSLETTER,
                "list_id": item.id, "wording_id": wording[item.language], "at": joined,
                "notice_version": current_notice_version(),
                "method": "link", "ip": _ip(rng), "user_agent": USER_AGENTS[0],
            })  # fmt: skip
    db.session.execute(sa.insert(Subscriber), people)
    db.session.execute(sa.insert(Subscription), subscriptions)
    db.session.execute(sa.insert(Consent), consents)
    if db.engine.dialect.name == "postgresql":  # ids were given, so the sequence has to catch up
        db.session.execute(sa.text("SELECT setval('subscribers_id_seq', :last)"), {"last": SUBSCRIBERS})


def _fill_funnel(lists: list[MailingList], rng: random.Random, now: datetime) -> None:
    today = now.astimezone(current_settings().timezone).date()
    rows = []
    for day, mailing_list in itertools.product(range(120), lists):
        host = rng.choice(FORM_HOSTS)
        remaining = rng.randint(8, 40)
        for step, share in zip(FunnelStep, (1, 0.35, 0.97, 0.85, 0.94), strict=True):
            remaining = round(remaining * share)
            rows.append({
                "day": today - timedelta(days=day), "list_id": mailing_list.id,
                "language": mailing_list.language, "form_host": host, "step": step, "shard": 0,
                "count": remaining,
            })  # fmt: skip
    db.session.execute(sa.insert(FunnelCount), rows)


def _mark_accepted(campaign: Campaign, rng: random.Random, sent_at: datetime) -> None:
    later = sa.select(Subscriber.id).where(Subscriber.created_at > sent_at)  # had not subscribed yet
    campaign.totals.recipients -= execute_dml(
        sa.delete(Delivery).where(Delivery.campaign_id == campaign.id, Delivery.subscriber_id.in_(later))
    )
    granted = sa.select(Subscriber.id).where(Subscriber.tracking == TrackingState.GRANTED)
    measured = set(db.session.scalars(granted))
    people = db.session.scalars(
        sa.select(Delivery.subscriber_id).where(Delivery.campaign_id == campaign.id)
    ).all()
    failed, uncertain = set(rng.sample(people, 7)), set(rng.sample(people, 2))
    uncertain -= failed
    statement = sa.update(Delivery).where(Delivery.campaign_id == campaign.id)
    accepted = {
        "status": DeliveryStatus.ACCEPTED,
        "attempts": 1,
        "accepted_at": sent_at,
        "reply_code": 250,
    }
    execute_dml(statement.values(**accepted, is_measured=Delivery.subscriber_id.in_(granted)))
    execute_dml(
        statement.where(Delivery.subscriber_id.in_(failed)).values(
            status=DeliveryStatus.FAILED, accepted_at=None, reply_code=550, is_measured=False
        )
    )
    execute_dml(
        statement.where(Delivery.subscriber_id.in_(uncertain)).values(
            status=DeliveryStatus.UNCERTAIN, accepted_at=None, reply_code=None, is_measured=False
        )
    )
    add_to_totals(
        campaign.id,
        accepted=len(people) - len(failed | uncertain),
        failed=len(failed),
        uncertain=len(uncertain),
        measured=len(measured.intersection(people) - failed - uncertain),
    )
    campaign.status, campaign.finished_at = CampaignStatus.SENT, sent_at + timedelta(minutes=2)


def _store_reads(
    campaign: Campaign,
    rng: random.Random,
    sent_at: datetime,
    opens: float,
    clicks: float,
    now: datetime,
) -> int:
    """Let people open and click over the following days, most of them soon."""
    links = {
        edition.id: db.session.scalars(sa.select(Link.number).where(Link.edition_id == edition.id)).all()
        for edition in campaign.editions
    }
    readers = db.session.execute(
        sa.select(Delivery.subscriber_id, Delivery.edition_id).where(
            Delivery.campaign_id == campaign.id, Delivery.is_measured.is_(True)
        )
    ).all()
    hits = sorted(
        (
            hit
            for reader, edition_id in readers
            for hit in _reader_hits(edition_id, reader, links[edition_id], rng, sent_at, opens, clicks)
            if hit.at < now
        ),
        key=lambda hit: hit.at,
    )
    store_hits(hits)
    return len(hits)


def _reader_hits(
    edition_id: int,
    reader: int,
    links: Sequence[int],
    rng: random.Random,
    sent_at: datetime,
    opens: float,
    clicks: float,
) -> Iterator[Hit]:
    agent, ip = rng.choice(USER_AGENTS), _ip(rng)

    def hit(kind: EventKind, number: int | None, hours: float) -> Hit:
        return Hit(
            _shift_out_of_night(sent_at + timedelta(hours=hours)), kind, edition_id, reader, number, ip, agent
        )

    if rng.random() < SCANNED_SHARE:
        at = sent_at + timedelta(seconds=rng.randint(2, 90))
        yield Hit(at, EventKind.OPEN, edition_id, reader, None, ip, SCANNER_USER_AGENT)
        for place, number in enumerate([HONEYPOT_LINK, *links]):
            yield Hit(
                at + timedelta(seconds=place),
                EventKind.CLICK,
                edition_id,
                reader,
                number,
                ip,
                SCANNER_USER_AGENT,
            )
    if rng.random() > opens:
        return
    hours = 0.05 + rng.expovariate(1 / 14)
    yield hit(EventKind.OPEN, None, hours)
    if rng.random() < clicks / opens:
        liked = rng.choices(links, weights=range(len(links), 0, -1))[0]
        yield hit(EventKind.CLICK, liked, hours + 0.02)
    if rng.random() < 0.2:  # noqa: PLR2004 - one in five looks again
        yield hit(EventKind.OPEN, None, hours + rng.expovariate(1 / 20))


def _unsubscribe_some(campaign: Campaign, rng: random.Random, now: datetime) -> None:
    for subscriber_id in rng.sample(range(1, SUBSCRIBERS + 1), int(SUBSCRIBERS * LEFT_SHARE)):
        by_letter = rng.random() < 0.3  # noqa: PLR2004 - the others left from their own details
        gone = now - timedelta(days=rng.randint(1, 4) if by_letter else rng.randint(1, 60))
        execute_dml(
            sa.update(Subscription)
            .where(Subscription.subscriber_id == subscriber_id)
            .values(status=SubscriptionStatus.UNSUBSCRIBED, unsubscribed_at=gone)
        )
        if by_letter:
            campaign_unsubscribed.send(campaign_id=campaign.id, subscriber_id=subscriber_id, now=gone)


def _at_hour(moment: datetime, hour: int) -> datetime:
    local = moment.astimezone(current_settings().timezone).replace(
        hour=hour, minute=5, second=0, microsecond=0
    )
    return local.astimezone(moment.tzinfo)


def _shift_out_of_night(moment: datetime) -> datetime:
    """Move a time at night to the next morning."""
    asleep = moment.astimezone(current_settings().timezone).hour < 6  # noqa: PLR2004 - o'clock
    return moment + timedelta(hours=7) if asleep else moment


def _ip(rng: random.Random) -> str:
    """Return an address of the ranges kept for documentation (RFC 5737)."""
    return f"{rng.choice(['192.0.2', '198.51.100', '203.0.113'])}.{rng.randint(1, 254)}"
