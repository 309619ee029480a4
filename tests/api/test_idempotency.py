"""Writes that a program may repeat under a key of its own."""

from datetime import timedelta

import sqlalchemy as sa

from newsletter.api import idempotency
from newsletter.api.models import IdempotentRequest
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.subscribers.models import MailingList

LIST = {"slug": "uusi", "name": "Uusi lista", "language": "fi"}


def lists_called(slug: str) -> int:
    return db.session.scalar(sa.select(sa.func.count()).where(MailingList.slug == slug)) or 0


def test_a_write_sent_twice_under_one_key_is_done_once(call):
    first = call("/lists", LIST, Idempotency_Key="k1")
    again = call("/lists", LIST, Idempotency_Key="k1")

    assert (first.status_code, again.status_code, first.json) == (201, 201, again.json)
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert lists_called("uusi") == 1


def test_without_a_key_the_second_is_refused_by_what_it_is(call):
    call("/lists", LIST)

    refused = call("/lists", LIST)

    assert (refused.status_code, refused.json["code"]) == (422, "list_exists")


def test_a_key_used_for_something_else_is_a_mistake(call):
    call("/lists", LIST, Idempotency_Key="k1")

    refused = call("/lists", LIST | {"slug": "toinen"}, Idempotency_Key="k1")

    assert (refused.status_code, refused.json["code"], lists_called("toinen")) == (
        422,
        "idempotency_key_reused",
        0,
    )


def test_a_refused_write_leaves_its_key_free(call):
    assert call("/lists", LIST | {"language": "sv"}, Idempotency_Key="k1").status_code == 422

    assert call("/lists", LIST, Idempotency_Key="k1").status_code == 201


def test_two_programs_may_use_the_same_key(call, make_token):
    call("/lists", LIST, Idempotency_Key="k1")

    other = call("/lists", LIST | {"slug": "toinen"}, token=make_token(), Idempotency_Key="k1")

    assert other.status_code == 201


def test_a_key_without_end_is_refused(call):
    assert call("/lists", LIST, Idempotency_Key="k" * 201).json["code"] == "idempotency_key_invalid"


def test_keys_are_forgotten_after_a_day(call, now):
    call("/lists", LIST, Idempotency_Key="k1")

    assert (
        idempotency.delete_expired(now + timedelta(hours=24)),
        idempotency.delete_expired(now + timedelta(hours=25)),
    ) == (
        0,
        1,
    )


def test_nothing_of_it_can_be_read_in_the_database(call, make_subscriber):
    person = make_subscriber("meri@example.com")
    path, key = f"/subscribers/{person.id}/unsubscribe", "meri@example.com leaves"

    first = call(path, {}, Idempotency_Key=key)
    kept = db.session.execute(sa.select(IdempotentRequest.__table__)).one()
    again = call(path, {}, Idempotency_Key=key)

    assert (first.json["address"], again.json, again.headers["Idempotent-Replayed"]) == (
        "meri@example.com",
        first.json,
        "true",
    )
    assert "meri" not in str(kept)


def test_a_look_is_made_anew_and_recorded_anew(call, make_subscriber):
    make_subscriber("meri@example.com")

    looks = [
        call("/subscribers/search", {"address": "meri@example.com"}, Idempotency_Key="k1") for _look in "12"
    ]

    assert ["Idempotent-Replayed" in look.headers for look in looks] == [False, False]
    shown = sa.select(sa.func.count()).where(AuditEntry.action == "subscriber shown")
    assert db.session.scalar(shown) == 2
