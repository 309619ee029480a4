"""An edition made ready: both parts, the headers, and what fills the holes for one person."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.utils import format_datetime
from typing import NamedTuple

from newsletter.campaigns import compose
from newsletter.campaigns.models import Edition
from newsletter.config import Settings, settings
from newsletter.mail.dkim import signer_of
from newsletter.mail.message import NO_ANSWERS, feedback_sender, sender_address, sender_domain
from newsletter.mail.return_path import return_paths
from newsletter.sending.message.mime_template import CompiledMessage, compile_message, hole
from newsletter.subscribers import links as person_links
from newsletter.subscribers.links import path_of
from newsletter.tracking.links import HIT, click_path, pixel_path, store_links, trap_path
from newsletter.web.signed_tokens import SignedLink

#: Edition, subscriber. Makes a Message-ID that is the same whenever this copy is tried again.
MESSAGE = SignedLink("message", "II")
_HREF = re.compile(r'href="([^"]*)"')
#: Stands in an address while it is built; a hole's own mark would be percent-encoded.
_PLACE = "place-of-the-token"


@dataclass(frozen=True, slots=True)
class Copies:
    """An edition compiled twice: with the picture and tracked links, and without."""

    measured: CompiledMessage
    plain: CompiledMessage

    def dump(self) -> bytes:
        """Return the stored form."""
        measured = self.measured.dump()
        return len(measured).to_bytes(8) + measured + self.plain.dump()

    @classmethod
    def load(cls, stored: bytes) -> "Copies":
        """Read what ``dump`` wrote."""
        end = 8 + int.from_bytes(stored[:8])
        return cls(CompiledMessage.load(stored[8:end]), CompiledMessage.load(stored[end:]))


def compile_edition(edition: Edition) -> None:
    """Compile an edition for good, and store its links."""
    parts = compose.compose(edition)
    store_links(edition.id, parts.links)
    edition.compiled = make_copies(edition, parts).dump()


def make_copies(edition: Edition, parts: compose.Parts) -> Copies:
    """Compile both copies of an edition, and store nothing."""
    return Copies(
        measured=_compile(edition, parts, measured=True),
        plain=_compile(edition, parts, measured=False),
    )


class ListName(NamedTuple):
    """What a mail on behalf of a list says of it."""

    slug: str
    name: str


class Filler:
    """Fills the copies of one edition: holds the signers, and what is the same for everybody."""

    def __init__(self, edition: Edition, lists: Mapping[int, ListName]) -> None:
        chosen = settings()
        self._copies = Copies.load(edition.compiled or b"")
        # Not the edition itself: a look at it in another thread would open a transaction here.
        self._edition_id, self._campaign_id = edition.id, edition.campaign_id
        self._lists = {
            number: (item.slug.encode("ascii"), _phrase(item.name)) for number, item in lists.items()
        }
        self._signers = {
            link: link.signer() for link in (HIT, MESSAGE, person_links.UNSUBSCRIBE, person_links.PREFERENCES)
        }
        self._everybody = HIT.make(edition.id, 0).encode("ascii")
        #: The second of the last copy, and how a header writes it.
        self._second, self._date = -1, b""
        self._leave_token = return_paths().leave_token if _leaving_by_mail() else None
        self._domain = sender_domain(chosen)
        self._mode = chosen.tracking
        self._signer = signer_of(chosen)

    def fill(
        self, subscriber_id: int, address: str, list_id: int, *, is_measured: bool, now: datetime
    ) -> bytes:
        """Return one person's copy, ready for the wire at this moment."""
        copy = self.write(subscriber_id, address, list_id, is_measured=is_measured, now=now)
        return self._signer.sign(copy, now=now) if self._signer else copy

    def write(
        self, subscriber_id: int, address: str, list_id: int, *, is_measured: bool, now: datetime
    ) -> bytes:
        """Do as ``fill``, without a signature."""
        edition_id, campaign_id = self._edition_id, self._campaign_id
        counted = is_measured or self._mode == "aggregate"
        hit = self._token(HIT, edition_id, subscriber_id) if is_measured else self._everybody
        slug, name = self._lists[list_id]
        values = {
            "to": address.encode("ascii"),
            "date": self._dated(now),
            "message_id": self._token(MESSAGE, edition_id, subscriber_id),
            "list": slug,
            "list_name": name,
            "unsubscribe": self._token(person_links.UNSUBSCRIBE, subscriber_id, list_id, campaign_id),
            "preferences": self._token(person_links.PREFERENCES, subscriber_id),
            "leave": self._leave_token(campaign_id, subscriber_id) if self._leave_token else b"",
            "hit": hit,
        }
        return (self._copies.measured if counted else self._copies.plain).fill(values)

    def _dated(self, now: datetime) -> bytes:
        second = int(now.timestamp())
        if second != self._second:
            self._second, self._date = second, format_datetime(now).encode("ascii")
        return self._date

    def _token(self, link: SignedLink, *values: int) -> bytes:
        return link.encode(self._signers[link], *values)


