"""A client that sends slowly, or without end, holds nobody else up."""

import http.client
import socket
from contextlib import ExitStack

import pytest

#: More than there are processes for pages, each of which answers one request at a time.
SLOW = 8


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", id="headers"),
        pytest.param(
            b"POST /subscribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nemail=",
            id="body",
        ),
    ],
)
def test_slow_clients_hold_nobody_up(live_server, beginning):
    with ExitStack() as slow:
        for _client in range(SLOW):
            slow.enter_context(socket.create_connection(("127.0.0.1", live_server.port))).sendall(beginning)

        assert get(live_server.port, "/healthz") == 200


@pytest.mark.timeout(120)
def test_a_body_too_large_is_refused_without_reading_it_all(live_server):
    connection = http.client.HTTPConnection("127.0.0.1", live_server.port, timeout=20)
    connection.putrequest("POST", "/staff/login")
    connection.putheader("Content-Length", str(10**12))
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.endheaders(b"email=a")

    assert connection.getresponse().status in {400, 413}
    connection.close()
    assert get(live_server.port, "/healthz") == 200


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
