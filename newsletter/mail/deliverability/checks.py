"""Deliverability checks: SPF, DKIM, DMARC, PTR, MX, TLS and one-click unsubscribing.

They query name servers and the mail server, so they run in a job and never in a request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from newsletter.config import Settings
from newsletter.config.internet_names import organizational_domain
from newsletter.mail.deliverability import spf
from newsletter.mail.deliverability.dkim_record import find_fault, parse_tags
from newsletter.mail.deliverability.dns import DnsResolver, DnsUnavailable
from newsletter.mail.deliverability.spf_record import find_problems
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
    yield CheckResult("spf", *_judge_spf(case, case.domain))


def _judge_spf(case: _CheckContext, domain: str) -> tuple[Grade, str, dict[str, str]]:
    values = {"domain": domain}
    found = spf.spf_records(domain, case.names)
    if len(found) != 1:
        return Grade.FAILED, "spf_several" if found else "spf_missing", values
    for problem in find_problems(domain, case.names):  # the worst stands first
        return Grade.FAILED if problem.is_fatal else Grade.NOTE, problem.word, problem.values
    for address in case.chosen.mail_addresses:
        try:
            answer = spf.check_host(domain, address, case.names)
        except spf.SpfUnsupported as error:
            return Grade.UNKNOWN, "spf_unsupported", values | {"term": str(error)}
        except spf.SpfPermError as error:
            return Grade.FAILED, "spf_broken", values | {"reason": str(error)}
        if answer != "pass":
            return Grade.FAILED, "spf_elsewhere", values | {"address": address, "result": answer}
    is_asked = bool(case.chosen.mail_addresses)
    return Grade.FINE if is_asked else Grade.NOTE, "spf_fine" if is_asked else "spf_there", values


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
        values = {"name": name, "record": key.record if key else ""}
        word = find_fault(case.names.txt_records(name), key)
        if word:
            yield CheckResult("dkim", Grade.FAILED, word, values)
            return
    yield CheckResult("dkim", Grade.FINE, "dkim_fine", {"domain": domain, "selectors": ", ".join(keys)})


def _check_envelope(case: _CheckContext) -> Iterator[CheckResult]:
    """Look at the domain that mails come back to: it is the one whose SPF receivers ask for."""
    given = case.chosen.bounce_address
    domain = given.rpartition("@")[2].lower() if "@" in given else case.domain
    values = {"domain": domain}
    if domain == case.domain:
        yield CheckResult("envelope", Grade.FINE, "envelope_same", values)
        return
    judged = _judge_spf(case, domain)
    hosts = case.names.mx_hosts(domain)
    if judged[1] not in {"spf_fine", "spf_there"}:
        yield CheckResult("envelope", *judged)
    elif hosts == [""] or not any(map(case.names.addresses, hosts or [domain])):
        yield CheckResult("envelope", Grade.FAILED, "envelope_mx", values)
    else:
        yield CheckResult("envelope", Grade.FINE, "envelope_fine", values)


def _check_ehlo(case: _CheckContext) -> Iterator[CheckResult]:
    """Compare the name that we say with those of the addresses that mail leaves from (RFC 5321, 4.1.4)."""
    name = case.chosen.mail_ehlo_name.lower()
    if not name or not case.chosen.mail_addresses:
        yield CheckResult("ehlo", Grade.NOTE, "ehlo_left", {})
        return
    values = {"name": name, "addresses": ", ".join(case.chosen.mail_addresses)}
    leads_to = set(case.names.addresses(name))
    if not leads_to & set(case.chosen.mail_addresses):
        yield CheckResult("ehlo", Grade.FAILED, "ehlo_elsewhere", values)
    elif not all(name in case.names.ptr_names(address) for address in case.chosen.mail_addresses):
        yield CheckResult("ehlo", Grade.NOTE, "ehlo_differs", values)
    else:
        yield CheckResult("ehlo", Grade.FINE, "ehlo_fine", values)


def _check_advice(case: _CheckContext) -> Iterator[CheckResult]:
    """Name what is not asked for by anybody and makes life easier."""
    base = organizational_domain(case.domain)
    places = {
        domain: case.names.txt_records(f"_dmarc.{domain}") for domain in dict.fromkeys((case.domain, base))
    }
    has_reports = any("rua" in parse_tags(text) for texts in places.values() for text in texts)
    missing = [] if has_reports else ["DMARC rua"]
    for name, place, version in (
        ("MTA-STS", f"_mta-sts.{case.domain}", "v=stsv1"),
        ("TLS-RPT", f"_smtp._tls.{case.domain}", "v=tlsrptv1"),
        ("BIMI", f"default._bimi.{base}", "v=bimi1"),
    ):
        if not any(text.lower().startswith(version) for text in case.names.txt_records(place)):
            missing.append(name)
    if missing:
        yield CheckResult("advice", Grade.NOTE, "advice_missing", {"missing": ", ".join(missing)})
    else:
        yield CheckResult("advice", Grade.FINE, "advice_fine", {"domain": case.domain})


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
    tags = parse_tags(found)
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
    return organizational_domain(signs) == organizational_domain(domain)


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
    "envelope": _check_envelope,
    "dkim": _check_dkim,
    "dmarc": _check_dmarc,
    "ptr": _check_ptr,
    "ehlo": _check_ehlo,
    "mx": _check_mx,
    "tls": _check_tls,
    "one_click": _check_one_click,
    "advice": _check_advice,
}
