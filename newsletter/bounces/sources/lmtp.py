"""LMTP and SMTP server for reports, on a loopback address behind a real mail server (RFC 5321, RFC 2033).

It accepts mail for genuine return paths and for the base address of complaints only. A message is
acknowledged after it is committed; when the database is unavailable the client gets 451. It has no TLS
and no authentication, so it listens on a loopback address only.
"""

import logging
import re
import socketserver
from collections.abc import Callable

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from newsletter.bounces.receive import receive_message
from newsletter.bounces.reputation_guard import pause_if_needed
from newsletter.clock import utcnow
from newsletter.config.parsers import is_loopback
from newsletter.db import db
from newsletter.errors import StartRefused
from newsletter.mail.return_path import return_paths

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 10_000_000
_MAX_LINE_BYTES = 4096
_MAX_RECIPIENTS = 50
_MAX_ERRORS = 20
_TIMEOUT = 300.0  # RFC 5321, 4.5.3.2.7
_PATH_PATTERN = re.compile(r"(?:FROM|TO):\s*<([^<>\s]{0,320})>(?: .*)?", re.IGNORECASE)


class NotLoopback(StartRefused):
    """The address is not a loopback address; anyone who reaches the server may deliver mail."""


class LmtpServer(socketserver.ThreadingTCPServer):
    """Serves until ``shutdown``; a thread per connection."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, app: Flask, host: str, port: int) -> None:
        if not is_loopback(host):
            raise NotLoopback(reason=f"{host} is no loopback address. Put a mail server in front instead.")
        self.app = app
        super().__init__((host, port), _Session)


class _Session(socketserver.StreamRequestHandler):
    """One connection (RFC 5321; RFC 2033 after LHLO)."""

    server: LmtpServer
    timeout = _TIMEOUT

    def handle(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._is_lmtp = False
        errors = 0
        self._reply("220 newsletter: for what comes back")
        try:
            while errors < _MAX_ERRORS:
                line = self.rfile.readline(_MAX_LINE_BYTES)
                if not line.endswith(b"\n"):
                    return
                verb, _space, rest = line.decode("latin-1").strip().partition(" ")
                if verb.upper() == "QUIT":
                    self._reply("221 bye")
                    return
                act: Callable[[str], str] = getattr(self, f"_{verb.lower()}", self._unknown)
                answer = act(rest.strip()) if verb.upper() in _VERBS else self._unknown(rest)
                errors += answer.startswith("5")
                if answer:
                    self._reply(answer)
        except OSError:
            return  # the client is gone; what is committed stays

    def _reply(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode("ascii"))

    def _unknown(self, _rest: str) -> str:
        return "500 5.5.1 not known here"

    def _helo(self, _rest: str) -> str:
        self._rset("")
        return "250 newsletter"

    def _ehlo(self, _rest: str) -> str:
        self._rset("")
        self._reply("250-newsletter", "250-8BITMIME", "250-ENHANCEDSTATUSCODES", "250-PIPELINING")
        return f"250 SIZE {MAX_MESSAGE_BYTES}"

    def _lhlo(self, rest: str) -> str:
        self._is_lmtp = True
        return self._ehlo(rest)

    def _noop(self, _rest: str) -> str:
        return "250 2.0.0 ok"

    def _rset(self, _rest: str) -> str:
        self._sender, self._recipients = None, []
        return "250 2.0.0 ok"

    def _mail(self, rest: str) -> str:
        path = _PATH_PATTERN.fullmatch(rest)
        if path is None or not rest.upper().startswith("FROM"):
            return "501 5.5.4 say MAIL FROM:<address>"
        self._rset("")
        self._sender = path.group(1)
        return "250 2.1.0 ok"

    def _rcpt(self, rest: str) -> str:
        path = _PATH_PATTERN.fullmatch(rest)
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if path is None or not rest.upper().startswith("TO"):
            return "501 5.5.4 say RCPT TO:<address>"
        if len(self._recipients) >= _MAX_RECIPIENTS:
            return "452 4.5.3 too many at once"
        with self.server.app.app_context():
            if not _is_accepted_recipient(path.group(1)):
                return "550 5.1.1 nobody of that name here"
        self._recipients.append(path.group(1))
        return "250 2.1.5 ok"

    def _data(self, _rest: str) -> str:
        if not self._recipients:
            return "503 5.5.1 RCPT first"
        self._reply("354 go on")
        content = self._read_data()
        recipients = self._recipients
        self._rset("")
        answers = [self._receive(content, recipient) for recipient in recipients]
        if self._is_lmtp:  # one reply per recipient (RFC 2033, 4.2)
            self._reply(*answers[:-1])
            return answers[-1]
        return next((answer for answer in answers if not answer.startswith("2")), answers[0])

    def _read_data(self) -> bytes | None:
        """Read up to the final dot, undoing dot-stuffing; None when it is too large."""
        lines, size = [], 0
        while (line := self.rfile.readline(MAX_MESSAGE_BYTES)) not in {b".\r\n", b".\n"}:
            if not line.endswith(b"\n"):
                raise ConnectionResetError  # cut off: without a reply the client retries
            line = line.removeprefix(b".")
            size += len(line)
            if size <= MAX_MESSAGE_BYTES:
                lines.append(line)
        return b"".join(lines) if size <= MAX_MESSAGE_BYTES else None

    def _receive(self, content: bytes | None, recipient: str) -> str:
        if content is None:
            return "552 5.3.4 too large"
        with self.server.app.app_context():
            try:
                receive_message(content, source="smtp", now=utcnow(), recipients=[recipient])
                db.session.commit()
                pause_if_needed(utcnow())
            except SQLAlchemyError:
                log.exception("report not taken in")
                db.session.rollback()
                return "451 4.3.0 come back later"
        return "250 2.0.0 taken"


_VERBS = {"HELO", "EHLO", "LHLO", "NOOP", "RSET", "MAIL", "RCPT", "DATA"}


def _is_accepted_recipient(address: str) -> bool:
    paths = return_paths()
    return address.lower() == paths.base.lower() or next(paths.find(address), None) is not None
