"""Parser of incoming messages: delivery status (RFC 3464), feedback (RFC 5965), automatic replies, free text.

Without look-ups or side effects; no message, however malformed, raises.
"""

import html
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message

from flufl.bounce import all_failures

from newsletter.bounces.automatic import automatic_kind
from newsletter.bounces.judging import judge
from newsletter.bounces.models import ReportKind
from newsletter.bounces.quoted import without_quoted
from newsletter.errors import N_
from newsletter.mail.replies.classify import status_in
from newsletter.mail.replies.models import Said, Stage

# It logs each detector it tries, including addresses.
logging.getLogger("flufl.bounce").disabled = True

#: The rest of a message is the returned newsletter or an attachment.
MAX_MESSAGE_BYTES = 300_000
#: Of prose; the reason stands at its beginning.
LONGEST_JUDGED = 4000
_MAX_BODY_LENGTH = 60_000
_MAX_TEXT_LENGTH = 500
#: Headers that may hold the token of the returned mail.
_IDENTIFYING_HEADERS = (
    "to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-rcpt-to", "x-envelope-to", "return-path",
    "x-failed-recipients", "references", "in-reply-to", "x-original-message-id",
    "message-id", "x-ms-exchange-inbox-rules-loop",
)  # fmt: skip
_MAIL_SERVER_NAMES = (
    "mailer-daemon", "postmaster", "mail delivery", "mailer_daemon", "mail system", "microsoftexchange",
    "mailerdaemon", "mail-daemon", "maildelivery", "mail administrator",
)  # fmt: skip
#: How the subjects of bounces begin, whoever they say they are from.
_RETURNED = re.compile(
    r"^\W*(?:undeliver\w*|delivery (?:status|failure|has failed|error|problem|report)|failure notice|"
    r"returned|"
    r"mail (?:delivery|could not|not delivered|system error)|(?:message|e-?mail) (?:delivery|could not|not "
    r"delivered|undeliverable|bounced)|(?:non|un)[- ]?deliver|unzustellbar|nicht zustellbar|rücksendung|"
    r"non remis|échec|viestiä ei|ei voitu|toimittaminen|ditt meddelande kunde|kunde inte levereras|"
    r"oleveransbart|mislukt|no se puede|impossibile|mancata consegna|не доставлен|недоставлен|退信|配信不能)",
    re.IGNORECASE,
)
_DELAY_SUBJECT = re.compile(
    r"\b(?:warning|delay(?:ed)?|still being retried|deferred|verzögert|retardé|viivästy\w*|fördröj\w*)\b",
    re.IGNORECASE,
)
_UNSUBSCRIBE = re.compile(
    r"^\W*(?:(?:re|fwd?|vs|sv|aw|vb): ?)*\W*(?:list-)?(?:unsubscribe|peruuta|peru\b|poistu|avsluta|abmelden|"
    r"désabonn\w*|opt.?out)",
    re.IGNORECASE,
)
_STATUS_PATTERN = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")
_ORIGINAL_HEADERS = re.compile(
    rb"^(?:Return-Path|Message-ID):[^\n]*(?:\n[ \t][^\n]*)*", re.MULTILINE | re.IGNORECASE
)
#: Outlook.com's own form of a complaint (JMRP): the mail itself, with this on top.
_JMRP = "x-hmxmroriginalrecipient"
_ARRIVED = {"delivered", "relayed", "expanded"}


@dataclass(frozen=True, slots=True)
class Report:
    """A parsed message. ``naming`` has the texts that may hold our token."""

    kind: ReportKind
    status: str | None = None
    reason: str | None = None
    text: str = ""
    feedback_type: str | None = None
    naming: list[str] = field(default_factory=list)
    #: What was judged; None where nothing was.
    said: Said | None = None
    #: It says that it wants to leave, whatever else it carries.
    asks_to_leave: bool = False


def parse_message(content: bytes) -> Report:
    """Parse a message; the kind is UNREADABLE when it is not understood."""
    content = content[:MAX_MESSAGE_BYTES]
    try:
        message = message_from_bytes(content)
        found = _parse(message)
        naming = _identifying_texts(message, content)
    except Exception:  # noqa: BLE001 - untrusted input in two third-party parsers
        return Report(ReportKind.UNREADABLE, naming=[content.decode("latin-1")])
    return replace(found, naming=naming, asks_to_leave=_asks_to_leave(message))


