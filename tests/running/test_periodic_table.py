"""Every job of the table is needed: without it, what it does is left undone by all the others."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from newsletter.api import webhooks
from newsletter.api.models import IdempotentRequest, WebhookMessage
from newsletter.bounces.models import Bounce, ReportKind
from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.ledger import audit
from newsletter.ledger.audit import AuditEntry
from newsletter.ledger.hash_chain import Seal
from newsletter.mail import outbox
from newsletter.mail.models import DeliverabilityResult, MailStatus, OutboxMail
from newsletter.privacy.models import JobSlot, Notice, PurgeRun, RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import register
from newsletter.ratelimit import limiter
from newsletter.running import jobs
from newsletter.running.models import PeriodicRun
from newsletter.running.periodic import PERIODIC
from newsletter.sending.lifecycle.release import release_campaign
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.staff.accounts import invite
from newsletter.staff.api_tokens import create_token
from newsletter.staff.auth.access import make_uniquifier
from newsletter.staff.models import Role, Staff, StaffInvitation, StaffSession
from newsletter.stats.models import CampaignGroup, FunnelMonth, ListDay
from newsletter.subscribers.consent.evidence import CONSENT_CHAIN as CONSENTS
from newsletter.subscribers.models import (
    AddressPart,
    LinkPurpose,
    OneTimeLink,
    Signup,
    Subscriber,
    TrackingState,
)
from newsletter.tracking.models import Event, EventKind, MachineClass, RecentClick
from newsletter.wakeups import queue
from tests.privacy.purging import DUE
from tests.support.apps import load_settings, on_its_own
from tests.support.clock import NOW
from tests.tracking.hits import hit_line, spool_hits

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])

LONG_AGO = NOW - timedelta(days=3000)
Done = Callable[[], bool]


def number_of(table, *conditions) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0


def add(*rows) -> None:
    db.session.add_all(rows)
    db.session.commit()


def campaign_on_its_way(world):
    reader = world.make_subscriber(lists=[world.finnish], tracking=TrackingState.GRANTED)
    campaign = world.make_campaign([world.finnish])
    start_campaign(campaign.id, now=NOW, actor="staff:1")
    db.session.commit()
    return campaign, reader


def event(world, **columns):
    campaign, reader = campaign_on_its_way(world)
    made = Event(
        at=LONG_AGO, campaign_id=campaign.id, edition_id=campaign.editions[0].id, subscriber_id=reader.id,
        kind=EventKind.CLICK, machine_class=MachineClass.HUMAN, rules_version=1, **columns,
    )  # fmt: skip
    add(made)
    return made


def sqlite_rows(path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT count(*) FROM hits").fetchone()[0]


def account() -> Staff:
    made = Staff(
        email="anna@kirjakauppa.example", password="", fs_uniquifier=make_uniquifier(), role=Role.ADMIN,
        created_at=NOW,
    )  # fmt: skip
    add(made)
    return made


def wakeups(world) -> Done:
    storage = queue(world.app).storage
    storage.put_data("waiting.standing", b"1")
    return lambda: not storage.has_data_for_key("waiting.standing")


def outbox_leases(world) -> Done:
    mail = outbox.enqueue("activated", to="meri@example.com", language="fi", now=NOW, context={})
    mail.status, mail.leased_by, mail.leased_until = MailStatus.SENDING, "elsewhere:1:1", LONG_AGO
    db.session.commit()
    return lambda: number_of(OutboxMail, OutboxMail.status == MailStatus.UNCERTAIN) == 1


def campaign_leases(world) -> Done:
    campaign, reader = campaign_on_its_way(world)
    campaign.status = CampaignStatus.PAUSED
    delivery = db.session.get_one(Delivery, (campaign.id, reader.id))
    delivery.status, delivery.leased_by, delivery.leased_until = (
        DeliveryStatus.SENDING,
        "elsewhere:1:1",
        LONG_AGO,
    )
    db.session.commit()
    return lambda: number_of(Delivery, Delivery.status == DeliveryStatus.UNCERTAIN) == 1


def signups(world) -> Done:
    form = {"lists": "suomeksi", "consent": "yes", "lang": "fi", "email": "uusi@example.com"}
    FlaskClient(world.app, world.app.response_class).post("/subscribe", data=form)
    return lambda: number_of(Signup) == 1


def hits(world) -> Done:
    campaign, reader = campaign_on_its_way(world)
    spool_hits(world.app, hit_line(campaign.editions[0].id, reader.id))
    return lambda: number_of(Event) + world.again(campaign.totals).opens_machine > 0


def bounce_mailbox(world) -> Done:
    (world.maildir / "1.host").write_bytes(b"not a report")
    return lambda: not (world.maildir / "1.host").exists()


def reputation_guard(world) -> Done:
    campaign, reader = campaign_on_its_way(world)
    campaign.totals.accepted, campaign.totals.complained = 1000, 900
    delivery = db.session.get_one(Delivery, (campaign.id, reader.id))
    delivery.status, delivery.due_at = DeliveryStatus.DEFERRED, NOW + timedelta(hours=1)
    db.session.commit()
    return lambda: number_of(AuditEntry, AuditEntry.action == "campaign paused") == 1


def deliverability(world) -> Done:
    world.app.config["NEWSLETTER"] = replace(world.app.config["NEWSLETTER"], preflight="always")
    return lambda: number_of(DeliverabilityResult) > 0


def scheduled_campaigns(world) -> Done:
    world.make_subscriber(lists=[world.finnish])
    campaign = world.make_campaign([world.finnish])
    release_campaign(campaign.id, at=NOW + timedelta(minutes=1), now=NOW, actor="staff:1")
    db.session.commit()
    world.clock.shift(timedelta(minutes=2))
    return lambda: world.again(campaign).started_at is not None


def outbox_mails(world) -> Done:
    context = {"what": "password", "changed_at": NOW.isoformat()}
    outbox.enqueue("staff_changed", to="anna@kirjakauppa.example", language="fi", now=NOW, context=context)
    db.session.commit()
    return lambda: number_of(OutboxMail, OutboxMail.status == MailStatus.ACCEPTED) == 1


def campaigns(world) -> Done:
    campaign, _reader = campaign_on_its_way(world)
    return lambda: world.again(campaign).status is CampaignStatus.SENT


def signup_requests(world) -> Done:
    world.sign_up("meri@example.com")
    world.clock.shift(timedelta(days=8))
    return lambda: number_of(Subscriber) == 0


def one_time_links(world) -> Done:
    person = world.make_subscriber(lists=[world.finnish])
    add(
        OneTimeLink(
            subscriber_id=person.id, purpose=next(iter(LinkPurpose)), token_hash="x", created_at=LONG_AGO,
            expires_at=LONG_AGO,
        )
    )  # fmt: skip
    return lambda: number_of(OneTimeLink) == 0


def rate_limits(world) -> Done:
    limiter.hit("1/minute", "login", "198.51.100.2")
    world.clock.shift(timedelta(hours=1))
    path = world.app.config["NEWSLETTER"].instance_path / "limits.db"
    return lambda: sqlite_rows(path) == 0


def staff_sessions(world) -> Done:
    add(
        StaffSession(
            token_hash="x", staff_id=account().id, network="x", agent="x", started_at=LONG_AGO, seen_at=LONG_AGO,
            proved_at=LONG_AGO,
        )
    )  # fmt: skip
    return lambda: number_of(StaffSession) == 0


def repeated_requests(world) -> Done:
    token, _secret = create_token(name="x", scopes=["lists:read"], days=1, now=NOW, actor="console")
    db.session.flush()
    add(IdempotentRequest(token_id=token.id, key="x", fingerprint="x", created_at=LONG_AGO))
    return lambda: number_of(IdempotentRequest) == 0


def bounce_messages(world) -> Done:
    add(Bounce(received_at=LONG_AGO, source="maildir", kind=ReportKind.HARD, digest="x"))
    return lambda: number_of(Bounce) == 0


def journal(world) -> Done:
    restore_journal.append([restore_journal.JournalEntry(LONG_AGO, "x")])
    return lambda: list(restore_journal.read()) == []


def old_machines(world) -> Done:
    add(PeriodicRun(name="hits", machine="gone", started_at=LONG_AGO))
    return lambda: number_of(PeriodicRun, PeriodicRun.machine == "gone") == 0


def first_notice(world) -> Done:
    return lambda: number_of(Notice) == 1


def acts(world) -> Done:
    audit.record("backup made", actor="console", now=LONG_AGO)
    db.session.commit()
    return lambda: number_of(AuditEntry, AuditEntry.at == LONG_AGO) == 0


def unproven(world) -> Done:
    request = rights_request()
    request.status = RequestStatus.UNPROVEN
    db.session.commit()
    return lambda: number_of(RightsRequest) == 0


def rights_request() -> RightsRequest:
    register.record_request(
        RequestKind.ACCESS, "meri@example.com", channel="mail", language="fi", now=LONG_AGO, actor="staff:1"
    )
    db.session.commit()
    return db.session.scalars(sa.select(RightsRequest)).one()


def staff_links(world) -> Done:
    invite(Role.VIEWER, address="anna@kirjakauppa.example", now=LONG_AGO, actor="console")
    db.session.commit()
    return lambda: number_of(StaffInvitation) == 0


def slots(world) -> Done:
    add(JobSlot(job="daily acts", slot="2020-01-01", taken_at=LONG_AGO))
    return lambda: number_of(JobSlot, JobSlot.slot == "2020-01-01") == 0


def reminders(world) -> Done:
    rights_request()
    return lambda: number_of(OutboxMail, OutboxMail.template == "privacy_alert") == 1


def consent_seals(world) -> Done:
    world.sign_up("meri@example.com")
    return lambda: number_of(Seal, Seal.chain == CONSENTS) > 0


def audit_seals(world) -> Done:
    audit.record("backup made", actor="console", now=NOW)
    db.session.commit()
    return lambda: number_of(Seal, Seal.chain == audit.CHAIN) > 0


def address_search(world) -> Done:
    world.make_subscriber(lists=[world.finnish])
    return lambda: number_of(AddressPart) > 0


def campaign_groups(world) -> Done:
    campaign_on_its_way(world)
    return lambda: number_of(CampaignGroup) > 0


def list_days(world) -> Done:
    world.make_subscriber(lists=[world.finnish])
    return lambda: number_of(ListDay) > 0


def funnel_months(world) -> Done:
    world.sign_up("meri@example.com")
    world.clock.shift(timedelta(days=60))
    return lambda: number_of(FunnelMonth) > 0


def recent_clicks(world) -> Done:
    click = event(world, link_number=1)
    add(
        RecentClick(
            subscriber_id=click.subscriber_id, event_id=click.id, edition_id=click.edition_id, number=1,
            at=LONG_AGO, loaded_at=LONG_AGO, machine_class=MachineClass.HUMAN, is_first=True, is_reader=True,
        )
    )  # fmt: skip
    return lambda: number_of(RecentClick) == 0


def webhook_messages(world) -> Done:
    webhooks.create_webhook("https://localhost:1/", webhooks.EVENTS, now=LONG_AGO, actor="console")
    db.session.commit()
    campaign, _reader = campaign_on_its_way(world)
    campaign.status, campaign.finished_at = CampaignStatus.SENT, NOW
    db.session.commit()
    return lambda: number_of(WebhookMessage, WebhookMessage.attempts > 0) > 0


def old_addresses(world) -> Done:
    event(world, ip="203.0.113.7")
    return lambda: number_of(Event, Event.ip == "203.0.113.7") == 0


def purge(world) -> Done:
    world.clock.move_to(DUE)
    return lambda: number_of(PurgeRun, PurgeRun.finished_at.is_not(None)) == 1


def scrub(world) -> Done:
    add(JobSlot(job="scrub", slot="due", taken_at=NOW))
    return lambda: number_of(JobSlot, JobSlot.job == "scrub") == 0


SCENES: dict[str, Callable[..., Done]] = {
    "wake-ups": wakeups,
    "outbox leases": outbox_leases,
    "campaign leases": campaign_leases,
    "signups": signups,
    "hits": hits,
    "bounce mailbox": bounce_mailbox,
    "reputation guard": reputation_guard,
    "deliverability": deliverability,
    "scheduled campaigns": scheduled_campaigns,
    "outbox": outbox_mails,
    "campaigns": campaigns,
    "signup requests": signup_requests,
    "one-time links": one_time_links,
    "rate limits": rate_limits,
    "staff sessions": staff_sessions,
    "repeated API requests": repeated_requests,
    "bounce messages": bounce_messages,
    "restore journal": journal,
    "old machines": old_machines,
    "first privacy notice": first_notice,
    "daily acts": acts,
    "daily unproven": unproven,
    "daily staff": staff_links,
    "daily slots": slots,
    "daily reminders": reminders,
    "consent seals": consent_seals,
    "audit seals": audit_seals,
    "address search": address_search,
    "campaign groups": campaign_groups,
    "list days": list_days,
    "funnel months": funnel_months,
    "recent clicks": recent_clicks,
    "webhooks": webhook_messages,
    "old addresses": old_addresses,
    "purge": purge,
    "scrub": scrub,
}


@pytest.fixture
def world(real_app, make_subscriber, make_campaign, finnish, sign_up, clock, tmp_path, name_server):
    """An installation with a mailbox for bounces, a name server that is asked, and its factories."""
    maildir = tmp_path / "Maildir" / "new"
    maildir.mkdir(parents=True)
    chosen = load_settings(
        tmp_path,
        database_url=real_app.config["NEWSLETTER"].database_url,
        bounce_maildir=maildir.parent,
        dns_server=name_server.setting,
        webhook_hosts="localhost",
    )
    real_app.config["NEWSLETTER"] = chosen

    def again(row):
        db.session.refresh(row)
        return row

    return SimpleNamespace(
        app=real_app, make_subscriber=make_subscriber, make_campaign=make_campaign, finnish=finnish,
        sign_up=sign_up, clock=clock, maildir=maildir, again=again,
    )  # fmt: skip


def test_every_job_has_its_scene(app):
    assert [job.name for job in PERIODIC] == list(SCENES)


@pytest.mark.parametrize("name", SCENES)
def test_without_a_job_what_it_does_is_left_undone(world, name):
    is_done = SCENES[name](world)

    on_its_own(world.app, run_all, [job for job in PERIODIC if job.name != name])
    before = is_done()
    db.session.rollback()
    on_its_own(world.app, run_all, [job for job in PERIODIC if job.name == name])

    assert (before, is_done()) == (False, True)


def run_all(these) -> None:
    for job in these:
        result = jobs.run(job, is_forced=True)
        assert result is not None
        assert result.error is None
