"""A way out for mails, and what comes back: the server's reply.

Every way speaks through ``Transport.send``, which answers with the reply, and which waits here for what
``Transport.sending`` says it waits for.
"""

import select
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from newsletter.mail.replies.models import Fault, Stage, Whose
from newsletter.mail.smtp.pipelining import Lost, Result, Wait

#: Replies after which the same mail may be offered again (RFC 5321, 4.2.1: a 4yz is for now).
RETRYABLE = range(400, 500)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one mail. ``code`` is 0 when the server could not be asked at all."""

    code: int
    text: str = ""
    #: True when the content had been handed over and no answer came: it may have been accepted.
    is_uncertain: bool = False
    #: Set when the reason is ours and not the recipient's.
    fault: Fault | None = field(default=None, compare=False)
    #: At which step it was said, whose the trouble is, and which row of the table says so; None without one.
    stage: Stage | None = field(default=None, compare=False)
    whose: Whose | None = field(default=None, compare=False)
    rule: str | None = field(default=None, compare=False)

    @property
    def is_accepted(self) -> bool:
        """True when the next server took responsibility."""
        return 200 <= self.code < 300  # noqa: PLR2004 - the 2yz replies

    @property
    def is_retryable(self) -> bool:
        """True when the mail may be offered again later."""
        return not self.is_uncertain and (self.code == 0 or self.code in RETRYABLE)


class Opening(NamedTuple):
    """What a transport waits for that is to be connected: a call of its ``open``, and what it returned."""

    transport: "Transport"


#: What is done on one connection: it yields what it waits for, and is sent what ``open`` returned.
Deed = Generator[Wait | Opening, "Reply | None", Result]


class Transport(ABC):
    """One connection, for one thread at a time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish(self.leaving())

    @abstractmethod
    def open(self) -> Reply | None:
        """Connect, unless that is done; return what went wrong, or None when mails can be sent."""

    @abstractmethod
    def opening(self) -> Deed[Reply | None]:
        """Do as ``open``, wherever that waits."""

    @abstractmethod
    def sending(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,
        is_dotless: bool = False,
    ) -> Deed[Reply]:
        """Hand over one message, whose line ends are CRLF.

        ``following`` names sender and recipient of the mail that will most likely be next: where the
        server allows it, that is announced already. ``is_dotless`` says that no line begins with a dot.
        """

    @abstractmethod
    def leaving(self) -> Deed[None]:
        """Say goodbye and close."""

    def send(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,
        is_dotless: bool = False,
    ) -> Reply:
        """Do as ``sending``, and wait for it."""
        return self._finish(
            self.sending(sender, recipient, message, following=following, is_dotless=is_dotless)
        )

    def _finish(self, deed: Deed[Result]) -> Result:
        try:
            wait = next(deed)
            while True:
                if isinstance(wait, Opening):
                    wait = deed.send(self.open())
                elif _has_happened(wait):
                    wait = next(deed)
                else:
                    wait = deed.throw(Lost("TimeoutError"))
        except StopIteration as done:
            result: Result = done.value
            return result


def _has_happened(wait: Wait) -> bool:
    poll = select.poll()
    poll.register(wait.descriptor, wait.event)
    return bool(poll.poll(1000 * wait.seconds))
