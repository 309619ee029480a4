"""One SMTP connection (RFC 5321, 2920): what is said on it, and which reply belongs to what.

``smtplib`` opens the connection, encrypts it and logs in. From there each mail is ours: its envelope
in one write where the server offers PIPELINING, and the next envelope behind the final dot, so that
a mail costs one round trip. A server that does not offer it hears one command at a time.

Nothing here waits: what would is a generator that yields what it waits for. Whoever runs it decides
how, ``Transport.send`` for one connection and ``sending.rounds`` for many in one thread.
"""

import select
import smtplib
import socket
import ssl
from collections.abc import Generator
from typing import NamedTuple, TypeVar

from newsletter.mail.replies.models import Stage

Result = TypeVar("Result")

#: RFC 5321, 4.5.3.1.5 allows 512 octets; servers with long links in their replies do not keep to it.
_LONGEST_LINE = 4096
_MOST_LINES = 100
_CLOSING = 421
_CONTENT_PLEASE = 354
#: The answer to the final dot may take ten times as long as any other (RFC 5321, 4.5.3.2.6).
_DOT_PATIENCE = 10
_LONGEST_PATIENCE = 600.0


class Lost(Exception):
    """The connection is of no use any more. ``had_all``: the server may have the whole mail."""

    def __init__(self, reason: str, *, had_all: bool = False) -> None:
        super().__init__(reason)
        self.had_all = had_all


class Wait(NamedTuple):
    """What must happen before a dialogue goes on; when it does not, ``Lost`` is thrown in."""

    descriptor: int
    #: POLLIN or POLLOUT.
    event: int
    seconds: float


#: Yields what is waited for, and returns.
Steps = Generator[Wait, None, Result]


class Envelope(NamedTuple):
    """Who a mail is from and to, as the server hears it."""

    sender: str
    recipient: str

    @property
    def commands(self) -> tuple[bytes, ...]:
        """What announces a mail."""
        return (
            f"MAIL FROM:<{self.sender}>\r\n".encode("ascii"),
            f"RCPT TO:<{self.recipient}>\r\n".encode("ascii"),
            b"DATA\r\n",
        )


class Answer(NamedTuple):
    """A server's reply."""

    code: int
    text: bytes
    #: Of the command that it answers.
    stage: Stage = Stage.DOT

    @property
    def is_closing(self) -> bool:
        """True when the server hangs up behind it (RFC 5321, 3.8)."""
        return self.code == _CLOSING


