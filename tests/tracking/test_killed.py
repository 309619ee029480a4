"""The real processes, killed under load: every answered hit is counted exactly once."""

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from newsletter.db import db
from newsletter.stats.rollups.verify import verify_all
from newsletter.subscribers.models import TrackingState
from newsletter.tracking.links import HIT_TOKEN
from newsletter.tracking.models import Event
from tests.support.apps import DEFAULTS
from tests.support.server import LiveServer, kill_some

SECONDS = 4.0
KILLS = 5


@pytest.fixture
def server(real_app: Flask, fresh_database, start_server: Callable[..., LiveServer]) -> LiveServer:
    """``newsletter web`` on the database of the test, whose links it takes for its own."""
    same = {name: DEFAULTS[name.upper()] for name in ("secret_key", "suppression_key")}
    url = fresh_database.render_as_string(hide_password=False)
    db.session.rollback()
    return start_server("web", database_url=url, **same)


def keep_asking(
    server: LiveServer, edition: int, reader: int, name: int, answered: list[str], stop: Any
) -> None:
    """Ask for pictures and links, each under a name of its own; note which were answered."""
    connection, number = None, 0
    while not stop.is_set():
        number += 1
        agent = f"hit {name}-{number}"
        path = f"/o/{HIT_TOKENS[edition, reader]}" if number % 2 else f"/c/{HIT_TOKENS[edition, reader]}/1"
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", server.port, timeout=3)
            connection.request("GET", path, headers={"User-Agent": agent})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            if connection is not None:
                connection.close()
            connection = None
            time.sleep(0.02)
            continue
        if answer.status in {200, 302}:
            answered.append(agent)
    if connection is not None:
        connection.close()


HIT_TOKENS: dict[tuple[int, int], str] = {}


@pytest.mark.timeout(90)
def test_kill_nine_of_pages_loader_or_both_loses_and_doubles_nothing(real_app, make_subscriber, send, server):
    reader = make_subscriber(tracking=TrackingState.GRANTED)
    edition = send(reader.subscriptions[0].mailing_list).editions[0].id
    who = reader.id
    HIT_TOKENS[edition, who] = HIT_TOKEN.make(edition, who)
    db.session.rollback()  # whoever reads holds SQLite's write lock
    answered: list[str] = []
    stop = threading.Event()
    clients = [
        threading.Thread(target=keep_asking, args=(server, edition, who, name, answered, stop))
        for name in range(4)
    ]
    for client in clients:
        client.start()
    chance = random.Random(9)
    for _kill in range(KILLS):
        time.sleep(SECONDS / KILLS)
        kill_some(server, chance)
    time.sleep(1.5)
    stop.set()
    for client in clients:
        client.join()
    server.stop()  # and what is left in the spool is loaded on the way out
    spool = server.instance / "spool"
    for _start in range(5):  # a process whose parent was killed may hold its file a moment longer
        if not list(spool.glob("*.hits")):
            break
        server.newsletter("worker", "--until-idle")

    stored = Counter(db.session.scalars(sa.select(Event.user_agent)))
    assert len(answered) > 100
    assert {agent: stored[agent] for agent in answered if stored[agent] != 1} == {}
    assert max(stored.values()) == 1
    assert list(spool.glob("*.hits")) == []
    assert verify_all() == (1, [])


#: What is sent, and the first line of the answer; {0} is a genuine token.
ODD_REQUESTS = {
    b"GET /o/{0} HTTP/1.0\r\n\r\n": b"HTTP/1.0 200 OK",
    b"GET http://evil.example/c/{0}/1 HTTP/1.1\r\nConnection: close\r\n\r\n": b"HTTP/1.1 302 Found",
    b"GET /o/%zz%00%ff HTTP/1.1\r\nConnection: close\r\n\r\n": b"HTTP/1.1 200 OK",
    b"GET /o/\xff\xfe HTTP/1.1\r\nConnection: close\r\n\r\n": b"HTTP/1.1 400 Bad Request",
    b"GET /c/{0}/1/../2 HTTP/1.1\r\nConnection: close\r\n\r\n": b"HTTP/1.1 404 Not Found",
    b"get /o/{0} HTTP/1.1\r\nConnection: close\r\n\r\n": b"HTTP/1.1 404 Not Found",
    b"GET /o/{0} HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello": b"HTTP/1.1 200 OK",
    b"GET /o/{0} HTTP/1.1\r\nUser-Agent: \x80\t"
    + b"x" * 20_000
    + b"\r\nConnection: close\r\n\r\n": b"HTTP/1.1 200 OK",
    b"\x16\x03\x01\x02\x00\x01": b"HTTP/1.1 400 Bad Request",
}


def first_line(server: LiveServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline().rstrip()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_odd_requests_are_answered_and_a_stopped_program_leaves_no_hit_behind(
    real_app, make_subscriber, send, server
):
    reader = make_subscriber(tracking=TrackingState.GRANTED)
    edition = send(reader.subscriptions[0].mailing_list).editions[0].id
    token = HIT_TOKEN.make(edition, reader.id)
    db.session.rollback()
    answers = {odd: first_line(server, odd.replace(b"{0}", token.encode())) for odd in ODD_REQUESTS}
    for number in range(50):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", f"/o/{token}", headers={"User-Agent": f"hit {number}"})
        assert connection.getresponse().status == 200
        connection.close()

    server.stop()

    assert answers == ODD_REQUESTS
    # Those of the odd ones that were answered with a picture or an address count too.
    assert len(db.session.scalars(sa.select(Event.id)).all()) == 50 + 4
