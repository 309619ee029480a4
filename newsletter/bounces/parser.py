"""What a message says: a report, a complaint, an automatic reply, or nothing we understand.

Nothing here looks anything up or changes anything, and no message, however broken, raises.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message

from flufl.bounce import all_failures

from newsletter.bounces.classify import classify, status_in
from newsletter.bounces.models import Kind
from newsletter.errors import N_

# It logs every detector it tries, and addresses among what it logs.
logging.getLogger("flufl.bounce").disabled = True

#: The rest of a message is the newsletter itself, or somebody's attachment.
LONGEST = 300_000
_LONGEST_SAID = 60_000
_LONGEST_TEXT = 500
#: Where a server names the mail that comes back, or the address it came back to.
_NAMING = (
    "to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-rcpt-to", "x-envelope-to", "return-path",
    "x-failed-recipients", "references", "in-reply-to", "x-original-message-id",
    "message-id", "x-ms-exchange-inbox-rules-loop",
)  # fmt: skip
_COMPLAINTS = {"abuse", "fraud", "opt-out", "opt-out-list", "other", "miscategorized"}
_AUTOMATIC = re.compile(
    r"^\s*(?:re: )?(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response|responder)|autoreply|"
    r"out of (?:the )?office|ooo\b|away from|on (?:vacation|holiday|leave)|vacation|i am away|"
    r"poissa|lomalla|automaattinen vastaus|autosvar|frånvaro|abwesen|automatische antwort|"
    r"réponse automatique|absence|risposta automatica|respuesta automática|afwezig)",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(
    r"(?:confirm|verify|validate|authenticate|release|approve).{0,60}"
    r"(?:your (?:message|e?-?mail|address|identity)|you (?:sent|are)|sender|delivery)|"
    r"challenge|is protected by|whitelist|white list|(?:prove|are) (?:that )?you (?:are )?(?:a )?human|"
    r"requires? (?:sender )?(?:confirmation|verification)|boxbe|spam ?arrest|earthlink|"
    r"uol.*anti-?spam|sender verification",
    re.IGNORECASE | re.DOTALL,
)
_SERVERS = (
    "mailer-daemon", "postmaster", "mail delivery", "mailer_daemon", "mail system", "microsoftexchange",
)  # fmt: skip
_LATE = re.compile(r"\b(?:warning|delay(?:ed)?|still being retried|deferred)\b", re.IGNORECASE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_ORIGINAL = re.compile(rb"^(?:Return-Path|Message-ID):[^\n]*(?:\n[ \t][^\n]*)*", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message says. ``naming`` has the text in which our token must stand."""

    kind: Kind
    status: str | None = None
    reason: str | None = None
    text: str = ""
    feedback_type: str | None = None
    naming: list[str] = field(default_factory=list)


def read(content: bytes) -> Reading:
    """Return what a message says; ``UNREADABLE`` where we do not understand it."""
    content = content[:LONGEST]
    try:
        message = message_from_bytes(content)
        found = _read(message)
        naming = _names(message, content)
    except Exception:  # noqa: BLE001 - a stranger wrote it, and two parsers of others work on it
        return Reading(Kind.UNREADABLE, naming=[content.decode("latin-1")])
    return Reading(found.kind, found.status, found.reason, found.text, found.feedback_type, naming)


def _read(message: Message) -> Reading:
    parts = {part.get_content_type(): part for part in reversed(list(message.walk()))}
    if "message/feedback-report" in parts:
        return _read_feedback(parts["message/feedback-report"])
    if "message/disposition-notification" in parts:
        return Reading(Kind.NOTICE, reason="read_receipt")
    if "message/delivery-status" in parts:
        found = _read_status(parts["message/delivery-status"])
        if found is not None:
            return found
    said = _text_of(message)
    return _read_conversation(message, said) or _read_plain(message, said)


def _read_feedback(part: Message) -> Reading:
    """Read what a mailbox provider passes on (RFC 5965, RFC 6591)."""
    fields = _fields(part)
    kind = re.sub(r"[^a-z-]", "", fields.get("feedback-type", "abuse").lower())[:40]
    known = Kind.COMPLAINT if kind in _COMPLAINTS else Kind.NOTICE
    return Reading(known, feedback_type=kind, reason="feedback")


def _read_status(part: Message) -> Reading | None:
    """Read a delivery status notification (RFC 3464): the first recipient that failed counts."""
    found = None
    for fields in _blocks(part):
        action = fields.get("action", "").split("(")[0].strip().lower()
        status = _STATUS.search(fields.get("status", ""))
        if not action and not status:
            continue  # what is said of the message as a whole
        said = fields.get("diagnostic-code", "")
        text = said.partition(";")[2].strip() if ";" in said else said.strip()
        number = status.group(0) if status else None
        if action == "failed" or (not action and number and number[0] == "5"):
            verdict = classify(number, text)
            return Reading(verdict.kind, number, verdict.reason, _cut(text))
        kind = Kind.DELAYED if action == "delayed" or (number and number[0] == "4") else Kind.NOTICE
        found = found or Reading(kind, number, kind.value, _cut(text))
    return found