class Dialogue:
    """A connection that has said EHLO. Every method raises Lost when it breaks."""

    def __init__(self, host: smtplib.SMTP, timeout: float) -> None:
        if host.sock is None:
            raise Lost("not connected")
        self._host, self._sock = host, host.sock
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.settimeout(0)
        self._tls = self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        self._buffer = bytearray()
        #: Of the reply that is being read.
        self._lines: list[bytes] = []
        self._has_pipelining = host.has_extn("pipelining")
        self._announced: Envelope | None = None
        self._needs_reset = False
        self._timeout, self._dot_timeout = (
            timeout,
            max(timeout, min(_DOT_PATIENCE * timeout, _LONGEST_PATIENCE)),
        )
        #: How many mails it has been used for.
        self.mails = 0

    def is_ready_for(self, envelope: Envelope) -> bool:
        """Tell whether this mail may come next; False when another has been announced already."""
        return self._announced is None or self._announced == envelope

    def propose(self, envelope: Envelope) -> Steps[Answer | None]:
        """Announce a mail, unless that is done; None when the server waits for it, else its refusal."""
        self.mails += 1
        if self._announced is not None:
            self._announced = None
            return (yield from self._read_refusal(3))
        if self._buffer:
            raise Lost("a reply to nothing")
        commands = envelope.commands
        if self._needs_reset:
            self._needs_reset = False
            commands = (b"RSET\r\n", *commands)
        if self._has_pipelining:
            yield from self._write(b"".join(commands))
            return (yield from self._read_refusal(len(commands)))
        for number, command in enumerate(commands, 1):
            yield from self._write(command)
            answer = yield from self._read()
            if not _lets_go_on(answer, is_last=command is commands[-1]):
                self._needs_reset = True
                return _refusal(answer._replace(stage=_stage(number, len(commands))))
        return None

    def hand_over(self, message: bytes, following: Envelope | None = None) -> Steps[Answer]:
        """Send the content that the server waits for, dots doubled, and return its answer.

        ``following`` is announced in the same breath: the mail that ``propose`` will be asked for
        next. Another can then be sent only on another connection.
        """
        dot = b".\r\n" if message.endswith(b"\r\n") else b"\r\n.\r\n"
        enough = len(message) + len(dot)
        if following is None or not self._has_pipelining:
            yield from self._write(message + dot)
        else:
            self._announced = following
            yield from self._write(b"".join((message, dot, *following.commands)), enough)
        try:
            return (yield from self._read(self._dot_timeout))
        except Lost as error:
            error.had_all = True
            raise

    def quit(self) -> Steps[None]:
        """Say goodbye, where that would not be taken for the content of a mail."""
        if self._announced is None:
            yield from self._write(b"QUIT\r\n")
            yield from self._read()

    def close(self) -> None:
        """Hang up without a word: what was announced is then not sent."""
        self._host.close()

    def _read_refusal(self, count: int) -> Steps[Answer | None]:
        """Read the replies to a group of commands that ends with DATA."""
        refusal = None
        for number in range(1, count + 1):
            # Most often all of them have come at once.
            answer = self._take() or (yield from self._read())
            if refusal is None and not _lets_go_on(answer, is_last=number == count):
                refusal = answer._replace(stage=_stage(number, count))
            if answer.is_closing:
                return answer
        if refusal is None:
            return None
        refusal = _refusal(refusal)
        self._needs_reset = True
        if answer.code == _CONTENT_PLEASE:
            # It takes content although nobody is to get it: an empty one (RFC 2920, 3.1).
            yield from self._write(b".\r\n")
            yield from self._read()
        return refusal

    def _write(self, content: bytes, enough: int | None = None) -> Steps[None]:
        """Send all of it. When that fails, ``enough`` says from which octet on the server has a mail."""
        sent = 0
        try:
            while sent < len(content):
                event = select.POLLOUT
                try:
                    sent += self._sock.send(memoryview(content)[sent:] if sent else content)
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except (BlockingIOError, ssl.SSLWantWriteError):
                    pass
                else:
                    continue
                yield Wait(self._sock.fileno(), event, self._timeout)
        except (OSError, Lost) as error:
            reason = str(error) if isinstance(error, Lost) else type(error).__name__
            raise Lost(reason, had_all=enough is not None and sent >= enough) from error

    def _read(self, seconds: float | None = None) -> Steps[Answer]:
        """Return the next reply, all its lines."""
        while (answer := self._take()) is None:
            self._buffer += yield from self._receive(seconds or self._timeout)
        return answer

    def _take(self) -> Answer | None:
        """Return the next reply when all its lines are here."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            code, separator = line[:3], line[3:4].strip()
            if not code.isdigit() or separator not in {b"", b"-"}:
                raise Lost("no reply but something else")
            self._lines.append(line[4:].strip())
            if not separator:
                lines, self._lines = self._lines, []
                return Answer(int(code), b" ".join(lines))
            if len(self._lines) == _MOST_LINES:
                raise Lost("a reply without an end")
        if len(self._buffer) > _LONGEST_LINE:
            raise Lost("a line without an end")
        return None

    def _receive(self, seconds: float) -> Steps[bytes]:
        # Encrypted octets may have been read from the wire already.
        event = 0 if self._tls is not None and self._tls.pending() else select.POLLIN
        while True:
            if event:
                yield Wait(self._sock.fileno(), event, seconds)
            try:
                received = self._sock.recv(8192)
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            except (BlockingIOError, ssl.SSLWantReadError):
                event = select.POLLIN
            except OSError as error:
                raise Lost(type(error).__name__) from error
            else:
                if not received:
                    raise Lost("SMTPServerDisconnected")
                return received


def _stage(number: int, count: int) -> Stage:
    """Return the step of one of the commands that announce a mail; RSET may stand before them."""
    return (Stage.DATA, Stage.RCPT, Stage.MAIL, Stage.MAIL)[count - number]


def _refusal(answer: Answer) -> Answer:
    if answer.code < 400:  # noqa: PLR2004 - neither 4yz nor 5yz: this is an answer to something else
        raise Lost("out of step")
    return answer


def _lets_go_on(answer: Answer, *, is_last: bool) -> bool:
    return answer.code == _CONTENT_PLEASE if is_last else 200 <= answer.code < 300  # noqa: PLR2004 - 2yz
