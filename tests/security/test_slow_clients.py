"""A client that sends slowly, or without end, holds nobody else up."""

import http.client
import socket
from contextlib import ExitStack

import pytest

#: More than there are processes for pages, each of which answers one request at a time.
SLOW = 8
HEADERS = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = (
    b"POST /subscribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nemail="
)


@pytest.mark.timeout(120)
def test_slow_headers_and_endless_bodies_hold_nobody_up(live_server):
    with ExitStack() as slow:
        begin(slow, live_server.port, HEADERS)
        assert get(live_server.port, "/healthz") == 200

    connection = http.client.HTTPConnection("127.0.0.1", live_server.port, timeout=20)
    connection.putrequest("POST", "/staff/login")
    connection.putheader("Content-Length", str(10**12))
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.endheaders(b"email=a")
    assert connection.getresponse().status in {400, 413}
    connection.close()
    assert get(live_server.port, "/healthz") == 200


@pytest.mark.timeout(120)
def test_slow_bodies_hold_others_up_no_longer_than_they_stay(live_server):
    """While they stay, they may: docs/security.md says why, and what stands in front of the pages."""
    with ExitStack() as slow:
        begin(slow, live_server.port, BODY)

    assert get(live_server.port, "/healthz") == 200


def begin(slow: ExitStack, port: int, beginning: bytes) -> None:
    for _client in range(SLOW):
        slow.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(beginning)


def get(port: int, path: str, seconds: float = 10) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
