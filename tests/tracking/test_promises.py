"""TR-1 to TR-8 as a person would have them promised, from the mail to what is kept."""

import ast
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from newsletter.campaigns.models import Campaign, CampaignTotals
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.mail.backends import mailbox_folder
from newsletter.stats.models import CampaignHour
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.links import PREFERENCES
from newsletter.subscribers.models import TrackingState
from newsletter.tracking.links import HIT_TOKEN
from newsletter.tracking.models import Event, EventKind, MachineClass
from tests.support.mailbox import Mailbox, links_of
from tests.tracking.hits import LATER, THUNDERBIRD, hit_line, load_hits, spool_hits

GRANTED, REFUSED, UNKNOWN = TrackingState.GRANTED, TrackingState.REFUSED, TrackingState.UNKNOWN
ROOT = Path(__file__).parents[2]


@pytest.fixture
def copies(app: Flask, send, make_list, make_subscriber) -> Callable[..., Mailbox]:
    """Send a campaign to people of these states and return their copies, in that order."""

    def copies(*states: TrackingState) -> Mailbox:
        fi = make_list()
        for state in states:
            make_subscriber(lists=[fi], tracking=state)
        send(fi)
        return Mailbox(mailbox_folder(app.config["NEWSLETTER"]))

    return copies


@pytest.mark.parametrize("state", [UNKNOWN, REFUSED])
def test_tr1_who_may_not_be_tracked_gets_no_picture_and_no_link_of_their_own(copies, state):
    (copy,) = copies(state)

    assert [links_of(copy, kind) for kind in ("o", "c", "trap")] == [[], [], []]


def test_tr1_who_allows_it_gets_a_picture_tracked_links_and_one_that_nobody_sees(copies):
    (copy,) = copies(GRANTED)

    assert [len(links_of(copy, kind)) for kind in ("o", "c", "trap")] == [1, 1, 1]


def test_tr2_in_aggregate_only_numbers_are_kept_and_nothing_of_anyone(make_app, make_subscriber, send):
    reader = make_subscriber(tracking=UNKNOWN)
    campaign = send(reader.subscriptions[0].mailing_list)
    edition = campaign.editions[0].id
    app = make_app(tracking="aggregate")
    browser = app.test_client()
    for path in (f"/o/{HIT_TOKEN.make(edition, 0)}", f"/c/{HIT_TOKEN.make(edition, 0)}/0"):
        browser.get(path, headers={"User-Agent": THUNDERBIRD})

    load_hits(app)

    totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
    hours = db.session.scalars(sa.select(CampaignHour.opens_human)).all()
    assert (totals.opens_human, totals.opens_unique, totals.clicks_machine, hours) == (1, 0, 1, [1])
    assert db.session.scalars(sa.select(Event)).all() == []


def test_tr3_of_who_allows_it_time_link_address_name_and_class_are_kept(app, send, make_subscriber):
    reader = make_subscriber(tracking=GRANTED)
    edition = send(reader.subscriptions[0].mailing_list).editions[0].id
    spool_hits(app, hit_line(edition, reader.id, 1, ip="203.0.113.9", agent=THUNDERBIRD))

    load_hits(app)

    (event,) = db.session.scalars(sa.select(Event))
    assert (event.at, event.kind, event.link_number, event.ip, event.user_agent, event.machine_class) == (
        LATER, EventKind.CLICK, 1, "203.0.113.9", THUNDERBIRD, MachineClass.HUMAN,
    )  # fmt: skip


def test_tr4_withdrawing_on_the_own_details_page_works_at_once_for_mails_already_sent(
    app, client, clock, send, make_subscriber
):
    reader = make_subscriber(tracking=GRANTED)
    campaign: Campaign = send(reader.subscriptions[0].mailing_list)
    edition = campaign.editions[0].id
    details = f"/preferences/{PREFERENCES.make(reader.id)}"
    kept = []
    for minutes, allows in ((60, None), (120, False), (180, True)):
        clock.move_to(LATER + timedelta(minutes=minutes))
        if allows is False:
            slug = reader.subscriptions[0].mailing_list.slug
            client.post(details, data={"action": "save", "lists": slug, "language": "fi"})
        elif allows:  # the page sends a fresh link for this; its button does no more
            choose_tracking(reader, granted=True, language="fi", now=utcnow(), visit=Visit(ip=""))
            db.session.commit()
        spool_hits(app, hit_line(edition, reader.id, at=LATER + timedelta(minutes=minutes + 1)))
        load_hits(app)
        kept.append(len(db.session.scalars(sa.select(Event)).all()))

    assert kept == [1, 1, 2]


def test_tr8_who_gets_a_newsletter_never_depends_on_what_they_opened():
    """Neither writing to people nor choosing whom to write to may know of opens and clicks."""
    known = {
        f"{path.parent.name}/{path.name}": module
        for folder in ("subscribers", "campaigns", "sending")
        for path in (ROOT / "newsletter" / folder).rglob("*.py")
        for module in imported(path)
        if module.startswith(("newsletter.stats", "newsletter.tracking"))
    }

    assert known == {"message/personalize.py": "newsletter.tracking.links"}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return names | {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
