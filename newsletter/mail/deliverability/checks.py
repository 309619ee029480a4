"""What the world sees of us, looked at thing by thing: SPF, DKIM, DMARC, PTR, MX, TLS and one-click.

Name servers and the mail server are asked, so nobody who waits for a page calls this: see ``standing``.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from newsletter.config import Settings
from newsletter.mail.deliverability import spf
from newsletter.mail.deliverability.dns import Names, Unanswered
from newsletter.mail.dkim import Key, signer_of
from newsletter.mail.message import sender_domain
from newsletter.mail.models import Grade
from newsletter.mail.smtp.probe import Greeting

_POLICIES = {"none", "quarantine", "reject"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one thing. ``word`` names the sentence, ``values`` what stands in it."""

    code: str
    grade: Grade
    word: str
    values: dict[str, str] = field(default_factory=dict)


def examine(chosen: Settings, names: Names, greeting: Greeting | None) -> list[Verdict]:
    """Look at each thing once; what could not be asked is ``UNKNOWN`` and not ``FAILED``."""
    found = []
    for code, look in EXAMINATIONS.items():
        try:
            found += list(look(_Case(chosen, names, greeting)))
        except Unanswered as silence:
            found.append(Verdict(code, Grade.UNKNOWN, "unanswered", {"name": str(silence)}))
    return found


@dataclass(frozen=True, slots=True)
class _Case:
    chosen: Settings
    names: Names
    greeting: Greeting | None

    @property
    def domain(self) -> str:
        return sender_domain(self.chosen).lower()


def _spf(case: _Case) -> Iterator[Verdict]:
    domain, names = case.domain, case.names
    found = spf.records_of(domain, names)
    if len(found) != 1:
        word = "spf_several" if found else "spf_missing"
        yield Verdict("spf", Grade.FAILED, word, {"domain": domain})
        return
    if re.search(r"\s\+?all\b", found[0], re.IGNORECASE):
        yield Verdict("spf", Grade.FAILED, "spf_open", {"domain": domain})
        return
    for address in case.chosen.mail_addresses:
        try:
            answer = spf.result(domain, address, names)
        except spf.Unsupported as error:
            yield Verdict("spf", Grade.UNKNOWN, "spf_unsupported", {"domain": domain, "term": str(error)})
            return
        except spf.Unusable as error:
            yield Verdict("spf", Grade.FAILED, "spf_broken", {"domain": domain, "reason": str(error)})
            return
        if answer != "pass":
            values = {"domain": domain, "address": address, "result": answer}
            yield Verdict("spf", Grade.FAILED, "spf_elsewhere", values)
            return
    if case.chosen.mail_addresses:
        yield Verdict("spf", Grade.FINE, "spf_fine", {"domain": domain})
    else:
        yield Verdict("spf", Grade.NOTE, "spf_there", {"domain": domain})


def _dkim(case: _Case) -> Iterator[Verdict]:
    chosen, signer = case.chosen, signer_of(case.chosen)
    domain = signer.domain if signer else chosen.dkim_domain or case.domain
    keys: dict[str, Key | None] = dict.fromkeys(chosen.dkim_selector)
    keys |= {key.selector: key for key in signer.keys} if signer else {}
    if not keys:
        yield Verdict("dkim", Grade.NOTE, "dkim_left", {})
        return
    for selector, key in keys.items():
        name = f"{selector}._domainkey.{domain}"
        published = [_tags(text).get("p", "") for text in case.names.texts(name)]
        values = {"name": name, "record": key.record if key else ""}
        if not any(published):
            yield Verdict("dkim", Grade.FAILED, "dkim_missing" if key else "dkim_relay_missing", values)
            return
        if key and _tags(key.record)["p"] not in published:
            yield Verdict("dkim", Grade.FAILED, "dkim_differs", values)
            return
    yield Verdict("dkim", Grade.FINE, "dkim_fine", {"domain": domain, "selectors": ", ".join(keys)})


