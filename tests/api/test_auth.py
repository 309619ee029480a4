"""Tokens: what opens the API, how far, how often, and writes that may be repeated."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.api import auth
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.ratelimit.limiter import hit, parse_rule
from newsletter.staff.api_tokens import TokenInvalid, create_token, revoke_token
from newsletter.staff.models import ApiToken
from tests.support.clock import NOW

LIST = {"slug": "uusi", "name": "Uusi lista", "language": "fi"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nl_forged",
        "Basic bmxfOg==",
        "bearer nl_" + "x" * 5000,
        "Bearer nl_ä",
        "Bearer nl_\udc80",
    ],
)
def test_without_a_good_token_nothing_opens(client, header):
    response = client.get("/api/v1/lists", headers={"Authorization": header})

    assert (response.status_code, response.json["code"]) == (401, "token_missing")
    assert (response.content_type, response.headers["WWW-Authenticate"]) == (
        "application/problem+json",
        "Bearer",
    )


def test_a_token_opens_what_it_was_made_for_and_nothing_else(call, make_token):
    token = make_token("lists:read")

    assert call("/lists", token=token).status_code == 200
    refused = call("/subscribers", token=token)
    assert (refused.status_code, refused.json["code"]) == (403, "scope_missing")


def test_every_endpoint_asks_for_a_scope(app):
    closed = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/") and auth.required_scope(app.view_functions[rule.endpoint]) is None
    }

    assert sorted(closed) == [
        "api_document.docs",
        "api_document.openapi",
        "api_subscriptions.create",
        "api_subscriptions.preflight",
    ]


def test_a_token_ends_with_its_time(call, make_token, clock):
    token = make_token("lists:read", days=30)

    clock.shift(timedelta(days=30) - timedelta(seconds=1))
    assert call("/lists", token=token).status_code == 200
    clock.shift(timedelta(seconds=1))
    assert call("/lists", token=token).status_code == 401


def test_a_revoked_token_opens_nothing_any_more(call, make_token, now):
    token = make_token("lists:read")
    revoke_token(db.session.scalars(sa.select(ApiToken.id)).one(), now=now, actor="console")
    db.session.commit()

    assert call("/lists", token=token).status_code == 401


def test_a_token_is_kept_as_a_hash_and_its_last_use_noted(call, make_token):
    token = make_token()
    call("/lists", token=token)

    kept = db.session.scalars(sa.select(ApiToken)).one()
    assert (kept.prefix, len(kept.token_hash), token in kept.token_hash) == (token[:8], 64, False)
    assert kept.last_used_at == NOW


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("", ["lists:read"], 1),
        ("x", [], 1),
        ("x", ["all"], 1),
        ("x", ["lists:read"], 0),
        ("x", ["lists:read"], 732),
    ],
)
def test_a_token_needs_a_name_a_scope_and_an_end(app, name, scopes, days):
    with pytest.raises(TokenInvalid):
        create_token(name=name, scopes=scopes, days=days, now=NOW, actor="console")


def test_a_token_for_one_list_knows_no_other(call, make_token, make_list, make_subscriber, make_campaign):
    ours, theirs = make_list("oma"), make_list("muu")
    make_subscriber("meri@example.com", [ours, theirs])
    other = make_subscriber("muu@example.com", [theirs])
    both = make_campaign([ours, theirs])
    token = make_token(lists=["oma"])

    assert [row["slug"] for row in call("/lists", token=token).json["items"]] == ["oma"]
    (person,) = call("/subscribers", token=token).json["items"]
    assert (person["address"], [row["list"] for row in person["subscriptions"]]) == (
        "meri@example.com",
        ["oma"],
    )
    for path in (
        "/lists/muu",
        f"/subscribers/{other.id}",
        f"/subscribers/{other.id}/proof",
        "/subscribers?list=muu",
    ):
        assert call(path, token=token).status_code == 404, path
    for path in (f"/campaigns/{both.id}", f"/campaigns/{both.id}/figures", f"/campaigns/{both.id}/preview"):
        assert call(path, token=token).status_code == 404, path
    assert call(f"/campaigns/{both.id}/send", {}, token=token).status_code == 404
    assert call("/campaigns", {"lists": ["muu"], "subject": "x", "body": "x"}, token=token).status_code == 404
    for path, sent in (("/lists", LIST), ("/suppressions", {"address": "a@example.com"})):
        refused = call(path, sent, token=token)
        assert (refused.status_code, refused.json["code"], refused.json["detail"]) == (
            403,
            "not_allowed",
            "This token is for some lists only, and this is about all of them.",
        )


# --- rates ------------------------------------------------------------------------------------------


def test_what_is_left_of_the_rate_stands_in_the_headers(call):
    headers = call("/lists").headers

    assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("600", "599")


def test_a_token_that_asks_too_often_is_told_when_to_come_back(call, make_token):
    token = make_token("lists:read")
    number = str(db.session.scalars(sa.select(ApiToken.id)).one())
    (rule,) = parse_rule(auth.TOKEN_RATE_LIMIT)
    for _call in range(rule.amount):
        hit(auth.TOKEN_RATE_LIMIT, "token", number)

    refused = call("/lists", token=token)

    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 61


def test_guessing_tokens_is_slow(client):
    answers = [client.get("/api/v1/lists") for _try in range(61)]

    assert [answer.status_code for answer in answers] == [401] * 60 + [429]
    assert (answers[-1].json["code"], 0 < int(answers[-1].headers["Retry-After"]) <= 61) == (
        "too_many_requests",
        True,
    )


def test_what_a_token_was_not_made_for_counts_too(call, make_token):
    token = make_token("lists:read")

    call("/subscribers", token=token)

    assert call("/lists", token=token).headers["RateLimit-Remaining"] == "598"


def test_the_log_names_the_token(call):
    call("/lists", LIST)

    acts = {(row.actor.split(":")[0], row.action) for row in db.session.scalars(sa.select(AuditEntry))}
    assert acts == {("console", "token made"), ("token", "list created")}
