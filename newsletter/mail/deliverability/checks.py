"""Deliverability checks: SPF, DKIM, DMARC, PTR, MX, TLS and one-click unsubscribing.

They query name servers and the mail server, so they run in a job and never in a request.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from newsletter.config import Settings
from newsletter.mail.deliverability import spf
from newsletter.mail.deliverability.dns import DnsResolver, DnsUnavailable
from newsletter.mail.dkim import Key, dkim_signer
from newsletter.mail.message import sender_domain
from newsletter.mail.models import Grade
from newsletter.mail.smtp.probe import ProbeResult

_POLICIES = {"none", "quarantine", "reject"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. ``word`` is the key of its message, ``values`` fill it in."""

    code: str
    grade: Grade
    word: str
    values: dict[str, str] = field(default_factory=dict)


def run_checks(chosen: Settings, names: DnsResolver, greeting: ProbeResult | None) -> list[CheckResult]:
    """Run every check; what could not be queried is ``UNKNOWN`` and not ``FAILED``."""
    found = []
    for code, look in CHECKS.items():
        try:
            found += list(look(_CheckContext(chosen, names, greeting)))
        except DnsUnavailable as silence:
            found.append(CheckResult(code, Grade.UNKNOWN, "unanswered", {"name": str(silence)}))
    return found


@dataclass(frozen=True, slots=True)
class _CheckContext:
    chosen: Settings
    names: DnsResolver
    greeting: ProbeResult | None

    @property
    def domain(self) -> str:
        return sender_domain(self.chosen).lower()


def _check_spf(case: _CheckContext) -> Iterator[CheckResult]:
    domain, names = case.domain, case.names
    found = spf.spf_records(domain, names)
    if len(found) != 1:
        word = "spf_several" if found else "spf_missing"
        yield CheckResult("spf", Grade.FAILED, word, {"domain": domain})
        return
    if re.search(r"\s\+?all\b", found[0], re.IGNORECASE):
        yield CheckResult("spf", Grade.FAILED, "spf_open", {"domain": domain})
        return
    for address in case.chosen.mail_addresses:
        try:
            answer = spf.check_host(domain, address, names)
        except spf.SpfUnsupported as error:
            yield CheckResult("spf", Grade.UNKNOWN, "spf_unsupported", {"domain": domain, "term": str(error)})
            return
        except spf.SpfPermError as error:
            yield CheckResult("spf", Grade.FAILED, "spf_broken", {"domain": domain, "reason": str(error)})
            return
        if answer != "pass":
            values = {"domain": domain, "address": address, "result": answer}
            yield CheckResult("spf", Grade.FAILED, "spf_elsewhere", values)
            return
    if case.chosen.mail_addresses:
        yield CheckResult("spf", Grade.FINE, "spf_fine", {"domain": domain})
    else:
        yield CheckResult("spf", Grade.NOTE, "spf_there", {"domain": domain})


def _check_dkim(case: _CheckContext) -> Iterator[CheckResult]:
    chosen, signer = case.chosen, dkim_signer(case.chosen)
    domain = signer.domain if signer else chosen.dkim_domain or case.domain
    keys: dict[str, Key | None] = dict.fromkeys(chosen.dkim_selector)
    keys |= {key.selector: key for key in signer.keys} if signer else {}
    if not keys:
        yield CheckResult("dkim", Grade.NOTE, "dkim_left", {})
        return
    for selector, key in keys.items():
        name = f"{selector}._domainkey.{domain}"
        published = [_parse_tags(text).get("p", "") for text in case.names.txt_records(name)]
        values = {"name": name, "record": key.record if key else ""}
        if not any(published):
            yield CheckResult("dkim", Grade.FAILED, "dkim_missing" if key else "dkim_relay_missing", values)
            return
        if key and _parse_tags(key.record)["p"] not in published:
            yield CheckResult("dkim", Grade.FAILED, "dkim_differs", values)
            return
    yield CheckResult("dkim", Grade.FINE, "dkim_fine", {"domain": domain, "selectors": ", ".join(keys)})


