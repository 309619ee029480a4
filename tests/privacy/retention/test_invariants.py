"""Whatever happens in whatever order, what must never happen does not (DESIGN.md, section 6).

RP-2, RP-3, RP-5, RP-7, RD-7 and RD-8 together.
"""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from newsletter.config import current_settings as chosen
from newsletter.db import db
from newsletter.errors import LinkExpired
from newsletter.mail.models import OutboxMail
from newsletter.privacy.backup.replay import replay_journal
from newsletter.privacy.models import PurgeCandidate
from newsletter.privacy.requests.lift_suppression import NotSuppressed, lift_all
from newsletter.privacy.retention.erasure import erase_person
from newsletter.privacy.retention.purge import run_purge
from newsletter.sending.models import Delivery
from newsletter.sending.worker.sql import ELIGIBLE_LIST
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.consent.evidence import Visit, seal_ledger, verify_ledger
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Import,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
)
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.signup import confirm as confirming
from newsletter.subscribers.signup.request import SignupForm
from newsletter.subscribers.signup.store import request_subscription
from newsletter.subscribers.suppressions import find_suppression, suppress
from newsletter.subscribers.transfer.import_batch import store_batch
from newsletter.subscribers.transfer.import_row import ImportEntry
from tests.support.clock import NOW

PEOPLE = ("aino@example.com", "eero@example.com", "meri@example.com")
VISIT = Visit(ip="203.0.113.7")


