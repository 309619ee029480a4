"""The one judge of whatever servers, relays and mailboxes say to a mail.

The stage, the speaker's known lines and the text decide together, before the number alone does.
Addresses, hosts and links that stand in a reply are no evidence: a host called ``spamfilter`` says
nothing of spam.
"""

import re
from functools import lru_cache

from newsletter.mail.replies.models import Said, Stage, Verdict
from newsletter.mail.replies.rules import RULES, Rule

#: They are about logging in, whatever follows (RFC 4954, 6).
_LOGIN = {530, 534, 535, 538}
#: Servers say what they have to say at the beginning.
LONGEST = 4000

_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]|-[a-z])", re.IGNORECASE)
#: What stands before a number that is a program's, and no status.
_VERSION = re.compile(
    r"(?:versio\w*|\bv|\bver\.?|release|exim|postfix|sendmail|qmail|dovecot|amavisd?(?:-new)?|server|mailer|"
    r"agent|software|build|esmtps?|smtpd?|update|using|[a-z]/|[a-z]-)[ :=(/-]*$",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?<![\d.#/-])([45]\d\d)(?=[ -][\w\"'<(#\[]|[:,;.]?\s*$|-)", re.MULTILINE)
_NOISE = re.compile(
    r"https?://\S+|<?[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+>?|(?<![\w.])(?-i:[a-z0-9_-]+\.)+(?-i:[a-z]{2,})\b|"
    r"\[[\d.:a-fA-F]{7,}\]",
    re.IGNORECASE,
)
#: How mail servers write, in what they report, at which step they heard it.
_STEPS = (
    (Stage.MAIL, re.compile(r"(?:in reply to|after|response to|>>>) (?:pipelined )?MAIL FROM|sender was "
                            r"rejected", re.IGNORECASE)),
    (Stage.DOT, re.compile(r"(?:in reply to|after|response to) (?:the )?end of (?:data|message)|"
                           r"failed after I sent the message", re.IGNORECASE)),
    (Stage.RCPT, re.compile(r"(?:in reply to|after|response to|>>>) (?:pipelined )?RCPT TO|does not like "
                            r"recipient", re.IGNORECASE)),
    (Stage.EHLO, re.compile(r"(?:in reply to|after|response to|>>>) (?:EHLO|HELO)", re.IGNORECASE)),
)  # fmt: skip


class _Compiled:
    """A row of the table, ready to be held against what was said."""

    __slots__ = ("by", "number", "raw", "rule", "text", "word")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        flags = re.IGNORECASE | re.DOTALL
        self.number = re.compile(rule.number) if rule.number else None
        self.text = re.compile(rule.text, flags) if rule.text else None
        self.raw = re.compile(rule.raw, flags) if rule.raw else None
        self.word = re.compile(rule.word) if rule.word else None

    def holds(self, said: Said, stage: Stage, number: str, text: str) -> bool:
        rule = self.rule
        return (
            (not rule.stages or stage in rule.stages or said.stage in rule.stages)
            and (not rule.by or rule.by == said.by)
            and (self.word is None or self.word.fullmatch(said.word) is not None)
            and (self.number is None or self.number.fullmatch(number) is not None)
            and (self.text is None or self.text.search(text) is not None)
            and (self.raw is None or self.raw.search(said.text) is not None)
        )


_COMPILED = [_Compiled(rule) for rule in RULES]


def classify(said: Said) -> Verdict:
    """Return whose fault it is that a mail was answered so, and by which row of the table."""
    return _classify(_shortened(said))


@lru_cache(maxsize=2048)
def _classify(said: Said) -> Verdict:
    text = _NOISE.sub(" ", said.text)
    number, stage = _number(said), said.stage
    if stage in {Stage.REPORT, Stage.WEBHOOK}:
        stage = _stage_in(said.text) or stage
    for row in _COMPILED:
        if row.holds(said, stage, number, text):
            return Verdict(row.rule.whose, row.rule.key, row.rule.fault)
    raise AssertionError  # the last row holds for everything


def status_in(text: str) -> str | None:
    """Return the first enhanced status in a text that says more than "other"; no program's version is one."""
    found = [
        match.group(1)
        for match in _ENHANCED.finditer(text[:LONGEST])
        if not _VERSION.search(text[max(0, match.start() - 24) : match.start()])
    ]
    return next((status for status in found if not status.endswith(".0.0")), found[0] if found else None)


def _shortened(said: Said) -> Said:
    if len(said.text) <= LONGEST:
        return said
    return Said(said.stage, said.text[:LONGEST], said.code, said.status, said.by, said.word)


def _number(said: Said) -> str:
    if said.code in _LOGIN:
        return str(said.code)
    if said.status and not said.status.endswith(".0.0"):
        return said.status
    inner = status_in(said.text)
    # What servers put before it tells more than the report's own class.
    if inner and not inner.endswith(".0.0") and inner[0] != "2":
        return inner
    code = _CODE.search(said.text)
    return str(said.code) if said.code else code.group(1) if code else said.status or ""


def _stage_in(text: str) -> Stage | None:
    return next((stage for stage, pattern in _STEPS if pattern.search(text)), None)