def judged(said: Said, naming: list[str] | None = None) -> Report:
    """Return what the judge makes of what was said, with all that is written down of it."""
    kind, rule = judge(said)
    status = said.status or status_in(said.text)
    return Report(kind, status, rule, _truncate(said.text), naming=naming or [], said=said)


def _parse(message: Message) -> Report:
    outer = list(_own_parts(message))
    parts = {part.get_content_type(): part for part in [*reversed(list(message.walk())), *reversed(outer)]}
    if "message/feedback-report" in parts:
        return _parse_feedback_report(parts["message/feedback-report"])
    said = without_quoted(_body_text(outer))
    if "message/delivery-status" in parts:
        found = _parse_delivery_status(parts["message/delivery-status"], said)
        if found is not None:
            return found
    if "message/disposition-notification" in parts:
        return _read_disposition(parts["message/disposition-notification"], said)
    if any(part.get(_JMRP) for part in message.walk()):
        return complaint("abuse")
    subject = _header(message, "subject")
    by_server = bool(
        message.get("x-failed-recipients") or _is_from_mail_server(message) or _RETURNED.search(subject)
    )
    kind = automatic_kind(message, subject, said, by_server=by_server)
    if kind is not None:
        return Report(kind, reason=kind.value)
    return _parse_free_text(message, said, is_from_server=by_server or _has_no_sender(message))


def _own_parts(message: Message) -> Iterator[Message]:
    """Yield the parts of a message, and nothing of the mails that are attached to it."""
    yield message
    if message.get_content_maintype() == "multipart" and isinstance(message.get_payload(), list):
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _own_parts(part)


def _asks_to_leave(message: Message) -> bool:
    return bool(message.get("x-apple-unsubscribe") or _UNSUBSCRIBE.search(_header(message, "subject")))


def complaint(feedback_type: object, naming: list[str] | None = None) -> Report:
    """Return what a mailbox provider passes on (RFC 5965, RFC 6591), by its name for it."""
    word = re.sub(r"[^a-z-]", "", str(feedback_type or "abuse").lower())[:40]
    said = Said(Stage.COMPLAINT, word=word)
    kind, _rule = judge(said)
    return Report(kind, reason="feedback", feedback_type=word, naming=naming or [], said=said)


def _parse_feedback_report(part: Message) -> Report:
    return complaint(_first_fields(part).get("feedback-type", "abuse"))


def _read_disposition(part: Message, said: str) -> Report:
    """Tell a read receipt from the refusal of a mailbox's own filter (RFC 8098; RFC 5429, 2.2)."""
    disposition = _first_fields(part).get("disposition", "").lower()
    mode, _semicolon, done = disposition.partition(";")
    if mode.startswith("automatic-action") and "deleted" in done:
        return judged(Said(Stage.REPORT, _reason_line(said), word="mdn/deleted"))
    return Report(ReportKind.NOTICE, reason="read_receipt")


def _parse_delivery_status(part: Message, prose: str) -> Report | None:
    """Parse a delivery status notification (RFC 3464): the first failed recipient counts."""
    found = None
    for fields in _field_groups(part):
        action = fields.get("action", "").split("(")[0].split(";")[0].strip().lower()
        status = _STATUS_PATTERN.search(fields.get("status", ""))
        if not action and not status:
            continue  # per-message fields
        number = status.group(0) if status else None
        text = _diagnostic(fields)
        kind = _on_its_way(action, number, text)
        if kind is None:
            # Some say why for people only.
            text = text or (_reason_line(prose) if number is None or number.endswith(".0.0") else "")
            return judged(Said(Stage.REPORT, _clean(text), status=number, word=f"action/{action[:40]}"))
        found = found or Report(kind, number, kind.value, _truncate(text))
    return found


def _on_its_way(action: str, number: str | None, text: str) -> ReportKind | None:
    """Return DELAYED or NOTICE for what has not failed; None for what has, whatever it is called."""
    if action == "failed":
        return None
    if action in _ARRIVED:
        return ReportKind.NOTICE
    if action == "delayed":
        return ReportKind.DELAYED
    if action == "expired" or (number is not None and number[0] == "5") or (number is None and text):
        return None
    if number is None:
        return ReportKind.UNREADABLE
    return (
        ReportKind.NOTICE
        if number[0] == "2"
        else None
        if action in {"error", "rejected"}
        else ReportKind.DELAYED
    )


def _diagnostic(fields: dict[str, str]) -> str:
    said = fields.get("diagnostic-code", "")
    kind, semicolon, text = said.partition(";")
    return text.strip() if semicolon and " " not in kind.strip() else said.strip()


