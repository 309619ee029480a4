"""The letters of the desk, in the person's language: the same words by mail and on paper."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from newsletter.config import settings
from newsletter.db import insert_or_ignore
from newsletter.mail import outbox
from newsletter.mail.models import OutboxMail
from newsletter.privacy.export import labels
from newsletter.privacy.models import JobSlot, RequestKind, RightsRequest
from newsletter.privacy.requests.register import KINDS, REASONS, SCOPES
from newsletter.subscribers.suppressions import is_left_behind
from newsletter.web.i18n import format_date, speaking, translate

TEMPLATE = "rights_reply"


@dataclass(slots=True)
class Letter:
    """A letter in words, ready for either way."""

    subject: str
    paragraphs: list[str]
    #: Headings with their records, for a copy of one's data.
    sections: list[dict[str, Any]] = field(default_factory=list)

    def as_text(self) -> str:
        """Return what the register keeps."""
        lines = [self.subject, *self.paragraphs]
        for section in self.sections:
            lines.append(section["heading"])
            lines += [
                "\n".join(f"{name}: {value}" for name, value in record) for record in section["records"]
            ] or [_("Nothing held.")]
        return "\n\n".join(lines)


def carried_out(
    request: RightsRequest,
    data: dict[str, Any] | None = None,
    changes: Sequence[str] = (),
    told: Sequence[str] = (),
) -> Letter:
    """Return the letter that says what was done, what was put right, and who else is told."""
    done = {
        RequestKind.ACCESS: _("Below is everything we hold on you."),
        RequestKind.PORTABILITY: _("Below is your data. We also give it as files (JSON and CSV) if you ask."),
        RequestKind.RECTIFICATION: _("We have put your data right:"),
        RequestKind.ERASURE: _(
            "We have erased your data. What stays, without your address, until the end of year"
            " %(years)s from now: proof of what you agreed to and when, a block of your address if there"
            " is one, and this line in our register.",
            years=settings().keep_proof_years,
        ),
        RequestKind.RESTRICTION: _(
            "The use of your data is restricted: we send you nothing, measure nothing, and delete nothing."
            " We tell you before we lift the restriction."
        ),
        RequestKind.OBJECTION: _("Your objection is in force: %(scopes)s", scopes=_scopes(request)),
    }
    sections = [
        {"heading": section.heading, "records": section.records}
        for section in (labels.sections(data) if data else [])
    ]
    about = []
    if data:
        about = [
            _("Source of the data: you yourself, unless the data below names another source."),
            _use(),
            _("Recipients: nobody but those listed below."),
            _("How long each kind is kept stands in our privacy notice."),
        ]
    if told:
        about.append(_("We tell those who received your data: %(names)s", names=", ".join(told)))
    return Letter(_subject(request), [done[request.kind], *changes, *about, *_ends()], sections)


def nothing_held(request: RightsRequest) -> Letter:
    """Return the letter for someone of whom we know nothing."""
    return Letter(_subject(request), [_("We hold no data with your address."), *_ends()])


def refused(request: RightsRequest) -> Letter:
    """Return the certificate of a refusal (RD-6)."""
    reason = translate(REASONS[request.reason_code or "law"])
    return Letter(
        _("Certificate of refusal, request %(number)s", number=request.id),
        [
            _("You asked for: %(kind)s", kind=translate(KINDS[request.kind])),
            _("We received the request on: %(date)s", date=format_date(request.received_at)),
            _("We refuse it. Reason: %(reason)s", reason=reason),
            request.reason_text or "",
            _(
                "You can bring the matter to the Data Protection Ombudsman (tietosuoja.fi, P.O. Box 800,"
                " 00531 Helsinki), and you can seek a remedy in court."
            ),
            *_ends(),
        ],
    )


def extended(request: RightsRequest) -> Letter:
    """Return the letter that asks for more time."""
    return Letter(
        _subject(request),
        [
            _(
                "We need more time for your request, and answer by: %(date)s",
                date=format_date(request.due_on),
            ),
            _("Reason: %(reason)s", reason=request.extension_reason),
            *_ends(),
        ],
    )


def lifting(request: RightsRequest) -> Letter:
    """Return the letter that comes before a restriction ends."""
    return Letter(
        _subject(request),
        [_("We now lift the restriction on the use of your data. You can ask for another."), *_ends()],
    )


def send(request: RightsRequest, letter: Letter, *, now: datetime, by: str) -> None:
    """Put a letter in the outbox, unless it is to be printed, and keep its words.

    To an address that the person has left, as a restored copy may have it, it never goes by mail. It names
    no subscriber, so that an erasure does not blank the answer to itself.
    """
    request.reply = letter.as_text()
    if by == "mail" and request.address and not is_left_behind(request.address.casefold()):
        outbox.enqueue(
            TEMPLATE,
            to=request.address,
            language=request.language,
            now=now,
            context={
                "subject": letter.subject,
                "paragraphs": letter.paragraphs,
                "sections": letter.sections,
            },
        )


def listen() -> None:
    """Hear of letters that have gone, to scrub once more: one may have gone to somebody erased."""
    outbox.accepted.connect(_scrub_after)


def _scrub_after(_sender: object, *, mail: OutboxMail, now: datetime) -> None:
    if mail.template == TEMPLATE:
        insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})


def in_language_of(request: RightsRequest) -> Any:  # noqa: ANN401 - a context manager
    """Write inside in the person's language."""
    return speaking(request.language)


def _subject(request: RightsRequest) -> str:
    kind = translate(KINDS[request.kind])
    return str(_("Your request %(number)s: %(kind)s", number=request.id, kind=kind))


def _scopes(request: RightsRequest) -> str:
    return ", ".join(translate(SCOPES[scope]) for scope in request.scopes.split(",") if scope in SCOPES)


def _use() -> str:
    """Say what the data is used for under the mode in force."""
    uses = {
        "consent": _("Use: sending the newsletters you ordered, and measuring them if you allowed it."),
        "notice": _("Use: sending the newsletters you ordered, and measuring them unless you refused."),
        "aggregate": _(
            "Use: sending the newsletters you ordered, and measuring them if you allowed it. Otherwise opens"
            " and clicks are only counted, without anything that points to you."
        ),
        "off": _("Use: sending the newsletters you ordered. Opens and clicks are not tracked."),
    }
    return str(uses[settings().tracking])


def _ends() -> list[str]:
    contact = settings().privacy_contact or settings().sender_address
    return [_("If anything is unclear, write to: %(contact)s", contact=contact)] if contact else []