def _dmarc(case: _Case) -> Iterator[Verdict]:
    domain, place, found = case.domain, "", ""
    labels = domain.split(".")
    # The nearest record above counts, up to but not including the last label.
    for start in range(max(1, len(labels) - 1)):
        place = ".".join(labels[start:])
        texts = [text for text in case.names.texts(f"_dmarc.{place}") if text.startswith("v=DMARC1")]
        if len(texts) == 1:
            found = texts[0]
            break
    tags = _tags(found)
    if not found:
        yield Verdict("dmarc", Grade.FAILED, "dmarc_missing", {"name": f"_dmarc.{domain}"})
    elif tags.get("p", "").lower() not in _POLICIES:
        yield Verdict("dmarc", Grade.FAILED, "dmarc_unusable", {"name": f"_dmarc.{place}"})
    elif not is_aligned(case.chosen.dkim_domain or domain, domain, is_strict=tags.get("adkim") == "s"):
        values = {"signs": case.chosen.dkim_domain, "domain": domain}
        yield Verdict("dmarc", Grade.FAILED, "dmarc_unaligned", values)
    else:
        yield Verdict("dmarc", Grade.FINE, "dmarc_fine", {"domain": domain, "policy": tags["p"].lower()})


def is_aligned(signs: str, domain: str, *, is_strict: bool) -> bool:
    """Tell whether a signature of one domain speaks for the From of another (RFC 7489, 3.1)."""
    if is_strict or signs == domain:
        return signs == domain
    # Relaxed: one of them stands above the other. Not the last label, which is everybody's.
    return "." in signs and (domain.endswith(f".{signs}") or ("." in domain and signs.endswith(f".{domain}")))


def _ptr(case: _Case) -> Iterator[Verdict]:
    if not case.chosen.mail_addresses:
        yield Verdict("ptr", Grade.NOTE, "ptr_left", {})
        return
    for address in case.chosen.mail_addresses:
        called = case.names.names_of(address)
        if not called:
            yield Verdict("ptr", Grade.FAILED, "ptr_missing", {"address": address})
            return
        if not any(address in case.names.addresses(name) for name in called):
            yield Verdict("ptr", Grade.FAILED, "ptr_differs", {"address": address, "name": called[0]})
            return
    yield Verdict("ptr", Grade.FINE, "ptr_fine", {"addresses": ", ".join(case.chosen.mail_addresses)})


def _mx(case: _Case) -> Iterator[Verdict]:
    hosts = case.names.exchangers(case.domain)
    values = {"domain": case.domain}
    if hosts == [""]:
        yield Verdict("mx", Grade.FAILED, "mx_null", values)
    elif not any(map(case.names.addresses, hosts or [case.domain])):
        yield Verdict("mx", Grade.FAILED, "mx_missing", values)
    else:
        yield Verdict("mx", Grade.FINE, "mx_fine", values)


def _tls(case: _Case) -> Iterator[Verdict]:
    greeting = case.greeting
    if greeting is None:
        yield Verdict("tls", Grade.NOTE, "tls_no_server", {})
    elif greeting.is_about_tls:
        yield Verdict("tls", Grade.FAILED, "tls_broken", {"problem": greeting.problem})
    elif greeting.is_about_login:
        yield Verdict("tls", Grade.FAILED, "tls_no_login", {"problem": greeting.problem})
    elif greeting.problem:
        yield Verdict("tls", Grade.UNKNOWN, "tls_unreachable", {"problem": greeting.problem})
    elif greeting.tls:
        yield Verdict("tls", Grade.FINE, "tls_fine", {"version": greeting.tls})
    elif greeting.is_here:
        yield Verdict("tls", Grade.FINE, "tls_here", {})
    else:
        yield Verdict("tls", Grade.FAILED, "tls_missing", {})


def _one_click(case: _Case) -> Iterator[Verdict]:
    parts = urlsplit(case.chosen.base_url)
    host = parts.hostname or ""
    values = {"address": case.chosen.base_url, "host": host}
    if parts.scheme != "https":
        yield Verdict("one_click", Grade.FAILED, "one_click_http", values)
    elif not case.names.addresses(host):
        yield Verdict("one_click", Grade.FAILED, "one_click_nowhere", values)
    else:
        yield Verdict("one_click", Grade.FINE, "one_click_fine", values)


#: In the order in which they are shown.
EXAMINATIONS: dict[str, Callable[[_Case], Iterator[Verdict]]] = {
    "spf": _spf,
    "dkim": _dkim,
    "dmarc": _dmarc,
    "ptr": _ptr,
    "mx": _mx,
    "tls": _tls,
    "one_click": _one_click,
}


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, _equals, value in pairs if name.strip()}
