"""One SMTP connection (RFC 5321, 2920): what is said on it, and which reply belongs to what.

``smtplib`` opens the connection, encrypts it and logs in. From there each mail is ours: its envelope
in one write where the server offers PIPELINING, and the next envelope behind the final dot, so that
a mail costs one round trip. A server that does not offer it hears one command at a time.
"""

import smtplib
import socket
from typing import NamedTuple

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


class Envelope(NamedTuple):
    """Who a mail is from and to, as the server hears it."""

    sender: str
    recipient: str

    @property
    def commands(self) -> tuple[bytes, bytes, bytes]:
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
        self._buffer = bytearray()
        self._has_pipelining = host.has_extn("pipelining")
        self._announced: Envelope | None = None
        self._needs_reset = False
        self._dot_waits = max(1, round(min(_DOT_PATIENCE * timeout, _LONGEST_PATIENCE) / timeout))
        #: How many mails it has been used for.
        self.mails = 0

    def is_ready_for(self, envelope: Envelope) -> bool:
        """Tell whether this mail may come next; False when another has been announced already."""
        return self._announced in {None, envelope}

    def propose(self, envelope: Envelope) -> Answer | None:
        """Announce a mail, unless that is done; None when the server waits for it, else its refusal."""
        self.mails += 1
        if self._announced is not None:
            self._announced = None
            return self._read_refusal(3)
        if self._buffer:
            raise Lost("a reply to nothing")
        commands: tuple[bytes, ...] = envelope.commands
        if self._needs_reset:
            self._needs_reset = False
            commands = (b"RSET\r\n", *commands)
        if self._has_pipelining:
            self._write(b"".join(commands))
            return self._read_refusal(len(commands))
        for command in commands:
            self._write(command)
            answer = self._read()
            if not _lets_go_on(answer, is_last=command is commands[-1]):
                self._needs_reset = True
                return _refusal(answer)
        return None

    def hand_over(self, message: bytes, following: Envelope | None = None) -> Answer:
        """Send the content that the server waits for, dots doubled, and return its answer.

        ``following`` is announced in the same breath: the mail that ``propose`` will be asked for
        next. Another can then be sent only on another connection.
        """
        content = message + (b".\r\n" if message.endswith(b"\r\n") else b"\r\n.\r\n")
        if following is None or not self._has_pipelining:
            self._write(content)
        else:
            self._announced = following
            self._write(content + b"".join(following.commands), enough=len(content))
        try:
            return self._read(self._dot_waits)
        except Lost as error:
            error.had_all = True
            raise

    def quit(self) -> None:
        """Say goodbye, where that would not be taken for the content of a mail."""
        if self._announced is None:
            self._write(b"QUIT\r\n")
            self._read()

    def close(self) -> None:
        """Hang up without a word: what was announced is then not sent."""
        self._host.close()

    def _read_refusal(self, count: int) -> Answer | None:
        """Read the replies to a group of commands that ends with DATA."""
        refusal = None
        for number in range(1, count + 1):
            answer = self._read()
            if refusal is None and not _lets_go_on(answer, is_last=number == count):
                refusal = answer
            if answer.is_closing:
                return answer
        if refusal is None:
            return None
        refusal = _refusal(refusal)
        self._needs_reset = True
        if answer.code == _CONTENT_PLEASE:
            # It takes content although nobody is to get it: an empty one (RFC 2920, 3.1).
            self._write(b".\r\n")
            self._read()
        return refusal

    def _write(self, content: bytes, enough: int | None = None) -> None:
        """Send all of it. When that fails, ``enough`` says from which octet on the server has a mail."""
        sent = 0
        rest = memoryview(content)
        try:
            while rest:
                step = self._sock.send(rest)
                sent += step
                rest = rest[step:]
        except OSError as error:
            raise Lost(type(error).__name__, had_all=enough is not None and sent >= enough) from error

    def _read(self, waits: int = 1) -> Answer:
        """Return the next reply, all its lines."""
        lines: list[bytes] = []
        while len(lines) < _MOST_LINES:
            line = self._read_line(waits)
            code, separator = line[:3], line[3:4]
            if not code.isdigit() or separator not in {b" ", b"-", b""}:
                raise Lost("no reply but something else")
            lines.append(line[4:].strip())
            if separator != b"-":
                return Answer(int(code), b" ".join(lines))
        raise Lost("a reply without an end")

    def _read_line(self, waits: int) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise Lost("a line without an end")
            self._buffer += self._receive(waits)
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _receive(self, waits: int) -> bytes:
        for _wait in range(waits):
            try:
                received = self._sock.recv(8192)
            except TimeoutError:
                continue
            except OSError as error:
                raise Lost(type(error).__name__) from error
            if not received:
                raise Lost("SMTPServerDisconnected")
            return received
        raise Lost("TimeoutError")


def _refusal(answer: Answer) -> Answer:
    if answer.code < 400:  # noqa: PLR2004 - neither 4yz nor 5yz: this is an answer to something else
        raise Lost("out of step")
    return answer


def _lets_go_on(answer: Answer, *, is_last: bool) -> bool:
    return answer.code == _CONTENT_PLEASE if is_last else 200 <= answer.code < 300  # noqa: PLR2004 - 2yz
