"""The resources of the API, and the document that describes them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from newsletter.campaigns.models import CampaignStatus
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import DeliverabilityResult, Grade
from newsletter.sending.lifecycle.release import start_due
from newsletter.subscribers.models import SubscriptionStatus
from tests.subscribers.pages import Page
from tests.support.clock import NOW


def acts() -> list[str]:
    found = sa.select(AuditEntry.action).where(AuditEntry.action != "token made").order_by(AuditEntry.id)
    return list(db.session.scalars(found))


def test_a_list_is_made_and_shown(call):
    made = call("/lists", {"slug": "uusi", "name": "Uusi lista", "language": "fi", "topics": "Kirjat"})

    assert (made.status_code, made.json["topics"]) == (201, "Kirjat")
    assert call("/lists/uusi").json == made.json
    assert call("/lists/ei-ole").json["code"] == "unknown_list"


def test_an_unknown_field_is_refused_and_named(call):
    refused = call("/lists", {"slug": "uusi", "name": "Uusi", "language": "fi", "topic": "Kirjat"})

    assert (refused.status_code, refused.json["code"], refused.json["errors"]) == (
        422,
        "invalid",
        {"topic": ["Unknown field."]},
    )


def test_an_unknown_filter_is_refused_and_named(call, make_subscriber):
    make_subscriber()

    refused = call("/subscribers?lists=oma")

    assert (refused.status_code, refused.json["errors"]) == (422, {"lists": ["Unknown field."]})


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "", "application/jso"])
def test_a_body_that_is_no_json_is_not_taken_for_none(
    client, make_token, make_campaign, make_subscriber, kind
):
    campaign, person = make_campaign(), make_subscriber()
    paths = (f"/campaigns/{campaign.id}/send", f"/subscribers/{person.id}/unsubscribe", "/lists")

    refused = [
        client.post(
            f"/api/v1{path}",
            data=b'{"at": "2026-04-01T09:00:00Z"}',
            content_type=kind,
            headers={"Authorization": f"Bearer {make_token()}"},
        )
        for path in paths
    ]

    assert [(answer.status_code, answer.json["code"]) for answer in refused] == [(415, "not_json")] * 3
    assert campaign.status is CampaignStatus.DRAFT
    assert [row.status for row in person.subscriptions] == [SubscriptionStatus.CONFIRMED]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        pytest.param("{", (400, "bad_request"), id="cut"),
        pytest.param("[" * 100_000, (400, "bad_request"), id="deep"),
        pytest.param(r'{"slug": "a", "name": "\ud83d", "language": "fi"}', (422, "invalid"), id="half"),
        pytest.param(r'{"slug": "a", "name": "\u0000", "language": "fi"}', (422, "invalid"), id="control"),
        pytest.param("NaN", (422, "invalid"), id="no object"),
    ],
)
def test_json_that_nothing_can_keep_is_refused(client, make_token, body, answer):
    refused = client.post(
        "/api/v1/lists",
        data=body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {make_token()}"},
    )

    assert (refused.status_code, refused.json["code"]) == answer
    assert refused.content_type == "application/problem+json"


def test_what_is_not_there_is_said_in_words_for_programs(client):
    answers = [
        client.open(path, method=method, headers={"Accept-Language": "en"})
        for method, path in (("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/lists"))
    ]

    assert [(answer.json["code"], answer.json["detail"]) for answer in answers] == [
        ("not_found", "There is nothing here."),
        ("method_not_allowed", "This address does not take that method."),
    ]


def test_pages_go_by_key_to_the_end(call, make_list, make_subscriber):
    mailing_list = make_list()
    everybody = [make_subscriber(lists=[mailing_list]).id for _person in range(5)]

    found, after = [], ""
    for _page in range(3):
        page = call(f"/subscribers?limit=2{after}").json
        found += [row["id"] for row in page["items"]]
        after = f"&after={page['next']}"

    assert (found, page["next"]) == (everybody, None)


def test_a_person_is_found_by_address_in_a_body_and_the_look_is_recorded(call, make_subscriber):
    person = make_subscriber("Meri@example.com")

    found = call("/subscribers/search", {"address": "meri@EXAMPLE.com"})

    assert (found.status_code, found.json["id"]) == (200, person.id)
    assert acts() == ["subscriber shown"]
    assert call("/subscribers/search", {"address": "ei.ole@example.com"}).json["code"] == "unknown_subscriber"
    assert call("/subscribers/search", {"address": "ei osoite"}).json["code"] == "address_invalid"


def test_a_person_is_shown_with_the_proof_of_consent(call, client, make_list, make_subscriber):
    person = make_subscriber()
    call(f"/subscribers/{person.id}/unsubscribe", {})

    proof = call(f"/subscribers/{person.id}/proof").json

    assert [fact["kind"] for fact in proof["facts"]] == ["withdrawn"]
    assert proof["address"] == person.address


def test_subscriptions_are_ended_once_however_often_it_is_asked(call, make_list, make_subscriber):
    ours, theirs = make_list("oma"), make_list("muu")
    person = make_subscriber(lists=[ours, theirs])

    first = call(f"/subscribers/{person.id}/unsubscribe", {"lists": ["oma"]})
    again = call(f"/subscribers/{person.id}/unsubscribe", {"lists": ["oma"]})

    assert (first.status_code, again.json) == (200, first.json)
    assert [row.status for row in person.subscriptions] == [
        SubscriptionStatus.UNSUBSCRIBED,
        SubscriptionStatus.CONFIRMED,
    ]


def test_a_campaign_is_written_previewed_sent_and_counted(call, make_list, make_subscriber, send_due):
    mailing_list = make_list("oma")
    make_subscriber(lists=[mailing_list])
    made = call("/campaigns", {"lists": ["oma"], "subject": "Maaliskuu", "body": "Hei **kaikki**"}).json

    (edition,) = call(f"/campaigns/{made['id']}/preview").json["editions"]
    assert (edition["subject"], "<strong>kaikki</strong>" in edition["html"]) == ("Maaliskuu", True)
    sent = call(f"/campaigns/{made['id']}/send", {})
    assert (sent.status_code, sent.json["status"]) == (202, "sending")
    assert call(f"/campaigns/{made['id']}/send", {}).json["code"] == "not_a_draft"
    send_due()
    figures = call(f"/campaigns/{made['id']}/figures").json
    assert (figures["recipients"], figures["accepted"]) == (1, 1)
    assert call(f"/campaigns/{made['id']}").json["status"] == "sent"


@pytest.fixture
def draft(call, make_list, make_subscriber) -> int:
    """A campaign for two people."""
    mailing_list = make_list("oma")
    for _person in range(2):
        make_subscriber(lists=[mailing_list])
    made = call("/campaigns", {"lists": ["oma"], "subject": "Maaliskuu", "body": "Hei"})
    return int(made.json["id"])


def test_a_campaign_is_sent_without_a_word_more(call, draft):
    assert call(f"/campaigns/{draft}/send", method="POST").json["status"] == "sending"


def test_a_campaign_is_spread_over_hours(call, draft, send_due, clock):
    sent = call(f"/campaigns/{draft}/send", {"over_hours": 2})
    accepted = [send_due()]
    clock.shift(timedelta(hours=1))
    accepted.append(send_due())

    assert (sent.status_code, sent.json["status"], sent.json["over_hours"]) == (202, "sending", 2)
    assert accepted == [1, 1]


@pytest.mark.parametrize("hours", [0, 73, "pitkään"])
def test_a_spread_that_cannot_be_is_refused(call, draft, hours):
    refused = call(f"/campaigns/{draft}/send", {"over_hours": hours})

    assert (refused.status_code, list(refused.json["errors"])) == (422, ["over_hours"])
    assert call(f"/campaigns/{draft}").json["status"] == "draft"


def test_a_campaign_is_scheduled(call, draft, send_due, clock):
    sent = call(f"/campaigns/{draft}/send", {"at": "2026-03-03T14:00:00+02:00"})

    assert (sent.status_code, sent.json["status"]) == (202, "scheduled")
    assert sent.json["scheduled_at"] == "2026-03-03T12:00:00+00:00"
    clock.move_to(datetime(2026, 3, 3, 12, tzinfo=UTC))
    assert (start_due(utcnow()), send_due()) == (1, 2)


def test_minutes_behind_a_dot_are_minutes(call, draft):
    sent = call(f"/campaigns/{draft}/send", {"at": "2026-03-03T14.45+02:00"})

    assert sent.json["scheduled_at"] == "2026-03-03T12:45:00+00:00"


@pytest.mark.parametrize(
    "at",
    [
        "2026-04-03T14:00:00",
        "2027-06-01T12:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        "klo 9",
        7,
    ],
    ids=["no offset", "too far ahead", "the end of time", "its beginning", "words", "a number"],
)
def test_a_time_that_cannot_be_is_refused(call, draft, at):
    refused = call(f"/campaigns/{draft}/send", {"at": at})

    assert (refused.status_code, list(refused.json["errors"])) == (422, ["at"])
    assert call(f"/campaigns/{draft}").json["status"] == "draft"


def test_a_time_that_is_over_is_refused(call, draft):
    refused = call(f"/campaigns/{draft}/send", {"at": "2026-03-03T09:00:00Z"})

    assert (refused.status_code, refused.json["code"]) == (422, "schedule_past")
    assert call(f"/campaigns/{draft}").json["status"] == "draft"


@pytest.fixture
def demand(draft, make_app, make_token) -> Callable[..., TestResponse]:
    """Ask for a campaign to be sent where our mail would not arrive."""
    bad = {"code": "dmarc", "grade": Grade.FAILED, "word": "dmarc_missing", "details": {"name": "_dmarc"}}
    db.session.add(DeliverabilityResult(**bad, checked_at=NOW))
    db.session.commit()
    strict = make_app(preflight="always").test_client()

    def demand(sent: dict[str, object], *scopes: str) -> TestResponse:
        bearer = {"Authorization": f"Bearer {make_token(*scopes)}", "Accept-Language": "en"}
        return strict.post(f"/api/v1/campaigns/{draft}/send", json=sent, headers=bearer)

    return demand


def test_sb8_a_campaign_whose_mails_would_not_arrive_waits(demand):
    refused = demand({}, "campaigns:send", "campaigns:override")

    assert (refused.status_code, refused.json["code"]) == (422, "standing_low")
    assert acts() == ["campaign created"]


def test_sb8_a_token_made_to_override_does_and_the_log_says_so(demand):
    sent = demand({"despite_preflight": True}, "campaigns:send", "campaigns:override")

    assert (sent.status_code, sent.json["status"]) == (202, "sending")
    assert acts() == ["campaign created", "preflight overridden", "campaign sent"]


def test_sb8_a_token_made_to_send_overrides_nothing(demand):
    refused = demand({"despite_preflight": True}, "campaigns:send")

    assert (refused.status_code, refused.json["code"]) == (403, "scope_missing")
    assert acts() == ["campaign created"]


def test_ss5_under_the_rule_of_two_a_program_only_asks(
    call, make_token, make_app, make_list, make_subscriber
):
    make_subscriber(lists=[make_list("oma")])
    made = call("/campaigns", {"lists": ["oma"], "subject": "Maaliskuu", "body": "Hei"}).json
    careful = make_app(second_person=True).test_client()

    def ask() -> TestResponse:
        bearer = {"Authorization": f"Bearer {make_token()}"}
        return careful.post(f"/api/v1/campaigns/{made['id']}/send", json={}, headers=bearer)

    first, second = ask(), ask()

    assert (first.status_code, first.json["status"]) == (202, "draft")
    assert (second.status_code, second.json["code"]) == (422, "second_person_needed")


def test_an_address_is_banned_and_found_again_without_being_shown(call):
    before = call("/suppressions/search", {"address": "meri@example.com"}).json
    banned = call("/suppressions", {"address": "Meri@example.com"}).json
    after = call("/suppressions/search", {"address": "meri@example.com"})

    assert (before["is_suppressed"], banned["reason"], after.json) == (False, "banned", banned)
    assert "meri" not in after.text


def test_what_has_not_changed_is_not_sent_again(call, make_list):
    make_list("oma")
    etag = call("/lists/oma").headers["ETag"]

    again = call("/lists/oma", If_None_Match=etag)

    assert (again.status_code, again.data) == (304, b"")
    assert call("/lists/oma", method="HEAD").headers["ETag"] == etag


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        ("/campaigns/999999999999999999999", None, 404, "unknown_campaign"),
        ("/subscribers/99999999999999", None, 404, "unknown_subscriber"),
        ("/subscribers?after=99999999999", None, 422, "invalid"),
        ("/subscribers?limit=0", None, 422, "invalid"),
        ("/lists", [], 422, "invalid"),
        ("/lists", {"slug": "a\x00", "name": "x", "language": "fi"}, 422, "invalid"),
        ("/campaigns", {"lists": ["x"], "subject": "a\nBcc: b", "body": "x"}, 404, "unknown_list"),
    ],
)
def test_hostile_input_is_refused_with_a_code(call, path, sent, status, code):
    refused = call(path, sent)

    assert (refused.status_code, refused.json["code"]) == (status, code)
    assert refused.content_type == "application/problem+json"


def test_what_is_not_there_is_a_problem_document_too(client):
    unknown, wrong = client.get("/api/v1/ei-ole"), client.delete("/api/v1/lists")

    assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")
    assert {unknown.content_type, wrong.content_type} == {"application/problem+json"}
    assert "GET" in wrong.headers["Allow"]


# --- the document -----------------------------------------------------------------------------------


def test_the_document_is_openapi_31_and_has_every_endpoint(client, app):
    document = client.get("/api/v1/openapi.json").json

    paths = {
        rule.rule.replace("<int:", "{").replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/") and not rule.endpoint.startswith("api_document")
    }
    assert (document["openapi"], set(document["paths"])) == ("3.1.0", paths)
    assert document["paths"]["/api/v1/lists"]["get"]["security"] == [{"token": ["lists:read"]}]


def test_the_document_can_be_read_without_another_site(client):
    page = client.get("/api/v1/docs")

    assert Page(page).heading == "API"
    assert [part for part in ("<script", "style=", 'src="http', 'href="http') if part in page.text] == []
