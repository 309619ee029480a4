"""One SMTP connection with command pipelining (RFC 5321, RFC 2920), as generators without blocking.

``smtplib`` connects, encrypts and logs in. From there this module sends the commands: the envelope in
one write where the server offers PIPELINING, and the next envelope behind the final dot, so that a mail
costs one round trip. A server without PIPELINING gets one command at a time.

Where it would block, a generator yields a ``SocketWait``. ``Transport.send`` waits for one connection, the
event loop of sending for many in one thread.
"""

import select
import smtplib
import socket
import ssl
from collections.abc import Generator
from typing import NamedTuple, TypeVar

from newsletter.mail.replies.models import Stage

Result = TypeVar("Result")

#: RFC 5321, 4.5.3.1.5 allows 512 octets; servers with long links in their replies exceed it.
_MAX_LINE_OCTETS = 4096
_MAX_REPLY_LINES = 100
_SERVICE_CLOSING = 421
_START_MAIL_INPUT = 354
#: The answer to the final dot may take ten times as long as any other (RFC 5321, 4.5.3.2.6).
_FINAL_DOT_TIMEOUT_FACTOR = 10
_MAX_TIMEOUT_SECONDS = 600.0


class ConnectionLost(Exception):
    """The connection is lost. ``is_fully_sent``: the server may have accepted the whole mail."""

    def __init__(self, reason: str, *, is_fully_sent: bool = False) -> None:
        super().__init__(reason)
        self.is_fully_sent = is_fully_sent


class SocketWait(NamedTuple):
    """Yielded to wait for a socket; when the time is over, ``ConnectionLost`` is thrown in."""

    descriptor: int
    #: POLLIN or POLLOUT.
    event: int
    seconds: float


#: A generator that yields what it waits for, and returns a result.
SmtpSteps = Generator[SocketWait, None, Result]


class Envelope(NamedTuple):
    """The envelope of a mail: MAIL FROM and RCPT TO."""

    sender: str
    recipient: str

    @property
    def commands(self) -> tuple[bytes, ...]:
        """The commands of a mail up to DATA."""
        return (
            f"MAIL FROM:<{self.sender}>\r\n".encode("ascii"),
            f"RCPT TO:<{self.recipient}>\r\n".encode("ascii"),
            b"DATA\r\n",
        )


class SmtpReply(NamedTuple):
    """A server's reply."""

    code: int
    text: bytes
    #: Of the command that it answers.
    stage: Stage = Stage.DOT

    @property
    def is_closing(self) -> bool:
        """True for 421: the server closes the connection (RFC 5321, 3.8)."""
        return self.code == _SERVICE_CLOSING


