"""May this address send for this domain? The parts of SPF (RFC 7208) that are in use.

Macros and ``exists`` are not carried out: whoever publishes them gets "unknown" and not a guess.
"""

import ipaddress
import re
from dataclasses import dataclass, field

from newsletter.mail.deliverability.dns import Names

#: A receiver gives up after so many questions (RFC 7208, 4.6.4).
MOST_QUESTIONS = 10
RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(
    r"([+?~-]?)([a-z0-9]+)(?:([:=])([^/]*))?(?:/(\d{1,2}))?(?:/{1,2}(\d{1,3}))?", re.IGNORECASE
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unusable(Exception):
    """A receiver would call the record broken (permerror)."""


class Unsupported(Exception):
    """The record uses something that we do not carry out."""


def records_of(domain: str, names: Names) -> list[str]:
    """Return the SPF records of a domain; more than one is as bad as none."""
    return [text for text in names.texts(domain) if text.lower().split(" ")[0] == "v=spf1"]


def result(domain: str, address: str, names: Names) -> str:
    """Return "pass", "fail", "softfail" or "neutral". Raises Unusable, Unsupported or Unanswered."""
    return _Question(ipaddress.ip_address(address), names).ask(domain)


@dataclass(slots=True)
class _Question:
    address: Address
    names: Names
    asked: int = field(default=0)

    def ask(self, domain: str) -> str:
        found = records_of(domain, self.names)
        if len(found) != 1:
            raise Unusable(domain)
        onward = None
        for word in found[0].split()[1:]:
            term = _TERM.fullmatch(word)
            if term is None or "%" in word:
                raise Unsupported(word)
            sign, kind, separator, value, four, six = term.groups()
            if separator == "=":
                onward = value if kind.lower() == "redirect" else onward
            elif self._matches(kind.lower(), value or domain, word, four, six):
                return RESULTS[sign or "+"]
        return self._count(onward) if onward else "neutral"

    def _count(self, domain: str) -> str:
        self._spend()
        return self.ask(domain)

    def _spend(self) -> None:
        self.asked += 1
        if self.asked > MOST_QUESTIONS:
            raise Unusable("more than ten questions")

    def _matches(self, kind: str, value: str, word: str, four: str | None, six: str | None) -> bool:
        match kind:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._is_in(word.partition(":")[2])
            case "include":
                return self._count(value) == "pass"
            case "a":
                self._spend()
                return self._is_near([value], four, six)
            case "mx":
                self._spend()
                return self._is_near(self.names.exchangers(value), four, six)
            case _:
                raise Unsupported(word)

    def _is_in(self, network: str) -> bool:
        try:
            known = ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise Unusable(network) from error
        return self.address.version == known.version and self.address in known

    def _is_near(self, hosts: list[str], four: str | None, six: str | None) -> bool:
        length = {4: four or "32", 6: six or "128"}[self.address.version]
        found = [address for host in hosts for address in self.names.addresses(host)]
        return any(
            self._is_in(f"{address}/{length}")
            for address in found
            if (":" in address) == (self.address.version == 6)  # noqa: PLR2004 - IPv6
        )
