"""What was said to a mail, and what it comes to."""

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Whose(enum.Enum):
    """Whose the trouble is."""

    #: There is no such mailbox, or no such domain: never write there again.
    PERSON_FOR_GOOD = "person_for_good"
    #: The mailbox or its server cannot or will not take this mail; it may take the next.
    PERSON_FOR_NOW = "person_for_now"
    #: Who we are, how we speak or what we send: nothing the person can do about.
    US = "us"
    #: Nothing is wrong with anybody: it is late, or it arrived, or somebody is on leave.
    NOBODY = "nobody"


class Stage(enum.Enum):
    """When it was said: the step of the dialogue (RFC 5321), or the way it came afterwards."""

    CONNECT = "connect"
    EHLO = "ehlo"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    REPORT = "report"
    WEBHOOK = "webhook"
    COMPLAINT = "complaint"


class Fault(enum.Enum):
    """What is wrong on our side, whoever the mail is to."""

    #: No connection: refused, no such host, no answer.
    UNREACHABLE = "unreachable"
    #: No certificate that we trust, or no encryption although it is wanted.
    TLS = "tls"
    LOGIN = "login"
    #: A user name is set, and the server offers no login, or none that we can use.
    NO_LOGIN = "no_login"
    #: The server does not want to speak with us at all.
    REFUSED = "refused"
    #: The name we give in EHLO is not to the server's liking.
    EHLO = "ehlo"
    #: The server does not take our sender's address, or its domain's records forbid this server.
    SENDER = "sender"
    #: The server does not carry our mail to others.
    RELAYING = "relaying"
    #: We have sent as much as we may.
    LIMIT = "limit"
    #: The mail's size or form.
    CONTENT = "content"
    #: A filter, a block list, a policy (5.7.x).
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Said:
    """What was said, by whom and when. Everything that a judgement rests on."""

    stage: Stage
    text: str = ""
    #: The three digits (RFC 5321); None where there are none.
    code: int | None = None
    #: The enhanced status (RFC 3463); None where none was given apart from the text.
    status: str | None = None
    #: The relay that reports it; empty for a mail server.
    by: str = ""
    #: The relay's own name for what happened, or a report's Action.
    word: str = ""

    def facts(self) -> dict[str, Any]:
        """Return it without the text, to be kept beside that."""
        return asdict(self) | {"stage": self.stage.value, "text": None}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose the trouble is, and the rule that decided."""

    whose: Whose
    #: Which row of the table.
    rule: str
    #: Set where it is ours.
    fault: Fault | None = None