class SmtpConnection:
    """A connection after EHLO. Every method raises ConnectionLost when it breaks."""

    def __init__(self, host: smtplib.SMTP, timeout: float) -> None:
        if host.sock is None:
            raise ConnectionLost("not connected")
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
            max(timeout, min(_FINAL_DOT_TIMEOUT_FACTOR * timeout, _MAX_TIMEOUT_SECONDS)),
        )
        #: How many mails it has been used for.
        self.mails = 0

    def is_ready_for(self, envelope: Envelope) -> bool:
        """Tell whether this mail may come next; False when another envelope has been sent already."""
        return self._announced is None or self._announced == envelope

    def send_envelope(self, envelope: Envelope) -> SmtpSteps[SmtpReply | None]:
        """Send the envelope, unless that is done; return None after 354, else the reply that refused it."""
        self.mails += 1
        if self._announced is not None:
            self._announced = None
            return (yield from self._read_replies(3))
        if self._buffer:
            raise ConnectionLost("a reply without a command")
        commands = envelope.commands
        if self._needs_reset:
            self._needs_reset = False
            commands = (b"RSET\r\n", *commands)
        if self._has_pipelining:
            yield from self._write(b"".join(commands))
            return (yield from self._read_replies(len(commands)))
        for number, command in enumerate(commands, 1):
            yield from self._write(command)
            answer = yield from self._read()
            if not _is_positive(answer, is_last=command is commands[-1]):
                self._needs_reset = True
                return _require_refusal(answer._replace(stage=_stage(number, len(commands))))
        return None

    def send_content(self, message: bytes, following: Envelope | None = None) -> SmtpSteps[SmtpReply]:
        """Send the content, already dot-stuffed, and return the reply to the final dot.

        The envelope of ``following``, the mail sent next, goes out in the same write. Any other mail
        can then only be sent on another connection.
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
        except ConnectionLost as error:
            error.is_fully_sent = True
            raise

    def quit(self) -> SmtpSteps[None]:
        """Send QUIT, unless the server waits for the content of a mail."""
        if self._announced is None:
            yield from self._write(b"QUIT\r\n")
            yield from self._read()

    def close(self) -> None:
        """Close the socket without QUIT: an envelope already sent comes to nothing."""
        self._host.close()

    def _read_replies(self, count: int) -> SmtpSteps[SmtpReply | None]:
        """Read the replies to a group of commands that ends with DATA."""
        refusal = None
        for number in range(1, count + 1):
            # Most often all replies have arrived together.
            answer = self._next_reply() or (yield from self._read())
            if refusal is None and not _is_positive(answer, is_last=number == count):
                refusal = answer._replace(stage=_stage(number, count))
            if answer.is_closing:
                return answer
        if refusal is None:
            return None
        refusal = _require_refusal(refusal)
        self._needs_reset = True
        if answer.code == _START_MAIL_INPUT:
            # It takes content although nobody is to get it: an empty one (RFC 2920, 3.1).
            yield from self._write(b".\r\n")
            yield from self._read()
        return refusal

    def _write(self, content: bytes, enough: int | None = None) -> SmtpSteps[None]:
        """Send all of it. From octet ``enough`` on the server may have a complete mail if that fails."""
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
                yield SocketWait(self._sock.fileno(), event, self._timeout)
        except (OSError, ConnectionLost) as error:
            reason = str(error) if isinstance(error, ConnectionLost) else type(error).__name__
            raise ConnectionLost(reason, is_fully_sent=enough is not None and sent >= enough) from error

    def _read(self, seconds: float | None = None) -> SmtpSteps[SmtpReply]:
        """Return the next reply, all its lines."""
        while (answer := self._next_reply()) is None:
            self._buffer += yield from self._receive(seconds or self._timeout)
        return answer

    def _next_reply(self) -> SmtpReply | None:
        """Return the next complete reply of the buffer; None when more has to be received."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            code, separator = line[:3], line[3:4].strip()
            if not code.isdigit() or separator not in {b"", b"-"}:
                raise ConnectionLost("no reply but something else")
            self._lines.append(line[4:].strip())
            if not separator:
                lines, self._lines = self._lines, []
                return SmtpReply(int(code), b" ".join(lines))
            if len(self._lines) == _MAX_REPLY_LINES:
                raise ConnectionLost("a reply without an end")
        if len(self._buffer) > _MAX_LINE_OCTETS:
            raise ConnectionLost("a line without an end")
        return None

    def _receive(self, seconds: float) -> SmtpSteps[bytes]:
        # Encrypted octets may have been read from the wire already.
        event = 0 if self._tls is not None and self._tls.pending() else select.POLLIN
        while True:
            if event:
                yield SocketWait(self._sock.fileno(), event, seconds)
            try:
                received = self._sock.recv(8192)
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            except (BlockingIOError, ssl.SSLWantReadError):
                event = select.POLLIN
            except OSError as error:
                raise ConnectionLost(type(error).__name__) from error
            else:
                if not received:
                    raise ConnectionLost("SMTPServerDisconnected")
                return received


def _stage(number: int, count: int) -> Stage:
    """Return the step of one of the commands that announce a mail; RSET may stand before them."""
    return (Stage.DATA, Stage.RCPT, Stage.MAIL, Stage.MAIL)[count - number]


def _require_refusal(answer: SmtpReply) -> SmtpReply:
    if answer.code < 400:  # noqa: PLR2004 - neither 4yz nor 5yz: this is an answer to something else
        raise ConnectionLost("out of step")
    return answer


def _is_positive(answer: SmtpReply, *, is_last: bool) -> bool:
    return answer.code == _START_MAIL_INPUT if is_last else 200 <= answer.code < 300  # noqa: PLR2004 - 2yz
