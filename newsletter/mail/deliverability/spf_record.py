"""What is wrong with an SPF record and all that it includes, whoever's address is asked about.

Those who send through a relay have no address of their own to ask about, and receivers still refuse a
record that they cannot follow.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from newsletter.mail.deliverability.dns import DnsResolver
from newsletter.mail.deliverability.spf import MAX_DNS_LOOKUPS, spf_records

#: So many names that are not there are forgiven (RFC 7208, 4.6.4).
MAX_VOID_LOOKUPS = 2
_MECHANISM = re.compile(
    r"([+?~-]?)([a-z][a-z0-9_.-]*)(?::([^/]+))?((?:/\d{1,3}){0,1}(?://\d{1,3})?)", re.IGNORECASE
)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)", re.IGNORECASE)
_LOOKED_UP = {"include", "a", "mx", "ptr", "exists"}
_OTHERS = {"all", "ip4", "ip6"}


@dataclass(frozen=True, slots=True)
class SpfProblem:
    """One thing that is wrong. ``word`` is the key of its message, ``values`` fill it in."""

    word: str
    values: dict[str, str]
    #: False where receivers still get to an answer.
    is_fatal: bool = True


def find_problems(domain: str, names: DnsResolver) -> list[SpfProblem]:
    """Follow a domain's record to its ends, the worst first. Raises DnsUnavailable."""
    walk = _Walk(domain, names)
    found = list(walk.follow(domain))
    if walk.lookups > MAX_DNS_LOOKUPS:
        found.append(walk.broken("more than ten questions"))
    if walk.void:
        values = {"domain": domain, "names": ", ".join(walk.void)}
        if len(walk.void) >= MAX_VOID_LOOKUPS:
            found.append(SpfProblem("spf_void", values, is_fatal=len(walk.void) > MAX_VOID_LOOKUPS))
    return sorted(found, key=lambda problem: not problem.is_fatal)


@dataclass(slots=True)
class _Walk:
    domain: str
    names: DnsResolver
    lookups: int = 0
    void: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def broken(self, reason: str) -> SpfProblem:
        return SpfProblem("spf_broken", {"domain": self.domain, "reason": reason})

    def follow(self, domain: str) -> Iterator[SpfProblem]:
        """Yield what is wrong with one record, and with those it leads to."""
        if domain in self.seen or self.lookups > MAX_DNS_LOOKUPS:
            if domain in self.seen:
                yield self.broken(f"{domain} leads back to itself")
            return
        self.seen.add(domain)
        found = spf_records(domain, self.names)
        if len(found) != 1:
            yield self.broken(domain)
            return
        for term in found[0].split()[1:]:
            yield from self._term(term, domain)
        self.seen.discard(domain)

    def _term(self, term: str, domain: str) -> Iterator[SpfProblem]:
        modifier = _MODIFIER.fullmatch(term)
        if modifier:
            if modifier[1].lower() == "redirect" and "%" not in modifier[2]:
                self.lookups += 1
                yield from self.follow(modifier[2].lower())
            return
        found = _MECHANISM.fullmatch(term)
        kind = found[2].lower() if found else ""
        if found is None or kind not in _LOOKED_UP | _OTHERS:
            yield SpfProblem("spf_term", {"domain": domain, "term": term})
        elif kind == "all":
            if found[1] in {"", "+"}:
                word = "spf_open" if domain == self.domain else "spf_include_open"
                yield SpfProblem(word, {"domain": self.domain, "include": domain})
        elif kind in _OTHERS:
            if not _is_network(term.partition(":")[2]):
                yield SpfProblem("spf_term", {"domain": domain, "term": term})
        else:
            self.lookups += 1
            yield from self._look_up(kind, (found[3] or domain).lower())

    def _look_up(self, kind: str, name: str) -> Iterator[SpfProblem]:
        if "%" in name or self.lookups > MAX_DNS_LOOKUPS:
            return  # nobody knows what a receiver would ask for
        if kind == "include":
            yield from self.follow(name)
        elif (kind in {"a", "exists"} and not self.names.addresses(name)) or (
            kind == "mx" and not self.names.mx_hosts(name)
        ):
            self.void.append(name)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
