"""An objection shows wherever the person does, and keeps them out of what it is to (RD-8)."""

import csv
import io
import json

import pytest

from newsletter.api import webhooks
from newsletter.api.models import WebhookMessage
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.export import labels
from newsletter.privacy.models import Objection, RequestKind, RightsRequest
from newsletter.privacy.requests import disclosures, register
from newsletter.privacy.requests.fulfil import fulfil_request
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import Subscription, SubscriptionStatus
from newsletter.subscribers.objections import EXPORT_PURPOSES, SCOPE_LABELS
from newsletter.subscribers.transfer.exporter import iterate_csv, record_export
from newsletter.web.i18n import force_language, translate
from tests.api.conftest import make_token
from tests.support.clock import NOW

__all__ = ["make_token"]

MERI = "meri@example.com"
#: Which objection keeps somebody out of an export for which purpose.
LEFT_OUT = {
    "direct_marketing": {"newsletter", "direct_marketing"},
    "distance_selling": {"distance_selling"},
    "other_marketing": {"newsletter", "other_marketing"},
    "research": {"research"},
    "lists": {"lists"},
    "genealogy": {"genealogy"},
    "disclosure": {"lists", "genealogy", "disclosure"},
    "all_mail": {"newsletter", "direct_marketing", "distance_selling", "other_marketing", "research"},
}


@pytest.fixture
def object_to(app):
    def act(*scopes: str, address: str = MERI) -> RightsRequest:
        request = register.record_request(
            RequestKind.OBJECTION,
            address,
            channel="mail",
            language="fi",
            now=NOW,
            actor="staff:1",
            scopes=scopes,
        )
        return fulfil_request(request.id, now=NOW, actor="staff:1", reply_by="print")

    return act


def _exported(purpose: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(iterate_csv([], purpose)))))


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("scope", LEFT_OUT)
def test_an_objection_keeps_its_person_out_of_the_purposes_it_is_to(app, make_subscriber, object_to, scope):
    make_subscriber(MERI)

    object_to(scope)

    assert {purpose for purpose in EXPORT_PURPOSES if not _exported(purpose)} == LEFT_OUT[scope]


def test_the_record_has_everybody_with_what_each_objected_to(app, make_subscriber, object_to):
    make_subscriber(MERI)
    make_subscriber("aino@example.com")

    object_to("disclosure", "lists")

    assert [(row["address"], row["objections"]) for row in _exported("record")] == [
        (MERI, "lists disclosure"),
        ("aino@example.com", ""),
    ]


def test_an_export_says_in_the_audit_log_for_what_it_was_and_without_how_many(
    app, make_subscriber, object_to, stored
):
    make_subscriber(MERI)
    make_subscriber("aino@example.com")
    object_to("disclosure")

    counted = record_export([], purpose="disclosure", now=NOW, actor="staff:1")

    assert (counted.subscriptions, counted.left_out) == (1, 1)
    details = stored(AuditEntry)[-1].details
    assert (details["purpose"], details["left_out_objected"]) == ("disclosure", 1)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_whoever_had_processing_restricted_is_only_in_the_record(app, make_subscriber):
    make_subscriber(MERI, restricted_at=NOW)

    assert [purpose for purpose in EXPORT_PURPOSES if _exported(purpose)] == ["record"]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_newsletter_ordered_anew_is_exported_again(app, clock, make_subscriber, object_to):
    person = make_subscriber(MERI)
    object_to("direct_marketing")
    (subscription,) = person.subscriptions
    clock.shift(60)
    subscription.status = SubscriptionStatus.CONFIRMED
    subscription.confirmed_at = NOW.replace(year=NOW.year + 1)
    db.session.commit()

    assert [row["address"] for row in _exported("newsletter")] == [MERI]
    assert _exported("direct_marketing") == []


@pytest.mark.parametrize("scope", ["direct_marketing", "other_marketing", "all_mail"])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_objection_to_advertising_ends_the_subscriptions(app, make_subscriber, object_to, stored, scope):
    make_subscriber(MERI)

    object_to(scope)

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.UNSUBSCRIBED]


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("scope", ["distance_selling", "research", "lists", "genealogy", "disclosure"])
def test_another_objection_leaves_the_newsletter_alone(app, make_subscriber, object_to, stored, scope):
    make_subscriber(MERI)

    object_to(scope)

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED]


def test_the_api_carries_the_scopes(client, make_subscriber, object_to, make_token):
    person = make_subscriber(MERI)
    object_to("lists", "genealogy")
    bearer = {"Authorization": f"Bearer {make_token('subscribers:read')}"}

    one = client.get(f"/api/v1/subscribers/{person.id}", headers=bearer).json
    every = client.get("/api/v1/subscribers", headers=bearer).json

    assert one["objections"] == ["lists", "genealogy"]
    assert [item["objections"] for item in every["items"]] == [["lists", "genealogy"]]


def test_webhooks_tell_of_each_objection_once(make_app, app, make_subscriber, object_to, stored):
    with make_app(webhook_hosts="shop.example").app_context():
        webhooks.create_webhook("https://shop.example/h", webhooks.EVENTS, now=NOW, actor="console")
        db.session.commit()
    person = make_subscriber(MERI)
    object_to("disclosure")

    webhooks.enqueue_messages(NOW)
    webhooks.enqueue_messages(NOW)

    bodies = [json.loads(row.body) for row in stored(WebhookMessage) if row.event == "subscriber.objected"]
    assert [body["data"] for body in bodies] == [{"subscriber_id": person.id, "scope": "disclosure"}]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_is_objected_to_is_not_disclosed(app, make_subscriber, object_to):
    make_subscriber(MERI)
    object_to("disclosure")

    with pytest.raises(disclosures.DisclosureObjected):
        disclosures.record_disclosure(
            MERI,
            recipient="Kumppani",
            what="osoite",
            why="sopimus",
            ground="suostumus",
            now=NOW,
            actor="staff:1",
        )


@pytest.mark.parametrize("engine", ["sqlite"])
def test_every_scope_has_its_finnish_words(app):
    with force_language("fi"):
        words = [translate(text) for text in SCOPE_LABELS.values()]

    assert words == [
        "Suoramainonta",
        "Etämyynti",
        "Muu suoramarkkinointi",
        "Markkina- ja mielipidetutkimus, myös seuranta",
        "Luettelot ja hakemistot",
        "Henkilömatrikkelit ja sukututkimus",
        "Luovutus muille",
        "Kaikki viestit",
    ]
    assert set(SCOPE_LABELS) <= set(labels.VALUE_LABELS)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_objection_of_nobody_we_know_is_kept_as_a_hash(app, object_to, stored):
    object_to("disclosure", address="vieras@example.com")

    assert [(row.address_hash, row.scope) for row in stored(Objection)] == [
        (hash_address("vieras@example.com"), "disclosure")
    ]
