"""Other programs are told what happens: signed, until they take it, and never on a private network."""

import base64
import hmac
import json
import ssl
import threading
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import current_app

from newsletter.api import webhook_http, webhooks
from newsletter.api.models import WebhookMessage
from newsletter.api.webhook_http import TargetRefused, is_public_ip
from newsletter.db import db
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers.consent.evidence import Visit, seal_ledger
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from tests.support.apps import on_its_own

URL = "https://shop.example/hook?x=1"


@pytest.fixture
def open_to_shop(make_app, app):
    """The application of an operator who let webhooks go to the shop."""
    other = make_app(webhook_hosts="shop.example,localhost")
    with other.app_context():
        yield other


@pytest.fixture
def hook(open_to_shop, now):
    made, secret = webhooks.create_webhook(URL, webhooks.EVENTS, now=now, actor="console")
    db.session.commit()
    return made, secret


@pytest.fixture
def shop():
    """What the other side got, and what it answers."""

    class Shop:
        answer: int | None = 204
        got: list[tuple[str, bytes, dict[str, str]]] = []  # noqa: RUF012 - one object, one test

        def post(self, url, body, headers):
            if self.answer is None:
                raise ConnectionRefusedError
            self.got.append((url, body, headers))
            return self.answer

    made = Shop()
    made.got = []
    return made


def let_somebody_leave(make_subscriber, now):
    person = make_subscriber()
    unsubscribe_from(person, None, now=now, method="staff", visit=Visit(ip="203.0.113.7"))
    db.session.commit()
    on_its_own(current_app._get_current_object(), seal_ledger)
    return person


def test_a_fact_is_told_once_signed_and_without_an_address(hook, shop, make_subscriber, now):
    _made, secret = hook
    person = let_somebody_leave(make_subscriber, now)

    assert (webhooks.enqueue_messages(now), webhooks.enqueue_messages(now)) == (1, 0)
    assert (webhooks.deliver(now, post=shop.post), webhooks.deliver(now, post=shop.post)) == (1, 0)

    ((url, body, headers),) = shop.got
    told = json.loads(body)
    assert (url, told["type"], told["data"]["subscriber_id"]) == (URL, "subscriber.unsubscribed", person.id)
    assert person.address.encode() not in body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_finished_campaign_is_told(hook, shop, make_list, make_subscriber, make_campaign, send_due, now):
    mailing_list = make_list()
    make_subscriber(lists=[mailing_list])
    campaign = make_campaign([mailing_list])
    webhooks.get_webhook(hook[0].id)
    start(campaign, now)
    send_due()

    webhooks.enqueue_messages(now)
    webhooks.deliver(now, post=shop.post)

    assert [json.loads(body)["type"] for _url, body, _headers in shop.got] == ["campaign.finished"]


def start(campaign, now):
    start_campaign(campaign.id, now=now, actor="staff:1")
    db.session.commit()


def test_what_is_not_taken_is_tried_again_and_given_up_in_the_end(hook, shop, make_subscriber, now):
    let_somebody_leave(make_subscriber, now)
    webhooks.enqueue_messages(now)
    shop.answer = 500

    tries, at = 0, now
    while (due := db.session.scalar(sa.select(WebhookMessage.due_at))) is not None:
        at = max(at, due)
        webhooks.deliver(at, post=shop.post)
        tries += 1
        shop.answer = None if tries == 3 else 500

    message = db.session.scalars(sa.select(WebhookMessage)).one()
    assert (tries, message.attempts, message.delivered_at) == (10, 10, None)
    assert len({headers["webhook-id"] for _url, _body, headers in shop.got}) == 1


def test_what_was_told_can_be_told_again(hook, shop, make_subscriber, now):
    let_somebody_leave(make_subscriber, now)
    webhooks.enqueue_messages(now)
    webhooks.deliver(now, post=shop.post)

    assert webhooks.replay(hook[0].id, since=now, now=now) == 1
    webhooks.deliver(now, post=shop.post)

    assert len(shop.got) == 2


def test_an_ended_webhook_is_told_nothing(hook, shop, make_subscriber, now):
    let_somebody_leave(make_subscriber, now)
    webhooks.enqueue_messages(now)
    webhooks.end_webhook(hook[0].id, now=now, actor="console")
    db.session.commit()

    assert (webhooks.enqueue_messages(now), webhooks.deliver(now, post=shop.post), shop.got) == (0, 0, [])


def test_what_happened_before_is_not_told(open_to_shop, make_subscriber, now):
    let_somebody_leave(make_subscriber, now)
    webhooks.create_webhook(URL, webhooks.EVENTS, now=now, actor="console")

    assert webhooks.enqueue_messages(now) == 0


def test_messages_are_forgotten_after_30_days(hook, make_subscriber, now):
    let_somebody_leave(make_subscriber, now)
    webhooks.enqueue_messages(now)

    webhooks.enqueue_messages(now + timedelta(days=31))

    assert db.session.scalars(sa.select(WebhookMessage)).all() == []


# --- where they may go (SS-7) -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://other.example/",
        "https://shop.example.paha.example/",
        "https://shop.example@paha.example/",
        "https://user:secret@shop.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://shop.example:99999/",
        "https://shop.example/\r\nHost: paha.example",
        "file:///etc/passwd",
        "gopher://shop.example/",
        "",
    ],
)
def test_only_named_hosts_over_https_are_called(open_to_shop, url, now):
    with pytest.raises(TargetRefused):
        webhooks.create_webhook(url, webhooks.EVENTS, now=now, actor="console")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - refused, not listened on
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ],
)
def test_a_private_or_special_network_is_refused(address):
    assert is_public_ip(address) is False


def test_a_name_that_leads_home_is_refused_after_the_look_up(open_to_shop):
    with pytest.raises(TargetRefused):
        webhook_http.post("https://localhost/hook", b"{}", {})


def test_a_real_server_gets_it_at_the_address_that_was_checked(open_to_shop):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(
                (self.path, self.headers["Host"], self.rfile.read(int(self.headers["Content-Length"])))
            )
            self.send_response(302)
            self.send_header("Location", "https://localhost/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    pem = Path(__file__).parents[1] / "support" / "self_signed.pem"
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem)
    client_side = ssl.create_default_context()
    client_side.check_hostname, client_side.verify_mode = False, ssl.CERT_NONE
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = server_side.wrap_socket(server.socket, server_side=True)
        port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"https://localhost:{port}/hook?x=1"
        try:
            status = webhook_http.post(
                url,
                b"{}",
                {"webhook-id": "msg_1"},
                may_connect=lambda address: address in {"127.0.0.1", "::1"},
                context=client_side,
            )
            untrusted: object = None
            with suppress(ssl.SSLError):
                untrusted = webhook_http.post(url, b"{}", {}, may_connect=lambda _address: True)
        finally:
            server.shutdown()
            thread.join()

    assert (status, untrusted) == (302, None)  # a redirect is an answer, not an order
    assert got == [("/hook?x=1", f"localhost:{port}", b"{}")]
