"""The one way out to other sites: hosts that the operator named, and never a private network (SS-7).

The name is looked up once and that very address is connected to, so that a name which points
elsewhere a moment later leads nowhere. Redirects are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from newsletter.config import current_settings
from newsletter.errors import N_, NewsletterError

SECONDS = 10.0


class TargetRefused(NewsletterError):
    """Not a place that we call."""

    message = N_("This address is not called: it must be https, on a host of WEBHOOK_HOSTS, and public.")


def is_public(address: str) -> bool:
    """Tell whether an IP address is anywhere but in a private or special network."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return inner.is_global and ip.ipv4_mapped is not None
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 leads to any IPv4 address
            return False
    return ip.is_global and not ip.is_multicast


def require_target(url: str) -> None:
    """Raise TargetRefused for an address that we do not call, before any look-up."""
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
    may_connect: Callable[[str], bool] = is_public,
    context: ssl.SSLContext | None = None,
) -> int:
    """Post to an address and return the status; raise TargetRefused, OSError or HTTPException."""
    require_target(url)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    found = {str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not found or not all(map(may_connect, found)):
        raise TargetRefused
    connection = _Pinned(host, port, min(found), context or ssl.create_default_context())
    try:
        target = parts.path or "/"
        connection.request("POST", f"{target}?{parts.query}" if parts.query else target, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


class _Pinned(http.client.HTTPSConnection):
    """A connection to an IP address that was checked, with the certificate of the host's name."""

    def __init__(self, host: str, port: int, ip: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=SECONDS, context=context)
        self._ip, self._tls = ip, context

    def connect(self) -> None:
        """Connect where we looked, and nowhere else."""
        plain = socket.create_connection((self._ip, self.port), SECONDS)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