def _compile(edition: Edition, parts: compose.Parts, *, measured: bool) -> CompiledMessage:
    chosen = settings()
    text, html = _with_person_links(edition, parts.text), _with_person_links(edition, parts.html)
    if measured:
        html = _with_trap(html, chosen.base_url + trap_path(hole("hit")))
        html = html.replace(compose.PIXEL_MARK, chosen.base_url + pixel_path(hole("hit")))
        html = _with_tracked_links(html, parts.links)
    else:
        html = _without_pixel(html)
    return compile_message(_headers(edition, chosen), text, html)


def _headers(edition: Edition, chosen: Settings) -> list[tuple[str, str]]:
    local, _at, domain = sender_address(chosen).rpartition("@")
    unsubscribe = _person_address("subscribers.unsubscribe_page", "unsubscribe", edition.language)
    return [
        ("From", str(Address(chosen.sender_name, local, domain))),
        ("To", hole("to")),
        ("Subject", edition.subject),
        ("Date", hole("date")),
        ("Message-ID", f"<{hole('message_id')}@{sender_domain(chosen)}>"),
        ("Content-Language", edition.language),
        ("X-Auto-Response-Suppress", NO_ANSWERS),
        ("List-Id", f"{hole('list_name')} <{hole('list')}.{sender_domain(chosen)}>"),
        ("List-Unsubscribe", ", ".join((f"<{unsubscribe}>", *_leaving_by_mail()))),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),  # RFC 8058
        ("List-Help", f"<{chosen.base_url}/privacy?lang={edition.language}>"),
        ("List-Post", "NO"),
        ("Feedback-ID", f"{edition.campaign_id}:{hole('list')}:campaign:{feedback_sender(chosen)}"),
        *_for_relay(chosen),
    ]


def _phrase(name: str) -> bytes:
    """Return a name as it may stand before an address in brackets (RFC 2919, 2), on one line."""
    name = " ".join(name.split())
    if name.isascii() and "=?" not in name:
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{quoted}"'.encode("ascii")
    return Header(name, "utf-8", maxlinelen=75).encode().replace("\n", "").encode("ascii")


def _leaving_by_mail() -> list[str]:
    """Offer leaving by mail where the operator has said which mailbox is read for it."""
    address = return_paths().leave_address(hole("leave"))
    return [f"<mailto:{address}?subject=unsubscribe>"] if address else []


def _for_relay(chosen: Settings) -> list[tuple[str, str]]:
    """Postmark reports under a number of its own: it hands back what such a header says."""
    return [("X-PM-Metadata-message", hole("message_id"))] if chosen.hook_postmark_login else []


def _person_address(endpoint: str, name: str, language: str) -> str:
    return settings().base_url + path_of(endpoint, token=_PLACE, lang=language).replace(_PLACE, hole(name))


def _with_person_links(edition: Edition, part: str) -> str:
    for mark, endpoint, name in (
        (compose.UNSUBSCRIBE_MARK, "subscribers.unsubscribe_page", "unsubscribe"),
        (compose.PREFERENCES_MARK, "subscribers.preferences", "preferences"),
    ):
        part = part.replace(mark, _person_address(endpoint, name, edition.language))
    return part


def _with_tracked_links(html: str, links: tuple[str, ...]) -> str:
    numbers = {_escaped(address): number for number, address in enumerate(links, start=1)}

    def tracked(found: re.Match[str]) -> str:
        number = numbers.get(found[1])
        return f'href="{settings().base_url}{click_path(hole("hit"), number)}"' if number else found[0]

    return _HREF.sub(tracked, html)


def _without_pixel(html: str) -> str:
    before, mark, after = html.partition(compose.PIXEL_MARK)
    return before[: before.rindex("<img")] + after[after.index(">") + 1 :] if mark else html


def _with_trap(html: str, address: str) -> str:
    """Put a link that no person sees before the picture: whoever follows it is a link scanner."""
    before, mark, after = html.partition(compose.PIXEL_MARK)
    place = before.rindex("<img") if mark else len(before)
    hidden = "display:none;max-height:0;overflow:hidden;mso-hide:all"
    link = f'<a href="{address}" style="{hidden}" aria-hidden="true" tabindex="-1"></a>'
    return before[:place] + link + before[place:] + mark + after


def _escaped(address: str) -> str:
    return address.replace("&", "&amp;").replace('"', "&quot;")
