"""A linter for the messages that we write: RFC 5322, MIME, bulk headers, DKIM and HTML (MF-1 … MF-8).

It reads the finished bytes and shares no code with what writes them. Mail programs forgive much, filters
and servers less: a message with violations may still arrive.
"""

import email
import email.policy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from email.headerregistry import Address
from email.message import EmailMessage
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser

from newsletter.config import Settings
from newsletter.mail.branding import LIGHT, MIN_CONTRAST, brand, contrast
from newsletter.mail.dkim import SIGNED_HEADERS

MAX_LINE_OCTETS = 998
#: Gmail cuts a mail off a little above this.
MAX_HTML_BYTES = 100_000
MIN_FEEDBACK_SENDER, MAX_FEEDBACK_SENDER = 5, 15
_SINGLE_HEADERS = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type")
_BULK_HEADERS = (
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Help",
    "List-Post",
    "Feedback-ID",
)
#: A header that stands here is one that we write; any other was put there by a value.
_KNOWN_HEADERS = {
    *_SINGLE_HEADERS,
    *_BULK_HEADERS,
    "DKIM-Signature",
    "Auto-Submitted",
    "Content-Language",
    "X-Auto-Response-Suppress",
}
_HEADER = re.compile(rb"([!-9;-~]+):(?=[ \t]|\r\n)")
_ENCODED = re.compile(r"=\?utf-8\?([qQbB])\?([!->@-~]*)\?=", re.IGNORECASE)
_LIST_ID = re.compile(r"(?:[^<>]+ )?<[a-z0-9-]+(\.[a-z0-9-]+)+>", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<>\"]+")


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a message violates, and how."""

    rule: str
    what: str


def find_violations(
    message: bytes, chosen: Settings, *, is_bulk: bool, is_measured: bool = False
) -> list[Violation]:
    """Return the violations of a message that we wrote.

    ``is_bulk``: it is a newsletter. ``is_measured``: its HTML part leads over tracked links, so the
    links of the two parts differ.
    """
    found = list(_check_bytes(message))
    if found:  # the rest could not be read with any certainty
        return found
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)  # noqa: S101 - this policy makes no other
    found += [*_check_headers(parsed, chosen), *_check_encoded_words(message), *_check_personal_data(parsed)]
    found += _check_signature(parsed)
    if is_bulk:
        found += _check_bulk_headers(parsed, chosen)
    shape = [part.get_content_type() for part in parsed.iter_parts()]
    if shape != ["text/plain", "text/html"]:
        return [*found, Violation("MF-2", "the parts are not text and then HTML")]
    text, html = (str(part.get_content()) for part in parsed.iter_parts())
    page = LexborHTMLParser(html)
    found += [*_check_parts(parsed), *_check_html(page, html)]
    if is_bulk:
        found += _check_footer(text, page, chosen)
    if not is_measured and _links(text) != {link for link in _hrefs(page) if link.startswith("http")}:
        found.append(Violation("MF-2", "text and HTML have different links"))
    return found


def _check_bytes(message: bytes) -> Iterator[Violation]:
    if message.replace(b"\r\n", b"").translate(None, b"\r\n\0") != message.replace(b"\r\n", b""):
        yield Violation("MF-1", "a line end that is not CRLF, or a NUL")
    if not message.isascii():
        yield Violation("MF-2", "bytes beyond ASCII")
    lines = message.split(b"\r\n")
    if max(map(len, lines)) > MAX_LINE_OCTETS:
        yield Violation("MF-1", f"a line of more than {MAX_LINE_OCTETS} octets")
    head = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    if not all(_HEADER.match(line + b"\r\n") or (line[:1] in b" \t" and line.strip()) for line in head):
        yield Violation("MF-1", "a line in the header that is none")


def _check_headers(parsed: EmailMessage, chosen: Settings) -> Iterator[Violation]:
    counts = Counter(name.lower() for name in parsed)
    for name in _SINGLE_HEADERS:
        if counts[name.lower()] != 1:
            yield Violation("MF-1", f"{counts[name.lower()]} times {name}")
    for name in set(counts) - {name.lower() for name in _KNOWN_HEADERS}:
        yield Violation("MF-3", f"a header that we do not write: {name}")
    for name in ("From", "To"):
        addresses: tuple[Address, ...] = getattr(parsed[name], "addresses", ())
        if len(addresses) != 1 or "@" not in addresses[0].addr_spec:
            yield Violation("MF-1", f"{name} is not one address")
    if getattr(parsed["Date"], "datetime", None) is None:
        yield Violation("MF-1", "Date is no date")
    if not re.fullmatch(r"<[^\s<>@]+@[^\s<>@]+>", str(parsed["Message-ID"])):
        yield Violation("MF-1", "Message-ID has another form")
    if parsed["MIME-Version"] != "1.0":
        yield Violation("MF-2", "MIME-Version is not 1.0")
    if bool(chosen.dkim_key) and not parsed["DKIM-Signature"]:
        yield Violation("MF-6", "not signed, although there is a key")


def _check_encoded_words(message: bytes) -> Iterator[Violation]:
    head = message.partition(b"\r\n\r\n")[0].decode("ascii")
    for word in _ENCODED.finditer(head):
        try:
            ((octets, _charset),) = decode_header(word[0])
            octets.decode("utf-8") if isinstance(octets, bytes) else octets
        except (HeaderParseError, ValueError):
            yield Violation("MF-2", "an encoded word that is cut inside of a character")
    if "?==?" in head:
        yield Violation("MF-2", "two encoded words without a space between them")


def _check_personal_data(parsed: EmailMessage) -> Iterator[Violation]:
    address = parsed["To"].addresses[0].addr_spec.lower() if parsed["To"] else ""
    for name, value in parsed.items():
        if name.lower() != "to" and address in str(value).lower():
            yield Violation("MF-5", f"the recipient's address stands in {name}")
    for part in parsed.iter_parts():
        content = part.get_content() if part.get_content_maintype() == "text" else ""
        if any(address in unquote(link).lower() for link in _ADDRESS.findall(content)):
            yield Violation("MF-5", f"the recipient's address stands in a link of {part.get_content_type()}")


def _check_signature(parsed: EmailMessage) -> Iterator[Violation]:
    counts = Counter(name.lower() for name in parsed)
    for signature in parsed.get_all("DKIM-Signature", []):
        pairs = (part.partition("=") for part in str(signature).split(";"))
        tags = {name.strip(): "".join(value.split()) for name, _equals, value in pairs}
        named = Counter(tags.get("h", "").lower().split(":"))
        if tags.get("c") != "relaxed/relaxed" or "l" in tags:
            yield Violation("MF-6", "signed in another way than relaxed/relaxed over all of it")
        missing = [name for name in SIGNED_HEADERS if named[name.lower()] <= counts[name.lower()]]
        if missing:
            yield Violation("MF-6", f"another one could be added of: {', '.join(missing)}")


def _check_bulk_headers(parsed: EmailMessage, chosen: Settings) -> Iterator[Violation]:
    for name in _BULK_HEADERS:
        if len(parsed.get_all(name, [])) != 1:
            yield Violation("MF-4", f"{len(parsed.get_all(name, []))} times {name}")
    if not _LIST_ID.fullmatch(str(parsed["List-Id"])):
        yield Violation("MF-4", "List-Id has another form than <list.domain>")
    if str(parsed["List-Post"]) != "NO":
        yield Violation("MF-4", "List-Post is not NO")
    if not re.fullmatch(r"<(https?|mailto):[^\s<>]+>", str(parsed["List-Help"])):
        yield Violation("MF-4", "List-Help is no address")
    fields = str(parsed["Feedback-ID"]).split(":")
    is_sender = MIN_FEEDBACK_SENDER <= len(fields[-1]) <= MAX_FEEDBACK_SENDER
    if len(fields) != 4 or not all(fields) or not is_sender or "@" in str(parsed["Feedback-ID"]):  # noqa: PLR2004 - MF-4
        yield Violation("MF-4", "Feedback-ID has another form than campaign:list:stream:sender")
    scheme = "https" if chosen.base_url.startswith("https") else "https?"
    if not re.fullmatch(rf"<{scheme}://[^\s<>,]+>(, *<mailto:[^\s<>,]+>)?", str(parsed["List-Unsubscribe"])):
        yield Violation("MU-4", "List-Unsubscribe is not one https address, with a mailto behind it at most")
    if str(parsed["List-Unsubscribe-Post"]) != "List-Unsubscribe=One-Click":
        yield Violation("MU-4", "List-Unsubscribe-Post does not offer one click")


def _check_parts(parsed: EmailMessage) -> Iterator[Violation]:
    if parsed.get_content_type() != "multipart/alternative":
        yield Violation("MF-2", "not multipart/alternative")
    for part in parsed.iter_parts():
        coding = str(part.get("Content-Transfer-Encoding", "")).lower()
        if part.get_content_charset() != "utf-8" or coding not in {"quoted-printable", "base64"}:
            yield Violation("MF-2", f"{part.get_content_type()} is not UTF-8 in quoted-printable or base64")
    if parsed.defects or any(part.defects for part in parsed.iter_parts()):
        yield Violation("MF-2", "a parser finds it defective")


def _check_footer(text: str, page: LexborHTMLParser, chosen: Settings) -> Iterator[Violation]:
    shown = " ".join((page.body.text(separator=" ") if page.body else "").split())
    for name in ("sender_name", "sender_postal", "sender_business_id", "privacy_contact"):
        value = " ".join(getattr(chosen, name).split())
        if value not in " ".join(text.split()) or value not in shown:
            yield Violation("MF-7", f"the footer does not name NEWSLETTER_{name.upper()}")
    for path in ("/unsubscribe/", "/preferences/", "/privacy"):
        if path not in text or not any(path in link for link in _hrefs(page)):
            yield Violation("MF-7", f"the footer has no link to {path.strip('/')}")


def _check_html(page: LexborHTMLParser, html: str) -> Iterator[Violation]:
    root = page.css_first("html")
    if root is None or not root.attributes.get("lang"):
        yield Violation("MF-8", "the HTML names no language")
    if not any(title.text().strip() for title in page.css("title")):
        yield Violation("MF-8", "the HTML has no title")
    layout = [table for table in page.css("table") if not table.css("th")]
    if any(table.attributes.get("role") != "presentation" for table in layout):
        yield Violation("MF-8", "a table for the layout does not say so")
    if any("alt" not in picture.attributes for picture in page.css("img")):
        yield Violation("MF-8", "a picture has no alternative text")
    if page.css_first('meta[name="viewport"]') is None:
        yield Violation("MF-8", "the HTML does not fit itself to the width of a phone")
    if contrast(brand().link, LIGHT) < MIN_CONTRAST:
        yield Violation("MF-8", "links cannot be told from the ground")
    if len(html.encode()) > MAX_HTML_BYTES:
        yield Violation("MF-8", f"the HTML has more than {MAX_HTML_BYTES // 1000} kB")


def _links(text: str) -> set[str]:
    return {link.rstrip(").,") for link in _ADDRESS.findall(text)}


def _hrefs(page: LexborHTMLParser) -> set[str]:
    return {link.attributes.get("href") or "" for link in page.css("a[href]")}
