"""Compiles an edition to MIME templates, and renders them for one recipient."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.utils import format_datetime
from typing import NamedTuple

from newsletter.campaigns.content import compose
from newsletter.campaigns.models import Edition
from newsletter.config import Settings, current_settings
from newsletter.mail.dkim import dkim_signer
from newsletter.mail.message import NO_ANSWERS, feedback_sender, sender_address, sender_domain
from newsletter.mail.return_path import return_paths
from newsletter.sending.message.mime_template import CompiledMessage, compile_message, placeholder
from newsletter.subscribers import links as person_links
from newsletter.subscribers.links import build_path
from newsletter.tracking.links import HIT_TOKEN, click_path, honeypot_path, pixel_path, store_links
from newsletter.web.signed_tokens import SignedLink

#: Edition, subscriber. The Message-ID is the same at every attempt of a delivery.
MESSAGE_ID = SignedLink("message", "II")
_HREF = re.compile(r'href="([^"]*)"')
#: Stands in a URL while it is built; a placeholder would be percent-encoded.
_LINK_PLACE = "place-of-the-token"


@dataclass(frozen=True, slots=True)
class CompiledEdition:
    """An edition compiled twice: with the pixel and tracked links, and without."""

    measured: CompiledMessage
    plain: CompiledMessage

    def dump(self) -> bytes:
        """Return the stored form."""
        measured = self.measured.dump()
        return len(measured).to_bytes(8) + measured + self.plain.dump()

    @classmethod
    def load(cls, stored: bytes) -> "CompiledEdition":
        """Read what ``dump`` wrote."""
        end = 8 + int.from_bytes(stored[:8])
        return cls(CompiledMessage.load(stored[8:end]), CompiledMessage.load(stored[end:]))


def compile_edition(edition: Edition) -> None:
    """Compile an edition and store it with its links, in the caller's transaction."""
    parts = compose.compose(edition)
    store_links(edition.id, parts.links)
    edition.compiled = compile_variants(edition, parts).dump()


def compile_variants(edition: Edition, parts: compose.Parts) -> CompiledEdition:
    """Compile both variants of an edition; stores nothing."""
    return CompiledEdition(
        measured=_compile(edition, parts, measured=True),
        plain=_compile(edition, parts, measured=False),
    )


class ListName(NamedTuple):
    """What a mail on behalf of a list says of it."""

    slug: str
    name: str


class Personalizer:
    """Renders the messages of one edition: holds its templates, signers and shared values."""

    def __init__(self, edition: Edition, lists: Mapping[int, ListName]) -> None:
        chosen = current_settings()
        self._compiled = CompiledEdition.load(edition.compiled or b"")
        # Not the edition itself: reading its attributes in another thread would open a transaction.
        self._edition_id, self._campaign_id = edition.id, edition.campaign_id
        self._lists = {
            number: (item.slug.encode("ascii"), _phrase(item.name)) for number, item in lists.items()
        }
        self._signers = {
            link: link.signer()
            for link in (HIT_TOKEN, MESSAGE_ID, person_links.UNSUBSCRIBE, person_links.PREFERENCES)
        }
        self._everybody = HIT_TOKEN.make(edition.id, 0).encode("ascii")
        #: The second of the last copy, and how a header writes it.
        self._second, self._date = -1, b""
        self._unsubscribe_token = return_paths().unsubscribe_token if _unsubscribe_mailto() else None
        self._domain = sender_domain(chosen)
        self._mode = chosen.tracking
        self._signer = dkim_signer(chosen)

    def render(
        self, subscriber_id: int, address: str, list_id: int, *, is_measured: bool, now: datetime
    ) -> bytes:
        """Return one person's copy, ready for the wire at this moment."""
        copy = self.render_unsigned(subscriber_id, address, list_id, is_measured=is_measured, now=now)
        return self._signer.sign(copy, now=now) if self._signer else copy

    def render_unsigned(
        self, subscriber_id: int, address: str, list_id: int, *, is_measured: bool, now: datetime
    ) -> bytes:
        """Do as ``render``, without a signature."""
        edition_id, campaign_id = self._edition_id, self._campaign_id
        counted = is_measured or self._mode == "aggregate"
        hit = self._token(HIT_TOKEN, edition_id, subscriber_id) if is_measured else self._everybody
        slug, name = self._lists[list_id]
        values = {
            "to": address.encode("ascii"),
            "date": self._dated(now),
            "message_id": self._token(MESSAGE_ID, edition_id, subscriber_id),
            "list": slug,
            "list_name": name,
            "unsubscribe": self._token(person_links.UNSUBSCRIBE, subscriber_id, list_id, campaign_id),
            "preferences": self._token(person_links.PREFERENCES, subscriber_id),
            "leave": self._unsubscribe_token(campaign_id, subscriber_id) if self._unsubscribe_token else b"",
            "hit": hit,
        }
        return (self._compiled.measured if counted else self._compiled.plain).render(values)

    def _dated(self, now: datetime) -> bytes:
        second = int(now.timestamp())
        if second != self._second:
            self._second, self._date = second, format_datetime(now).encode("ascii")
        return self._date

    def _token(self, link: SignedLink, *values: int) -> bytes:
        return link.encode(self._signers[link], *values)


