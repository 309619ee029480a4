import re

import pytest

from newsletter.mail.dev_mailbox import _linked, delete_mails_to
from newsletter.mail.outbox import deliver_due, enqueue
from tests.support.apps import on_its_own

CONTEXT = {
    "lists": ["<b>Uutiset</b>"],
    "preferences_url": "http://127.0.0.1:8000/preferences/x?lang=fi&a=b",
    "unsubscribe_url": "http://127.0.0.1:8000/unsubscribe/x?lang=fi",
}


@pytest.fixture
def send(app, now):
    """Send one mail into the mailbox."""

    def put(address="tilaaja@example.com"):
        enqueue("already_subscribed", to=address, language="en", now=now, context=CONTEXT)
        on_its_own(app, deliver_due)

    return put


@pytest.fixture
def key(app, send, outgoing):
    """A mail has come; this is what the mailbox calls it."""
    send()
    return outgoing.keys[0]


@pytest.fixture
def statuses(key):
    """Ask a client for every page of the mailbox."""
    paths = ("/mailbox", f"/mailbox/{key}", f"/mailbox/{key}/html", f"/mailbox/{key}/raw")
    return lambda client, **request: [client.get(path, **request).status_code for path in paths]


def test_the_mailbox_shows_what_was_sent(client, statuses, key):
    assert statuses(client) == [200, 200, 200, 200]
    assert "tilaaja@example.com" in client.get("/mailbox").text
    assert "Hello! You are already a subscriber" in client.get(f"/mailbox/{key}").text
    assert "Own subscription details" in client.get(f"/mailbox/{key}/html").text


def test_there_is_no_mailbox_once_a_mail_server_is_set(app, make_app, statuses):
    with_server = make_app(mail_server="mail.example", instance_path=app.instance_path)

    assert statuses(with_server.test_client()) == [404, 404, 404, 404]


def test_there_is_no_mailbox_on_a_public_address(app, make_app, statuses):
    public = make_app(base_url="https://news.example", instance_path=app.instance_path)

    assert statuses(public.test_client()) == [404, 404, 404, 404]


@pytest.mark.parametrize("host", ["news.example", "127.0.0.1.a.example", "192.0.2.1:8000", "[2001:db8::1]"])
def test_another_name_that_points_here_sees_nothing(client, statuses, host):
    assert statuses(client, headers={"Host": host}) == [404, 404, 404, 404]


@pytest.mark.parametrize("remote", ["203.0.113.7", "10.0.0.1", "2001:db8::1", ""])
def test_a_neighbour_sees_nothing(client, statuses, remote):
    assert statuses(client, environ_base={"REMOTE_ADDR": remote}) == [404, 404, 404, 404]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_this_machine_has_several_names(client, key, host):
    assert client.get("/mailbox", headers={"Host": host}).status_code == 200


def test_behind_a_proxy_the_visitor_is_the_neighbour(app, make_app, key):
    proxied = make_app(proxy_hops=1, instance_path=app.instance_path)

    response = proxied.test_client().get("/mailbox", headers={"X-Forwarded-For": "203.0.113.7"})

    assert response.status_code == 404


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e%2fsecret_key", "1772530200.M0P1Q1.host"])
def test_a_mail_that_is_not_there_is_not_found(client, key, name):
    pages = [client.get(f"/mailbox/{name}{part}").status_code for part in ("", "/html", "/raw")]

    assert pages == [404, 404, 404]


def test_an_empty_mailbox_can_be_looked_at(client):
    assert client.get("/mailbox").status_code == 200


def test_what_a_mail_says_is_shown_as_text(client, key):
    page = client.get(f"/mailbox/{key}").text

    assert "<b>Uutiset</b>" not in page
    assert "&lt;b&gt;Uutiset&lt;/b&gt;" in page
    assert 'href="http://127.0.0.1:8000/preferences/x?lang=fi&amp;a=b"' in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Lue <https://x.example/a?b=1&c=2>", "https://x.example/a?b=1&amp;c=2</a>&gt;"),
        ("Lue https://x.example/a.", "https://x.example/a</a>."),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_an_address_in_brackets_is_a_link_without_them(text, shown):
    assert str(_linked(text)).endswith(shown)
    assert 'href="https://x.example/a' in str(_linked(text)) or text == "<b>"


def test_the_html_of_a_mail_runs_no_scripts(client, key):
    policy = client.get(f"/mailbox/{key}/html").headers["Content-Security-Policy"]

    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'")


def test_the_envelope_is_kept_on_top(client, key):
    lines = client.get(f"/mailbox/{key}/raw").text.splitlines()

    assert re.fullmatch(r"Return-Path: <uutiset\+b[0-9a-f]{40}@kirjakauppa.example>", lines[0])
    assert lines[1] == "Delivered-To: tilaaja@example.com"


def test_the_newest_mail_stands_first(client, send, clock):
    send("first@example.com")
    clock.shift(1)
    send("second@example.com")

    page = client.get("/mailbox").text

    assert page.index("second@example.com") < page.index("first@example.com")


def test_the_newest_mail_of_one_second_stands_first(client, send, clock):
    clock.shift(0.09)
    send("first@example.com")
    clock.shift(0.2)
    send("second@example.com")

    page = client.get("/mailbox").text

    assert page.index("second@example.com") < page.index("first@example.com")


def test_the_mails_of_a_person_can_be_forgotten(app, send, outgoing):
    send("Meri@example.com")
    send("tilaaja@example.com")

    delete_mails_to({"meri@example.com"})

    assert [message["Delivered-To"] for message in outgoing] == ["tilaaja@example.com"]


def test_forgetting_the_mails_of_nobody_needs_no_mailbox(app, outgoing):
    delete_mails_to({"meri@example.com"})

    assert outgoing.all == []
