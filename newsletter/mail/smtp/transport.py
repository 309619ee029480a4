"""The interface of mail transports, and ``Reply``, the outcome of one mail.

A transport's work is a generator that yields what it waits for. ``Transport.send`` runs it and blocks;
the event loop of sending runs many in one thread.
"""

import select
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from newsletter.mail.replies.models import Fault, Stage, Whose
from newsletter.mail.smtp.pipelining import ConnectionLost, Result, SocketWait

#: Replies after which the same mail may be retried (RFC 5321, 4.2.1: 4yz is transient).
RETRYABLE_CODES = range(400, 500)


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one mail. ``code`` is 0 when there was no reply at all."""

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
        """True when the mail may be retried."""
        return not self.is_uncertain and (self.code == 0 or self.code in RETRYABLE_CODES)


class ConnectRequest(NamedTuple):
    """Yielded to have a transport connected: the runner calls its ``open`` and sends in the result."""

    transport: "Transport"


#: Work on one connection: it yields what it waits for, and is sent what ``open`` returned.
TransportSteps = Generator[SocketWait | ConnectRequest, "Reply | None", Result]


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
        self._run(self.quit_steps())

    @abstractmethod
    def open(self) -> Reply | None:
        """Connect unless connected, blocking; return the failure, or None when mails can be sent."""

    @abstractmethod
    def connect_steps(self) -> TransportSteps[Reply | None]:
        """Connect unless connected, as a generator."""

    @abstractmethod
    def send_steps(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,
        is_dotless: bool = False,
    ) -> TransportSteps[Reply]:
        """Send one message, whose line ends are CRLF, as a generator.

        ``following`` is the envelope (sender, recipient) of the mail that will most likely be next: with
        PIPELINING it is sent already. ``is_dotless`` says that no line begins with a dot.
        """

    @abstractmethod
    def quit_steps(self) -> TransportSteps[None]:
        """Send QUIT and close, as a generator."""

    def send(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,
        is_dotless: bool = False,
    ) -> Reply:
        """Send one message and block until the reply."""
        return self._run(
            self.send_steps(sender, recipient, message, following=following, is_dotless=is_dotless)
        )

    def _run(self, steps: TransportSteps[Result]) -> Result:
        try:
            wait = next(steps)
            while True:
                if isinstance(wait, ConnectRequest):
                    wait = steps.send(self.open())
                elif _wait_for(wait):
                    wait = next(steps)
                else:
                    wait = steps.throw(ConnectionLost("TimeoutError"))
        except StopIteration as done:
            result: Result = done.value
            return result


def _wait_for(wait: SocketWait) -> bool:
    poll = select.poll()
    poll.register(wait.descriptor, wait.event)
    return bool(poll.poll(1000 * wait.seconds))