def _check_dmarc(case: _CheckContext) -> Iterator[CheckResult]:
    domain, place, found = case.domain, "", ""
    labels = domain.split(".")
    # The nearest record above counts, up to but not including the last label.
    for start in range(max(1, len(labels) - 1)):
        place = ".".join(labels[start:])
        texts = [text for text in case.names.txt_records(f"_dmarc.{place}") if text.startswith("v=DMARC1")]
        if len(texts) == 1:
            found = texts[0]
            break
    tags = _parse_tags(found)
    if not found:
        yield CheckResult("dmarc", Grade.FAILED, "dmarc_missing", {"name": f"_dmarc.{domain}"})
    elif tags.get("p", "").lower() not in _POLICIES:
        yield CheckResult("dmarc", Grade.FAILED, "dmarc_unusable", {"name": f"_dmarc.{place}"})
    elif not is_aligned(case.chosen.dkim_domain or domain, domain, is_strict=tags.get("adkim") == "s"):
        values = {"signs": case.chosen.dkim_domain, "domain": domain}
        yield CheckResult("dmarc", Grade.FAILED, "dmarc_unaligned", values)
    else:
        yield CheckResult("dmarc", Grade.FINE, "dmarc_fine", {"domain": domain, "policy": tags["p"].lower()})


def is_aligned(signs: str, domain: str, *, is_strict: bool) -> bool:
    """Tell whether a signature of one domain speaks for the From of another (RFC 7489, 3.1)."""
    if is_strict or signs == domain:
        return signs == domain
    # Relaxed: one of them stands above the other. Not the last label, which is everybody's.
    return "." in signs and (domain.endswith(f".{signs}") or ("." in domain and signs.endswith(f".{domain}")))


def _check_ptr(case: _CheckContext) -> Iterator[CheckResult]:
    if not case.chosen.mail_addresses:
        yield CheckResult("ptr", Grade.NOTE, "ptr_left", {})
        return
    for address in case.chosen.mail_addresses:
        called = case.names.ptr_names(address)
        if not called:
            yield CheckResult("ptr", Grade.FAILED, "ptr_missing", {"address": address})
            return
        if not any(address in case.names.addresses(name) for name in called):
            yield CheckResult("ptr", Grade.FAILED, "ptr_differs", {"address": address, "name": called[0]})
            return
    yield CheckResult("ptr", Grade.FINE, "ptr_fine", {"addresses": ", ".join(case.chosen.mail_addresses)})


def _check_mx(case: _CheckContext) -> Iterator[CheckResult]:
    hosts = case.names.mx_hosts(case.domain)
    values = {"domain": case.domain}
    if hosts == [""]:
        yield CheckResult("mx", Grade.FAILED, "mx_null", values)
    elif not any(map(case.names.addresses, hosts or [case.domain])):
        yield CheckResult("mx", Grade.FAILED, "mx_missing", values)
    else:
        yield CheckResult("mx", Grade.FINE, "mx_fine", values)


def _check_tls(case: _CheckContext) -> Iterator[CheckResult]:
    greeting = case.greeting
    if greeting is None:
        yield CheckResult("tls", Grade.NOTE, "tls_no_server", {})
    elif greeting.is_tls_problem:
        yield CheckResult("tls", Grade.FAILED, "tls_broken", {"problem": greeting.problem})
    elif greeting.is_login_problem:
        yield CheckResult("tls", Grade.FAILED, "tls_no_login", {"problem": greeting.problem})
    elif greeting.problem:
        yield CheckResult("tls", Grade.UNKNOWN, "tls_unreachable", {"problem": greeting.problem})
    elif greeting.tls:
        yield CheckResult("tls", Grade.FINE, "tls_fine", {"version": greeting.tls})
    elif greeting.is_loopback_host:
        yield CheckResult("tls", Grade.FINE, "tls_here", {})
    else:
        yield CheckResult("tls", Grade.FAILED, "tls_missing", {})


def _check_one_click(case: _CheckContext) -> Iterator[CheckResult]:
    parts = urlsplit(case.chosen.base_url)
    host = parts.hostname or ""
    values = {"address": case.chosen.base_url, "host": host}
    if parts.scheme != "https":
        yield CheckResult("one_click", Grade.FAILED, "one_click_http", values)
    elif not case.names.addresses(host):
        yield CheckResult("one_click", Grade.FAILED, "one_click_nowhere", values)
    else:
        yield CheckResult("one_click", Grade.FINE, "one_click_fine", values)


#: In the order in which they are shown.
CHECKS: dict[str, Callable[[_CheckContext], Iterator[CheckResult]]] = {
    "spf": _check_spf,
    "dkim": _check_dkim,
    "dmarc": _check_dmarc,
    "ptr": _check_ptr,
    "mx": _check_mx,
    "tls": _check_tls,
    "one_click": _check_one_click,
}


def _parse_tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, _equals, value in pairs if name.strip()}
