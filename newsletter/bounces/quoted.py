"""Where a bounce in prose ends, and the mail that came back begins: what we wrote is no evidence."""

import re

_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,40}):(?:[ \t]|$)")
#: Nobody puts these into a summary for people.
_TECHNICAL = re.compile(
    r"received|dkim-signature|arc-[a-z-]+|mime-version|return-path|list-[a-z-]+|content-(?:type|transfer-"
    r"encoding)|authentication-results|domainkey-signature|x-google-\S+|x-received",
    re.IGNORECASE,
)
_SUMMARY = 3
_BEGINS = re.compile(
    r"^[ \t]*(?:-{2,}|={2,}|\*{2,}|_{4,})? ?(?:below this line is a copy|(?:this is|here is|"
    r"the following is) a copy of (?:the|your)"
    r"|(?:the |your )?(?:original|returned|undelivered|unsent|rejected|failed|bounced) (?:message|mail|"
    r"e-?mail|headers?)"
    r"(?: (?:headers?|text|body|follows?|is (?:attached|included|below)|was))?[ \t]*:?[ \t]*(?:-{2,}|"
    r"={2,}|\*{2,}|_{2,}|follows.*)?[ \t]*$"
    r"|(?:message|original) headers? (?:follow|:)|(?:the )?(?:body|headers?|text|"
    r"first \d+ lines) of (?:the|your) (?:original |"
    r"returned )?(?:message|mail)|begin(?:ning of)? (?:forwarded|returned|original) message|forwarded message"
    r"|ursprüngliche nachricht|message (?:original|d'origine)|alkuperäinen viesti|ursprungligt meddelande|"
    r"copy of (?:the|your) message)",
    re.IGNORECASE,
)
_BOUNDARY = re.compile(r"^--[\w'()+,./:=?-]{8,70}$")


def without_quoted(text: str) -> str:
    """Return what a server wrote of a mail, without the mail itself and without lines quoted with ``>``."""
    lines = text.splitlines()
    kept: list[str] = []
    for number, line in enumerate(lines):
        if kept and _returned_begins(lines, number):
            break
        # A transcript of the dialogue has three of them.
        if not line.startswith((">", "|")) or line.startswith(">>>"):
            kept.append(line)
    return "\n".join(kept)


def _returned_begins(lines: list[str], number: int) -> bool:
    line = lines[number]
    if _BEGINS.match(line) or line.strip().lower() == "content-type: message/rfc822":
        return True
    if _BOUNDARY.match(line):
        return number + 1 < len(lines) and lines[number + 1].lower().startswith("content-")
    return _HEADER.match(line) is not None and _is_header_block(lines, number)


def _is_header_block(lines: list[str], number: int) -> bool:
    """Tell whether headers of a mail stand here: several in a row, and one that no summary has."""
    names: list[str] = []
    for line in lines[number : number + 60]:
        name = _HEADER.match(line)
        if name is not None:
            names.append(name.group(1))
        elif not line.startswith((" ", "\t")) or not line.strip():
            break
    has_id = any(name.lower() == "message-id" for name in names) and len(names) > _SUMMARY
    return len(names) > 1 and (has_id or any(map(_TECHNICAL.fullmatch, names)))
