"""Questions to DNS, each with a short time-out: "there is none" is an answer, silence is not."""

from typing import Any

import dns.exception
import dns.name
import dns.resolver
import dns.reversename

from newsletter.config import Settings

#: How long one question may take, all tries together.
PATIENCE = 3.0


class Unanswered(Exception):
    """No name server said anything that could be believed; the message is the name that was asked for."""


class Names:
    """Asks the machine's name servers, or the one that the settings name.

    Once there was nobody to answer, it asks no more: a machine without a name server would make
    whoever waits for a dozen answers wait a dozen times.
    """

    def __init__(self, chosen: Settings) -> None:
        self._resolver = _resolver(chosen)

    def texts(self, name: str) -> list[str]:
        """Return the TXT records of a name, each put together from its pieces."""
        found = self._ask(name, "TXT")
        return [b"".join(record.strings).decode("utf-8", "replace") for record in found]

    def addresses(self, name: str) -> list[str]:
        """Return the IPv4 and IPv6 addresses of a name."""
        return [record.address for kind in ("A", "AAAA") for record in self._ask(name, kind)]

    def exchangers(self, domain: str) -> list[str]:
        """Return the hosts that take mail for a domain, the preferred first; "" for one that takes none."""
        found = sorted(self._ask(domain, "MX"), key=lambda record: record.preference)
        return [_plain(record.exchange) for record in found]

    def names_of(self, address: str) -> list[str]:
        """Return the names that an IP address says it has."""
        asked = dns.reversename.from_address(address).to_text()
        return [_plain(record.target) for record in self._ask(asked, "PTR")]

    def _ask(self, name: str, kind: str) -> list[Any]:
        if self._resolver is None:
            raise Unanswered(name)
        try:
            return list(self._resolver.resolve(name, kind, lifetime=PATIENCE, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.resolver.LifetimeTimeout, OSError) as error:
            self._resolver = None
            raise Unanswered(name) from error
        except dns.exception.DNSException as error:
            raise Unanswered(name) from error


def _resolver(chosen: Settings) -> dns.resolver.Resolver | None:
    try:
        resolver = dns.resolver.Resolver(configure=chosen.dns_server is None)
    except dns.resolver.NoResolverConfiguration:
        return None
    if chosen.dns_server is not None:
        host, resolver.port = chosen.dns_server
        resolver.nameservers = [host]
    return resolver


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")
