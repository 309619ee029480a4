"""RP-4: the proof of a consent after the person has gone: what stays, to whom it points, until when."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.proof.consent import NoConsentHeld, get_proof
from newsletter.privacy.proof.removal import SubscriberNotErased, remove_proof
from newsletter.privacy.requests.register import ReasonMissing
from newsletter.privacy.retention.erasure import erase_person
from newsletter.privacy.retention.purge import run_purge
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit, record_consent, verify_ledger
from newsletter.subscribers.models import Consent, ConsentKind, Subscriber
from tests.privacy.purging import DUE, LEFT

FORM = Visit(ip="203.0.113.7", user_agent="Thunderbird", form_url="https://www.kirjakauppa.example/")


def record(reader: Subscriber, *kinds: ConsentKind) -> None:
    for kind in kinds:
        record_consent(
            kind, reader, now=reader.created_at, method="form", visit=FORM,
            mailing_list=reader.subscriptions[0].mailing_list,
        )  # fmt: skip
    db.session.commit()


def test_rp4_proof_survives_and_points_to_nobody(real_app, make_subscriber):
    reader = make_subscriber("Eero@example.com", status=LEFT)
    record(reader, ConsentKind.ASKED, ConsentKind.CONFIRMED, ConsentKind.WITHDRAWN)
    db.session.rollback()

    run_purge(now=DUE, actor="console")

    rows = db.session.scalars(
        sa.select(Consent).order_by(Consent.id).execution_options(populate_existing=True)
    ).all()
    key = hash_address("eero@example.com")
    assert [(row.kind, row.address_hash) for row in rows if row.address_hash] == [
        (ConsentKind.CONFIRMED, key),
        (ConsentKind.WITHDRAWN, key),
    ]
    assert {(row.subscriber_id, row.ip, row.user_agent, row.form_url) for row in rows} == {
        (None, None, None, None)
    }
    found = get_proof("EERO@example.com")
    assert [fact.kind for fact in found.facts] == ["confirmed", "withdrawn"]


def test_rd4_the_proof_goes_too_with_a_logged_reason(real_app, make_subscriber, now):
    record(make_subscriber("eero@example.com", status=LEFT), ConsentKind.CONFIRMED)
    with pytest.raises(SubscriberNotErased):
        remove_proof("eero@example.com", "Pyysi.", now=now, actor="staff:1")
    erase_person("eero@example.com", now=now, actor="staff:1")
    with pytest.raises(ReasonMissing):
        remove_proof("eero@example.com", " ", now=now, actor="staff:1")

    removed = remove_proof("Eero@Example.com", "Pyysi.", now=now, actor="staff:1")

    assert removed == 1
    with pytest.raises(NoConsentHeld):
        get_proof("eero@example.com")
    assert verify_ledger().broken == []
    act = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "proof removed")).one()
    assert (act.actor, act.about, act.details) == ("staff:1", {"why": "Pyysi."}, {"facts": 1})


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (DUE, datetime(2031, 1, 1, tzinfo=UTC)),
        # 0.30 on New Year's Day 2027 in Helsinki, where the year has already begun.
        (datetime(2026, 12, 31, 22, 30, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp4_proof_is_kept_to_the_end_of_the_third_year(real_app, make_subscriber, now, until):
    record(make_subscriber(status=LEFT), ConsentKind.CONFIRMED)

    run_purge(now=now, actor="console")

    (kept,) = db.session.scalars(sa.select(Consent.keep_until))
    assert abs(kept - until) <= timedelta(hours=2)  # midnight there or here


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp4_proof_whose_time_is_over_goes(real_app, make_subscriber):
    record(make_subscriber(status=LEFT), ConsentKind.CONFIRMED)
    hashes = []

    for year in (2027, 2030, 2031):
        run_purge(now=DUE.replace(year=year), actor="console")
        hashes.append(bool(db.session.scalar(sa.select(Consent.address_hash))))

    assert hashes == [True, True, False]
