"""Whose fault it is: one table, read from the top (SB-5).

The person's address is given up only for what says plainly that there is no such mailbox. Whatever
smells of filters, lists and rules is about us, whichever number stands on it. The rest is for now.
"""

import re
from dataclasses import dataclass

from newsletter.bounces.models import Kind
from newsletter.errors import N_


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table: it holds when both patterns are found; an empty one always is."""

    key: str
    kind: Kind
    #: Matched with the whole enhanced status, or the reply code where there is none.
    status: str
    #: Looked for in what the server said, whatever the case.
    text: str
    #: In plain words, for the person's page.
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report comes to, and the line that decided."""

    kind: Kind
    reason: str


_FILTERED = (
    r"spam(?!.{0,20}complaint rate is low)|blacklist|blocklist|block list|black list|rbl|dnsbl|spamhaus|"
    r"barracuda|reputation|\bdmarc\b|\bspf\b|\bdkim\b|unauthenticated|not authenticated|authentication|"
    r"\bpolicy\b|banned|blocked|bulk mail|unsolicited|reverse dns|\bptr\b|not authori[sz]ed|"
    r"access denied|relay(?:ing)? (?:access )?denied|relay not permitted|unable to relay"
)
_NOBODY = (
    r"user unknown|unknown user|no such (?:user|mailbox|address|recipient|person)|"
    r"(?:user|recipient|mailbox|account|address) (?:is |was |does )?(?:unknown|invalid|not (?:found|exist))|"
    r"(?:doesn'?t|does not) (?:exist|have (?:an?|such an?) .{0,20}account)|unknown (?:local.part|recipient|"
    r"address|account)|invalid (?:recipient|mailbox|user|address)|no mailbox here|"
    r"not a valid (?:mailbox|user|recipient)|recipientnotfound|recipient not found|"
    r"isn'?t in (?:our|my) list|not our customer|"
    r"address could(?:n'?t| not) be found|wasn'?t found at"
)
_CLOSED = (
    r"(?:account|mailbox|user|recipient).{0,25}(?:disabled|inactive|suspended|deactivated|closed|expired|"
    r"no longer (?:available|active|in use))|(?:disabled|inactive|closed) (?:mailbox|account|recipient)"
)
_FULL = (
    r"(?:mail ?box|quota|account|inbox|storage|user).{0,40}(?:full|exceed|over ?quota|out of (?:space|"
    r"storage))|"
    r"over ?quota|quota exceeded|exceed(?:s|ed|ing).{0,25}quota|insufficient (?:system )?storage|not enough "
    r"(?:disk |storage )?space|is full\b"
)

_NO_MAILBOX = N_("There is no such mailbox.")
_UNWANTED = N_("The server does not want mail like this from us.")
_FORM = N_("The server does not accept the mail's form or size.")
#: In this order; the last holds for everything.
RULES = (
    Rule("full", Kind.SOFT, r"[245]\.2\.2|452|552", "", N_("The mailbox is full.")),
    Rule("full_text", Kind.SOFT, "", _FULL, N_("The mailbox is full.")),
    Rule("policy", Kind.OURS, r"[45]\.7\.\d+|530|535", "", _UNWANTED),
    Rule("sender", Kind.OURS, r"[45]\.1\.[789]", "", N_("The server does not accept our sender's address.")),
    Rule("filtered", Kind.OURS, "", _FILTERED, N_("A filter or block list of the server turned it away.")),
    Rule("content", Kind.OURS, r"[45]\.6\.\d+|[45]\.3\.4|[45]\.2\.3", "", _FORM),
    Rule("temporary", Kind.SOFT, r"4\.\d+\.\d+|4\d\d", "", N_("The server put it off until time ran out.")),
    Rule("no_mailbox", Kind.HARD, r"5\.1\.[136]|551", "", _NO_MAILBOX),
    Rule("no_domain", Kind.HARD, r"5\.1\.2", "", N_("There is no such domain.")),
    Rule("null_mx", Kind.HARD, r"5\.1\.10|556", "", N_("The domain takes no mail.")),
    Rule("closed", Kind.HARD, r"5\.2\.1", "", N_("The mailbox has been closed.")),
    Rule("no_mailbox_text", Kind.HARD, r"5\..*|5\d\d|", _NOBODY, _NO_MAILBOX),
    Rule("closed_text", Kind.HARD, r"5\..*|5\d\d|", _CLOSED, N_("The mailbox has been closed.")),
    Rule("syntax", Kind.OURS, r"5\.5\.[1-6]|50[0-4]", "", N_("The servers did not understand each other.")),
    Rule("other", Kind.SOFT, "", "", N_("The server did not say why.")),
)
REASONS = {rule.key: rule.why for rule in RULES}

_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.#-])([45]\d\d)(?=[ -][\w\"'<(#]|\s*$)", re.MULTILINE)
_COMPILED = [
    (rule, re.compile(rule.status), re.compile(rule.text, re.IGNORECASE | re.DOTALL)) for rule in RULES
]
#: Servers say what they have to say at the beginning.
_LONGEST = 4000


def classify(status: str | None, text: str) -> Verdict:
    """Return whose fault a mail that came back is.

    ``status`` is the enhanced one; without it, or where it says nothing (x.0.0), the text's own counts.
    """
    text = text[:_LONGEST]
    number = _number(status, text)
    for rule, with_status, with_text in _COMPILED:
        if (not rule.status or with_status.fullmatch(number)) and with_text.search(text):
            return Verdict(rule.kind, rule.key)
    raise AssertionError  # the last rule holds for everything


def status_in(text: str) -> str | None:
    """Return the first enhanced status in a text that says more than "other"."""
    found = _ENHANCED.findall(text[:_LONGEST])
    return next((status for status in found if not status.endswith(".0.0")), found[0] if found else None)


def _number(status: str | None, text: str) -> str:
    if status and not status.endswith(".0.0"):
        return status
    inner = status_in(text)
    if inner and not inner.endswith(".0.0"):
        return inner
    code = _CODE.search(text)
    return code.group(1) if code else status or ""
