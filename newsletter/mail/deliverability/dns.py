"""DNS queries with a short time-out; no such record is an empty list, no answer is an exception."""

from typing import Any

import dns.exception
import dns.name
import dns.resolver
import dns.reversename

from newsletter.config import Settings

#: Seconds for one query, all tries together.
QUERY_TIMEOUT = 3.0


class DnsUnavailable(Exception):
    """No name server gave a usable answer; the message is the queried name."""


class DnsResolver:
    """Queries the machine's name servers, or the one that the settings name. Raises DnsUnavailable.

    After the first time-out it asks no more: without a name server a dozen queries would wait a dozen times.
    """

    def __init__(self, chosen: Settings) -> None:
        self._resolver = _make_resolver(chosen)

    def txt_records(self, name: str) -> list[str]:
        """Return the TXT records of a name, each put together from its pieces."""
        found = self._ask(name, "TXT")
        return [b"".join(record.strings).decode("utf-8", "replace") for record in found]

    def addresses(self, name: str) -> list[str]:
        """Return the IPv4 and IPv6 addresses of a name."""
        return [record.address for kind in ("A", "AAAA") for record in self._ask(name, kind)]

    def mx_hosts(self, domain: str) -> list[str]:
        """Return the MX hosts of a domain by preference; [""] for a null MX (RFC 7505)."""
        found = sorted(self._ask(domain, "MX"), key=lambda record: record.preference)
        return [_without_final_dot(record.exchange) for record in found]

    def ptr_names(self, address: str) -> list[str]:
        """Return the PTR names of an IP address."""
        asked = dns.reversename.from_address(address).to_text()
        return [_without_final_dot(record.target) for record in self._ask(asked, "PTR")]

    def _ask(self, name: str, kind: str) -> list[Any]:
        if self._resolver is None:
            raise DnsUnavailable(name)
        try:
            return list(self._resolver.resolve(name, kind, lifetime=QUERY_TIMEOUT, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.resolver.LifetimeTimeout, OSError) as error:
            self._resolver = None
            raise DnsUnavailable(name) from error
        except dns.exception.DNSException as error:
            raise DnsUnavailable(name) from error


def _make_resolver(chosen: Settings) -> dns.resolver.Resolver | None:
    try:
        resolver = dns.resolver.Resolver(configure=chosen.dns_server is None)
    except dns.resolver.NoResolverConfiguration:
        return None
    if chosen.dns_server is not None:
        host, resolver.port = chosen.dns_server
        resolver.nameservers = [host]
    return resolver


def _without_final_dot(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")
