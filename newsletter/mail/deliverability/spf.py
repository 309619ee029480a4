"""SPF (RFC 7208): may this IP address send for this domain?

Macros and ``exists`` are not evaluated and raise SpfUnsupported.
"""

import ipaddress
import re
from dataclasses import dataclass, field

from newsletter.mail.deliverability.dns import DnsResolver

#: The limit of DNS look-ups of one evaluation (RFC 7208, 4.6.4).
MAX_DNS_LOOKUPS = 10
RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(
    r"([+?~-]?)([a-z0-9]+)(?:([:=])([^/]*))?(?:/(\d{1,2}))?(?:/{1,2}(\d{1,3}))?", re.IGNORECASE
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SpfPermError(Exception):
    """The record is broken: the result "permerror" (RFC 7208, 2.6.7)."""


class SpfUnsupported(Exception):
    """The record uses a mechanism or macro that is not evaluated here."""


def spf_records(domain: str, names: DnsResolver) -> list[str]:
    """Return the SPF records of a domain; more than one is as bad as none."""
    return [text for text in names.txt_records(domain) if text.lower().split(" ")[0] == "v=spf1"]


def check_host(domain: str, address: str, names: DnsResolver) -> str:
    """Return "pass", "fail", "softfail" or "neutral".

    Raises SpfPermError, SpfUnsupported or DnsUnavailable.
    """
    return _Evaluation(ipaddress.ip_address(address), names).check_host(domain)


@dataclass(slots=True)
class _Evaluation:
    address: Address
    names: DnsResolver
    asked: int = field(default=0)

    def check_host(self, domain: str) -> str:
        found = spf_records(domain, self.names)
        if len(found) != 1:
            raise SpfPermError(domain)
        onward = None
        for word in found[0].split()[1:]:
            term = _TERM.fullmatch(word)
            if term is None or "%" in word:
                raise SpfUnsupported(word)
            sign, kind, separator, value, four, six = term.groups()
            if separator == "=":
                onward = value if kind.lower() == "redirect" else onward
            elif self._matches(kind.lower(), value or domain, word, four, six):
                return RESULTS[sign or "+"]
        return self._check_other(onward) if onward else "neutral"

    def _check_other(self, domain: str) -> str:
        self._count_lookup()
        return self.check_host(domain)

    def _count_lookup(self) -> None:
        self.asked += 1
        if self.asked > MAX_DNS_LOOKUPS:
            raise SpfPermError("more than ten questions")

    def _matches(self, kind: str, value: str, word: str, four: str | None, six: str | None) -> bool:
        match kind:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._is_in_network(word.partition(":")[2])
            case "include":
                return self._check_other(value) == "pass"
            case "a":
                self._count_lookup()
                return self._matches_hosts([value], four, six)
            case "mx":
                self._count_lookup()
                return self._matches_hosts(self.names.mx_hosts(value), four, six)
            case _:
                raise SpfUnsupported(word)

    def _is_in_network(self, network: str) -> bool:
        try:
            known = ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise SpfPermError(network) from error
        return self.address.version == known.version and self.address in known

    def _matches_hosts(self, hosts: list[str], four: str | None, six: str | None) -> bool:
        length = {4: four or "32", 6: six or "128"}[self.address.version]
        found = [address for host in hosts for address in self.names.addresses(host)]
        return any(
            self._is_in_network(f"{address}/{length}")
            for address in found
            if (":" in address) == (self.address.version == 6)  # noqa: PLR2004 - IPv6
        )