class House(RuleBasedStateMachine):
    """A house of three people who do as they like."""

    list_id = 0
    campaign_id = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.gone: set[str] = set()
        chosen().journal_path.unlink(missing_ok=True)
        db.session.rollback()
        for table in ("subscribers", "consents", "suppressions", "outbox", "seals", "purge_people"):
            db.session.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 - names of ours
        db.session.commit()

    @property
    def list(self) -> MailingList:
        """The one list; another object after each sealing."""
        return db.session.get_one(MailingList, self.list_id)

    def tick(self) -> None:
        self.now += timedelta(hours=1)

    @rule(who=st.sampled_from(PEOPLE), answers=st.booleans())
    def sign_up(self, who, answers):
        self.tick()
        form = SignupForm(
            address=parse_address(who), list_ids=[self.list.id], language="fi", wants_tracking=False
        )
        request_subscription(form, now=self.now, visit=VISIT)
        db.session.commit()
        mail = db.session.scalars(
            sa.select(OutboxMail).where(OutboxMail.template == "confirm").order_by(OutboxMail.id.desc())
        ).first()
        if not answers or mail is None or mail.address != who or mail.created_at != self.now:
            return
        token = mail.context["confirm_url"].rpartition("/")[2].partition("?")[0]
        try:
            confirming.confirm(token, now=self.now, visit=VISIT)
            self.gone.discard(who)
        except LinkExpired:
            pass
        db.session.commit()

    @rule(who=st.sampled_from(PEOPLE))
    def leave(self, who):
        self.tick()
        if person := self.find(who):
            unsubscribe.unsubscribe_from(person, None, now=self.now, method="page", visit=VISIT)
        db.session.commit()

    @rule(who=st.sampled_from(PEOPLE))
    def erase(self, who):
        self.tick()
        try:
            erase_person(who, now=self.now, actor="console")
            self.gone.add(who)
        except UnknownSubscriber:
            db.session.rollback()

    @rule(who=st.sampled_from(PEOPLE))
    def restrict(self, who):
        if person := self.find(who):
            person.restricted_at = None if person.restricted_at else self.now
        db.session.commit()

    @rule(who=st.sampled_from(PEOPLE))
    def ban(self, who):
        suppress(who, SuppressionReason.BANNED, self.now)
        db.session.commit()

    @rule(who=st.sampled_from(PEOPLE))
    def bring_in(self, who):
        self.tick()
        made = Import(
            file_name="x", file_hash="x", lists=self.list.slug, actor="console", started_at=self.now
        )
        db.session.add(made)
        db.session.flush()
        address = parse_address(who)
        entry = ImportEntry(
            address=address,
            address_hash=hash_address(address.key),
            source="messut",
            consent_text="Haluan uutiskirjeen",
            consented_at=self.now,
            proof="lomake 7",
            language="fi",
            wants_tracking=None,
        )
        before = self.find(who)
        left_before = who in self.gone
        store_batch([entry], [self.list], import_id=made.id, now=self.now)
        db.session.commit()
        if left_before and before is None:
            assert self.find(who) is None or not self.confirmed(who)

    @rule()
    def clean_in_january(self):
        self.tick()
        left = {
            person.address
            for person in db.session.scalars(sa.select(Subscriber))
            if person.restricted_at is None
            and all(item.status is SubscriptionStatus.UNSUBSCRIBED for item in person.subscriptions)
        }
        db.session.rollback()
        run_purge(now=self.now, actor="console", any_day=True)
        self.gone |= {who for who in left if self.find(who) is None}

    @rule()
    def do_again_what_the_journal_says(self):
        """RP-7: on a database that knows it all already, it changes nothing."""
        self.tick()
        assert set(replay_journal(self.now).values()) == {0}

    @rule(who=st.sampled_from(PEOPLE))
    def lift(self, who):
        self.tick()
        try:
            lift_all(who, "asked", now=self.now, actor="console")
        except NotSuppressed:
            db.session.rollback()
        db.session.commit()

    @invariant()
    def nobody_is_written_to_who_must_not_be(self):
        db.session.execute(sa.delete(Delivery))
        for person in db.session.scalars(sa.select(Subscriber)).all():
            delivery = Delivery(
                campaign_id=self.campaign_id, subscriber_id=person.id, edition_id=1, list_id=self.list_id
            )
            db.session.add(delivery)
        db.session.flush()
        allowed = set(
            db.session.scalars(
                sa.select(Delivery.subscriber_id).where(ELIGIBLE_LIST.is_not(None)),
                {"campaign": self.campaign_id},
            )
        )
        for person in db.session.scalars(sa.select(Subscriber)).all():
            if person.id in allowed:
                assert person.restricted_at is None
                assert find_suppression(person.address_key) is None
                assert self.confirmed(person.address)
                assert person.address not in self.gone
        db.session.rollback()

    @invariant()
    def every_confirmed_subscription_has_its_proof(self):
        proven = sa.exists().where(
            Consent.subscriber_id == Subscription.subscriber_id,
            Consent.list_id == Subscription.list_id,
            Consent.kind == ConsentKind.CONFIRMED,
        )
        confirmed = Subscription.status == SubscriptionStatus.CONFIRMED
        assert db.session.scalars(sa.select(Subscription.id).where(confirmed, ~proven)).all() == []
        db.session.rollback()

    @invariant()
    def the_ledger_verifies(self):
        seal_ledger()
        assert verify_ledger().broken == []
        db.session.rollback()

    @invariant()
    def nothing_is_left_of_who_is_gone(self):
        for who in self.gone:
            assert db.session.scalars(sa.select(OutboxMail.id).where(OutboxMail.address == who)).all() == []
        assert db.session.scalars(sa.select(PurgeCandidate)).all() == []
        db.session.rollback()

    def find(self, who):
        return db.session.scalar(sa.select(Subscriber).where(Subscriber.address_key == who))

    def confirmed(self, who):
        person = self.find(who)
        return person is not None and any(
            item.status is SubscriptionStatus.CONFIRMED for item in person.subscriptions
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_no_order_of_events_breaks_a_promise(real_app, make_list, make_campaign):
    fi = make_list()
    House.list_id, House.campaign_id = fi.id, make_campaign([fi]).id

    run_state_machine_as_test(
        House,
        settings=settings(
            max_examples=8,
            stateful_step_count=12,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
