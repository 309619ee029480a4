"""Replies to rights requests, in the person's language: the same text by mail and on paper."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from newsletter.config import current_settings
from newsletter.db import insert_or_ignore
from newsletter.mail import outbox
from newsletter.mail.models import OutboxMail
from newsletter.privacy.export import labels
from newsletter.privacy.models import JobSlot, RequestKind, RightsRequest
from newsletter.privacy.requests.register import KIND_LABELS, REFUSAL_REASONS, SCOPE_LABELS
from newsletter.subscribers.suppressions import is_former_address
from newsletter.web.i18n import force_language, format_date, translate

REPLY_TEMPLATE = "rights_reply"


@dataclass(slots=True)
class Reply:
    """The text of a reply, for mail and for print."""

    subject: str
    paragraphs: list[str]
    #: Headings with their records, for a data export.
    sections: list[dict[str, Any]] = field(default_factory=list)

    def as_text(self) -> str:
        """Return the text that the register stores."""
        lines = [self.subject, *self.paragraphs]
        for section in self.sections:
            lines.append(section["heading"])
            lines += [
                "\n".join(f"{name}: {value}" for name, value in record) for record in section["records"]
            ] or [_("Nothing held.")]
        return "\n\n".join(lines)


def compose_fulfilled(
    request: RightsRequest,
    data: dict[str, Any] | None = None,
    changes: Sequence[str] = (),
    told: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> Reply:
    """Return the reply that says what was done, what was rectified, and who else is notified.

    ``kept`` says what an erasure leaves under the hash.
    """
    done = {
        RequestKind.ACCESS: _("Below is everything we hold on you."),
        RequestKind.PORTABILITY: _("Below is your data. We also give it as files (JSON and CSV) if you ask."),
        RequestKind.RECTIFICATION: _("We have put your data right:"),
        RequestKind.ERASURE: _("We have erased your data, your address included."),
        RequestKind.RESTRICTION: _(
            "The use of your data is restricted: we send you nothing, measure nothing, and delete nothing."
            " We tell you before we lift the restriction."
        ),
        RequestKind.OBJECTION: _("Your objection is in force: %(scopes)s", scopes=_scope_labels(request)),
    }
    sections = [
        {"heading": section.heading, "records": section.records}
        for section in (labels.data_sections(data) if data else [])
    ]
    about = []
    if data:
        about = [
            _("Source of the data: you yourself, unless the data below names another source."),
            _use(),
            _recipients(),
            _("How long each kind is kept stands in our privacy notice."),
        ]
    if told:
        about.append(_("We tell those who received your data: %(names)s", names=", ".join(told)))
    if request.kind is RequestKind.ERASURE:
        about += _kept(kept)
    return Reply(
        _subject(request),
        [done[request.kind], *changes, *about, _register_named(), *_closing_paragraphs()],
        sections,
    )


def compose_nobody_here(request: RightsRequest, kept: Sequence[str]) -> Reply:
    """Return the reply to someone who is no subscriber: what is kept all the same, or that nothing is."""
    paragraphs = [_("You are not a subscriber: we hold no data with your address.")]
    if request.kind is RequestKind.OBJECTION:
        paragraphs = [
            _("Your objection is in force: %(scopes)s", scopes=_scope_labels(request)),
            _("You are not a subscriber, and we do not keep your address for it."),
        ]
    return Reply(_subject(request), [*paragraphs, *_kept(kept), _register_named(), *_closing_paragraphs()])


def compose_refusal(request: RightsRequest) -> Reply:
    """Return the certificate of a refusal (RD-6)."""
    reason = translate(REFUSAL_REASONS[request.reason_code or "law"])
    return Reply(
        _("Certificate of refusal, request %(number)s", number=request.id),
        [
            _("You asked for: %(kind)s", kind=translate(KIND_LABELS[request.kind])),
            _("We received the request on: %(date)s", date=format_date(request.received_at)),
            _("We refuse it. Reason: %(reason)s", reason=reason),
            request.reason_text or "",
            _(
                "You can bring the matter to the Data Protection Ombudsman (tietosuoja.fi, P.O. Box 800,"
                " 00531 Helsinki), and you can seek a remedy in court."
            ),
            *_closing_paragraphs(),
        ],
    )


def compose_extension(request: RightsRequest) -> Reply:
    """Return the reply that announces the extension."""
    return Reply(
        _subject(request),
        [
            _(
                "We need more time for your request, and answer by: %(date)s",
                date=format_date(request.due_on),
            ),
            _("Reason: %(reason)s", reason=request.extension_reason),
            *_closing_paragraphs(),
        ],
    )


def compose_restriction_lifted(request: RightsRequest) -> Reply:
    """Return the notice before a restriction is lifted (GDPR art. 18(3))."""
    return Reply(
        _subject(request),
        [
            _("We now lift the restriction on the use of your data. You can ask for another."),
            *_closing_paragraphs(),
        ],
    )


def send_reply(request: RightsRequest, letter: Reply, *, now: datetime, by: str) -> None:
    """Store the text of a reply, and put it in the outbox unless it is to be printed.

    It is never mailed to an outdated address, as a restored database may have it. The outbox row refers to no
    subscriber, so that an erasure does not blank the reply to itself.
    """
    request.reply = letter.as_text()
    if by == "mail" and request.address and not is_former_address(request.address.casefold()):
        outbox.enqueue(
            REPLY_TEMPLATE,
            to=request.address,
            language=request.language,
            now=now,
            context={
                "subject": letter.subject,
                "paragraphs": letter.paragraphs,
                "sections": letter.sections,
            },
        )


def connect_signals() -> None:
    """Scrub again after a reply was sent: it may have gone to an erased person."""
    outbox.mail_accepted.connect(_request_scrub)


def _request_scrub(_sender: object, *, mail: OutboxMail, now: datetime) -> None:
    if mail.template == REPLY_TEMPLATE:
        insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})


def request_language(request: RightsRequest) -> Any:  # noqa: ANN401 - a context manager
    """Return a context manager in which text is in the person's language."""
    return force_language(request.language)


def _subject(request: RightsRequest) -> str:
    kind = translate(KIND_LABELS[request.kind])
    return str(_("Your request %(number)s: %(kind)s", number=request.id, kind=kind))


def _scope_labels(request: RightsRequest) -> str:
    return ", ".join(
        translate(SCOPE_LABELS[scope]) for scope in request.scopes.split(",") if scope in SCOPE_LABELS
    )


def _kept(kept: Sequence[str]) -> list[str]:
    return [
        _("This is kept, under a code from which your address cannot be read:"),
        *(f"– {line}" for line in kept),
    ]


def _recipients() -> str:
    """Name the recipients as the privacy notice does, from the same setting."""
    named = current_settings().notice_recipients
    if not named:
        return str(_("Recipients: nobody but those listed below."))
    return str(
        _(
            "Recipients, as in our privacy notice: %(names)s. What was disclosed about you is below.",
            names=named,
        )
    )


def _register_named() -> str:
    """Say which register a reply speaks for: the company may well have others."""
    return str(_("This answer is about the register of our newsletter."))


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
    return str(uses[current_settings().tracking])


def _closing_paragraphs() -> list[str]:
    contact = current_settings().privacy_contact or current_settings().sender_address
    return [_("If anything is unclear, write to: %(contact)s", contact=contact)] if contact else []