def _compile(edition: Edition, parts: compose.Parts, *, measured: bool) -> CompiledMessage:
    chosen = current_settings()
    text, html = _with_subscriber_links(edition, parts.text), _with_subscriber_links(edition, parts.html)
    if measured:
        html = _with_honeypot_link(html, chosen.base_url + honeypot_path(placeholder("hit")))
        html = html.replace(compose.PIXEL_PLACEHOLDER, chosen.base_url + pixel_path(placeholder("hit")))
        html = _with_tracked_links(html, parts.links)
    else:
        html = _without_pixel(html)
    return compile_message(_headers(edition, chosen), text, html)


def _headers(edition: Edition, chosen: Settings) -> list[tuple[str, str]]:
    local, _at, domain = sender_address(chosen).rpartition("@")
    unsubscribe = _subscriber_url("subscribers.unsubscribe_page", "unsubscribe", edition.language)
    return [
        ("From", str(Address(chosen.sender_name, local, domain))),
        ("To", placeholder("to")),
        ("Subject", edition.subject),
        ("Date", placeholder("date")),
        ("Message-ID", f"<{placeholder('message_id')}@{sender_domain(chosen)}>"),
        ("Content-Language", edition.language),
        ("X-Auto-Response-Suppress", NO_ANSWERS),
        ("List-Id", f"{placeholder('list_name')} <{placeholder('list')}.{sender_domain(chosen)}>"),
        ("List-Unsubscribe", ", ".join((f"<{unsubscribe}>", *_unsubscribe_mailto()))),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),  # RFC 8058
        ("List-Help", f"<{chosen.base_url}/privacy?lang={edition.language}>"),
        ("List-Post", "NO"),
        ("Feedback-ID", f"{edition.campaign_id}:{placeholder('list')}:campaign:{feedback_sender(chosen)}"),
        *_relay_headers(chosen),
    ]


def _phrase(name: str) -> bytes:
    """Return a name as it may stand before an address in brackets (RFC 2919, 2), on one line."""
    name = " ".join(name.split())
    if name.isascii() and "=?" not in name:
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{quoted}"'.encode("ascii")
    return Header(name, "utf-8", maxlinelen=75).encode().replace("\n", "").encode("ascii")


def _unsubscribe_mailto() -> list[str]:
    """Return the mailto of List-Unsubscribe, where BOUNCE_ADDRESS is a mailbox that is read."""
    address = return_paths().unsubscribe_address(placeholder("leave"))
    return [f"<mailto:{address}?subject=unsubscribe>"] if address else []


def _relay_headers(chosen: Settings) -> list[tuple[str, str]]:
    """Postmark reports under an id of its own and returns this metadata header with it."""
    return [("X-PM-Metadata-message", placeholder("message_id"))] if chosen.hook_postmark_login else []


def _subscriber_url(endpoint: str, name: str, language: str) -> str:
    return current_settings().base_url + build_path(endpoint, token=_LINK_PLACE, lang=language).replace(
        _LINK_PLACE, placeholder(name)
    )


def _with_subscriber_links(edition: Edition, part: str) -> str:
    for mark, endpoint, name in (
        (compose.UNSUBSCRIBE_PLACEHOLDER, "subscribers.unsubscribe_page", "unsubscribe"),
        (compose.PREFERENCES_PLACEHOLDER, "subscribers.preferences", "preferences"),
    ):
        part = part.replace(mark, _subscriber_url(endpoint, name, edition.language))
    return part


def _with_tracked_links(html: str, links: tuple[str, ...]) -> str:
    numbers = {_escape_attribute(address): number for number, address in enumerate(links, start=1)}

    def tracked(found: re.Match[str]) -> str:
        number = numbers.get(found[1])
        return (
            f'href="{current_settings().base_url}{click_path(placeholder("hit"), number)}"'
            if number
            else found[0]
        )

    return _HREF.sub(tracked, html)


def _without_pixel(html: str) -> str:
    before, mark, after = html.partition(compose.PIXEL_PLACEHOLDER)
    return before[: before.rindex("<img")] + after[after.index(">") + 1 :] if mark else html


def _with_honeypot_link(html: str, address: str) -> str:
    """Put a hidden link before the pixel: only link scanners follow it (TR-7)."""
    before, mark, after = html.partition(compose.PIXEL_PLACEHOLDER)
    place = before.rindex("<img") if mark else len(before)
    hidden = "display:none;max-height:0;overflow:hidden;mso-hide:all"
    link = f'<a href="{address}" style="{hidden}" aria-hidden="true" tabindex="-1"></a>'
    return before[:place] + link + before[place:] + mark + after


def _escape_attribute(address: str) -> str:
    return address.replace("&", "&amp;").replace('"', "&quot;")
