"""``/requests``: another system enters what people ask about their data, and sees what became of it."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.models import RightsRequest
from newsletter.privacy.requests import fulfil

ASKED = {"kind": "erasure", "address": "Meri@example.com", "channel": "phone", "details": "Soitti tänään."}


def test_a_request_is_entered_with_its_due_date_and_found_again(call, make_subscriber, now):
    person = make_subscriber("meri@example.com")

    made = call("/requests", ASKED)

    assert (made.status_code, made.json["status"], made.json["language"]) == (201, "open", "fi")
    assert call(f"/requests/{made.json['id']}").json == made.json
    assert call("/requests").json == {"items": [made.json], "next": None}
    assert call("/requests?status=done").json["items"] == []
    kept = db.session.scalars(sa.select(RightsRequest)).one()
    assert (kept.subscriber_id, made.json["due_on"]) == (person.id, kept.due_on.isoformat())


def test_what_became_of_a_request_is_told(call, make_subscriber, now):
    make_subscriber("meri@example.com")
    number = call("/requests", ASKED).json["id"]

    fulfil.refuse(number, "law", "Kirjanpitolaki.", now=now, actor="staff:1", reply_by="print")
    db.session.commit()

    told = call(f"/requests/{number}").json
    assert (told["status"], told["decided_at"]) == ("refused", now.isoformat())
    assert [row["id"] for row in call("/requests?status=refused").json["items"]] == [number]


def test_every_look_at_a_request_is_recorded(call):
    number = call("/requests", ASKED).json["id"]
    call("/requests")
    call(f"/requests/{number}")

    looked = sa.select(AuditEntry.action).where(AuditEntry.actor.like("token:%")).order_by(AuditEntry.id)
    assert db.session.scalars(looked).all() == ["request received", "requests listed", "request read"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"address": "ei osoite"}, "address_invalid"),
        ({"kind": "objection"}, "scope_missing"),
        ({"kind": "everything"}, "invalid"),
        ({"channel": "form"}, "invalid"),
        ({"language": "sv"}, "invalid"),
    ],
)
def test_a_request_that_cannot_be_is_refused(call, fields, code):
    refused = call("/requests", ASKED | fields)

    assert (refused.status_code, refused.json["code"]) == (422, code)
    assert db.session.scalars(sa.select(RightsRequest)).all() == []


def test_a_token_for_some_lists_sees_no_request(call, make_list, make_token):
    make_list("oma")
    number = call("/requests", ASKED).json["id"]
    token = make_token(lists=["oma"])

    answers = [call("/requests", token=token), call(f"/requests/{number}", token=token)]

    assert [answer.json["code"] for answer in [*answers, call("/requests", ASKED, token=token)]] == [
        "not_allowed"
    ] * 3


def test_a_request_that_is_not_there_is_said_so(call):
    assert [call(f"/requests/{number}").json["code"] for number in (7, 10**12)] == ["unknown_request"] * 2
