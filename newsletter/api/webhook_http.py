"""HTTPS client of webhooks: only hosts named by the operator, never a private network (SSRF, SS-7).

The host is resolved once and the connection goes to the checked address, so a DNS change in between has
no effect (DNS rebinding). Redirects are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from newsletter.config import current_settings
from newsletter.errors import N_, NewsletterError

TIMEOUT_SECONDS = 10.0


class TargetRefused(NewsletterError):
    """The URL is not allowed for webhooks."""

    message = N_("This address is not called: it must be https, on a host of WEBHOOK_HOSTS, and public.")


def is_public_ip(address: str) -> bool:
    """Return whether an IP address is global unicast, also when embedded in an IPv6 address."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return inner.is_global and ip.ipv4_mapped is not None
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 (RFC 6052) reaches any IPv4 address
            return False
    return ip.is_global and not ip.is_multicast


def require_target(url: str) -> None:
    """Raise TargetRefused for a URL that is not allowed; without a DNS look-up."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise TargetRefused from None
    is_plain = not parts.username and not parts.password and url.isascii() and url.isprintable()
    if (
        parts.scheme != "https"
        or (parts.hostname or "") not in current_settings().webhook_hosts
        or not is_plain
    ):
        raise TargetRefused


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    may_connect: Callable[[str], bool] = is_public_ip,
    context: ssl.SSLContext | None = None,
) -> int:
    """POST to a URL and return the status; raise TargetRefused, OSError or HTTPException."""
    require_target(url)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    found = {str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not found or not all(map(may_connect, found)):
        raise TargetRefused
    connection = _PinnedConnection(host, port, min(found), context or ssl.create_default_context())
    try:
        target = parts.path or "/"
        connection.request("POST", f"{target}?{parts.query}" if parts.query else target, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


class _PinnedConnection(http.client.HTTPSConnection):
    """A connection to a checked IP address that verifies the certificate of the host name."""

    def __init__(self, host: str, port: int, ip: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS, context=context)
        self._ip, self._tls = ip, context

    def connect(self) -> None:
        """Connect to the checked address."""
        plain = socket.create_connection((self._ip, self.port), TIMEOUT_SECONDS)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