def _read_conversation(message: Message, said: str) -> Reading | None:
    """Tell automatic replies and challenges: what people's mailboxes say by themselves (RFC 3834)."""
    subject = _header(message, "subject")
    automatic = _header(message, "auto-submitted").lower().startswith("auto-replied")
    marked = (
        automatic
        or _header(message, "precedence").lower() in {"auto_reply", "auto-reply"}
        or any(message.get(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponder"))
    )
    if message.get("x-failed-recipients") or _is_by_server(message):
        return None  # it marks what it writes, too
    if any(name.lower().startswith("x-challenge") for name in message) or _CHALLENGE.search(subject):
        return Reading(Kind.CHALLENGE, reason="challenge")
    if not _AUTOMATIC.search(subject) and _CHALLENGE.search(said[:1500]) and (marked or "http" in said):
        return Reading(Kind.CHALLENGE, reason="challenge")
    if marked or _AUTOMATIC.search(subject):
        return Reading(Kind.AUTO_REPLY, reason="auto_reply")
    return None


def _read_plain(message: Message, said: str) -> Reading:
    """Read what follows no standard, as long as a mail server wrote it."""
    late, failed = all_failures(message)
    is_from_server = _is_by_server(message) or _header(message, "return-path").strip() == "<>"
    if is_from_server and _LATE.search(_header(message, "subject")):
        return Reading(Kind.DELAYED, status_in(said), "delayed", _telling(said))
    if failed or (is_from_server and not late and status_in(said)):
        status = status_in(said)
        if status and status[0] == "4" and not failed:
            return Reading(Kind.DELAYED, status, "delayed", _telling(said))
        verdict = classify(status, said)
        return Reading(verdict.kind, status, verdict.reason, _telling(said))
    if late:
        return Reading(Kind.DELAYED, status_in(said), "delayed", _telling(said))
    if is_from_server:
        verdict = classify(None, said)
        if verdict.reason != "other":
            return Reading(verdict.kind, None, verdict.reason, _telling(said))
    return Reading(Kind.UNREADABLE)


def _is_by_server(message: Message) -> bool:
    sender = _header(message, "from").lower()
    return any(name in sender for name in _SERVERS)


def _blocks(part: Message) -> Iterator[dict[str, str]]:
    """Yield the groups of fields of a delivery status, which the parser keeps as messages of their own."""
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (_named(block) for block in payload if isinstance(block, Message))
        return
    for block in re.split(r"\r?\n\s*\r?\n", _decoded(part)):
        yield _named(message_from_bytes(block.strip().encode("utf-8", "surrogateescape")))


def _named(block: Message) -> dict[str, str]:
    # As they came: beyond ASCII, what the parser gives out is question marks.
    pairs = ((name, str(value).encode("utf-8", "surrogateescape")) for name, value in block.raw_items())
    return {name.lower(): " ".join(value.decode("utf-8", "replace").split()) for name, value in pairs}


def _fields(part: Message) -> dict[str, str]:
    return next(_blocks(part), {})


def _names(message: Message, content: bytes) -> list[str]:
    """Return the headers that may hold our token: of the message, and of the mail that came back in it."""
    outer = [str(value) for name, value in message.items() if name.lower() in _NAMING]
    body = content.partition(b"\n\n" if b"\r\n\r\n" not in content else b"\r\n\r\n")[2]
    inner = [line.decode("latin-1") for line in _ORIGINAL.findall(body)]
    reported = re.findall(r"(?mi)^Original-Mail-From:[^\n]*", body.decode("latin-1"))
    return outer + reported + inner


def _text_of(message: Message) -> str:
    texts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    plain = [part for part in texts if part.get_content_subtype() == "plain"] or texts
    said = "\n".join(_decoded(part) for part in plain[:2])[:_LONGEST_SAID]
    return (
        re.sub(r"<[^>@]{1,400}>", " ", said) if plain and plain[0].get_content_subtype() == "html" else said
    )


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")


def _header(message: Message, name: str) -> str:
    value = str(message.get(name, ""))
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, UnicodeError, ValueError):
        return value


def _telling(said: str) -> str:
    """Return the line of a free text that names the reason, or its beginning."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if status_in(line) or re.search(r"(?<!\d)[45]\d\d[ -]", line)]
    return _cut(" ".join(telling[:2] or lines[:4]))


def _cut(text: str) -> str:
    """Return the beginning of a text, without what no database takes (UTF-7 can say half a letter)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]


#: What a reading that is not in the table of classes is for, in plain words.
OTHER_REASONS = {
    "delayed": N_("On its way, late."),
    "notice": N_("It arrived."),
    "relay": N_("The relay says that the address is no good."),
    "feedback": N_("A mailbox provider passed it on."),
    "read_receipt": N_("It was opened; the mail program said so."),
    "auto_reply": N_("An automatic reply, such as out of office."),
    "challenge": N_("A mailbox asked for proof that a person wrote; nobody answered."),
}