def _parse_free_text(message: Message, said: str, *, is_from_server: bool) -> Report:
    """Parse a bounce without a standard format, if a mail server wrote it."""
    late, failed = all_failures(message)
    status = status_in(said)
    is_late = is_from_server and _DELAY_SUBJECT.search(_header(message, "subject"))
    if is_late or (late and not failed) or (not failed and is_from_server and (status or "")[:1] == "4"):
        return Report(ReportKind.DELAYED, status, "delayed", _reason_line(said))
    if not (failed or is_from_server):
        return Report(ReportKind.UNREADABLE)
    found = judged(Said(Stage.REPORT, _clean(said[:LONGEST_JUDGED])))
    if found.reason == "other" and not (failed or status):
        return Report(ReportKind.UNREADABLE)
    return replace(found, text=_reason_line(said))


def _is_from_mail_server(message: Message) -> bool:
    sender = _header(message, "from").lower()
    return any(name in sender for name in _MAIL_SERVER_NAMES)


def _has_no_sender(message: Message) -> bool:
    return _header(message, "return-path").strip() == "<>"


def _field_groups(part: Message) -> Iterator[dict[str, str]]:
    """Yield the field groups of a delivery status; the email parser keeps them as messages."""
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (_decode_fields(block) for block in payload if isinstance(block, Message))
        return
    for block in re.split(r"\r?\n\s*\r?\n", _decode_part(part)):
        yield _decode_fields(message_from_bytes(block.strip().encode("utf-8", "surrogateescape")))


def _decode_fields(block: Message) -> dict[str, str]:
    # Raw values: the parser replaces what is not ASCII.
    pairs = ((name, str(value).encode("utf-8", "surrogateescape")) for name, value in block.raw_items())
    return {name.lower(): " ".join(value.decode("utf-8", "replace").split()) for name, value in pairs}


def _first_fields(part: Message) -> dict[str, str]:
    return next(_field_groups(part), {})


def _identifying_texts(message: Message, content: bytes) -> list[str]:
    """Return the headers that may hold our token: of the message, and of the returned mail in it."""
    outer = [str(value) for name, value in message.items() if name.lower() in _IDENTIFYING_HEADERS]
    body = content.partition(b"\n\n" if b"\r\n\r\n" not in content else b"\r\n\r\n")[2]
    inner = [line.decode("latin-1") for line in _ORIGINAL_HEADERS.findall(body)]
    reported = re.findall(r"(?mi)^Original-Mail-From:[^\n]*", body.decode("latin-1"))
    return outer + reported + inner


def _body_text(parts: list[Message]) -> str:
    texts = [part for part in parts if part.get_content_maintype() == "text"]
    plain = [part for part in texts if part.get_content_subtype() == "plain"] or texts
    said = "\n".join(_decode_part(part) for part in plain[:2])[:_MAX_BODY_LENGTH]
    if not (plain and plain[0].get_content_subtype() == "html"):
        return said
    return html.unescape(
        re.sub(r"<[^>@]{1,400}>", " ", re.sub(r"(?is)<(style|script|head).*?</\1>", " ", said))
    )


def _decode_part(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")


def _header(message: Message, name: str) -> str:
    # As it came: beyond ASCII, what the parser gives out is question marks.
    found = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    raw = found.encode("utf-8", "surrogateescape")
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        value = raw.decode("latin-1")
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, UnicodeError, ValueError):
        return value


def _reason_line(said: str) -> str:
    """Return the lines of a free text that have a status or code, else its beginning."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if status_in(line) or re.search(r"(?<!\d)[45]\d\d[ -]", line)]
    return _truncate(" ".join(telling[:2] or lines[:4]))


def _truncate(text: str) -> str:
    return _clean(text)[:_MAX_TEXT_LENGTH]


def _clean(text: str) -> str:
    """Return a text without what no database takes (UTF-7 can say half a letter)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


#: Explanations of reasons that are not in ``classify.RULES``.
OTHER_REASONS = {
    "delayed": N_("On its way, late."),
    "notice": N_("It arrived."),
    "feedback": N_("A mailbox provider passed it on."),
    "read_receipt": N_("It was opened; the mail program said so."),
    "auto_reply": N_("An automatic reply, such as out of office."),
    "unsubscribe": N_("The person left by the relay's own link."),
    "unknown_event": N_("The relay reports something that we do not know."),
    "challenge": N_("A mailbox asked for proof that a person wrote; nobody answered."),
}
