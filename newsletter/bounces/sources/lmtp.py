"""A small mail server for what comes back: LMTP or SMTP on a loopback address, behind a real one.

It takes mail for genuine return paths and for the bare address of complaints, and nothing else. A
message is answered for after it has been committed; when the database is away the sender is asked to
come back later. It knows no TLS and no login, so it listens on this machine only.
"""

import logging
import re
import socketserver
from collections.abc import Callable

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from newsletter.bounces.receive import take_in
from newsletter.bounces.reputation_guard import stop_if_needed
from newsletter.clock import utcnow
from newsletter.config.parsers import is_loopback
from newsletter.db import db
from newsletter.errors import StartRefused
from newsletter.mail.return_path import return_paths

log = logging.getLogger(__name__)

LARGEST = 10_000_000
_LINE = 4096
_MOST_RECIPIENTS = 50
_MOST_ERRORS = 20
_TIMEOUT = 300.0  # RFC 5321, 4.5.3.2.7
_PATH = re.compile(r"(?:FROM|TO):\s*<([^<>\s]{0,320})>(?: .*)?", re.IGNORECASE)


class NotLoopback(StartRefused):
    """Whoever can reach it may hand mail over."""


class Listener(socketserver.ThreadingTCPServer):
    """Listens until ``shutdown``; each connection is a thread."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, app: Flask, host: str, port: int) -> None:
        if not is_loopback(host):
            raise NotLoopback(reason=f"{host} is no loopback address. Put a mail server in front instead.")
        self.app = app
        super().__init__((host, port), _Conversation)


class _Conversation(socketserver.StreamRequestHandler):
    """One connection (RFC 5321; RFC 2033 after LHLO)."""

    server: Listener
    timeout = _TIMEOUT

    def handle(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._is_lmtp = False
        errors = 0
        self._say("220 newsletter: for what comes back")
        try:
            while errors < _MOST_ERRORS:
                line = self.rfile.readline(_LINE)
                if not line.endswith(b"\n"):
                    return
                verb, _space, rest = line.decode("latin-1").strip().partition(" ")
                if verb.upper() == "QUIT":
                    self._say("221 bye")
                    return
                act: Callable[[str], str] = getattr(self, f"_{verb.lower()}", self._unknown)
                answer = act(rest.strip()) if verb.upper() in _VERBS else self._unknown(rest)
                errors += answer.startswith("5")
                if answer:
                    self._say(answer)
        except OSError:
            return  # the other side is gone: what was committed is committed

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode("ascii"))

    def _unknown(self, _rest: str) -> str:
        return "500 5.5.1 not known here"

    def _helo(self, _rest: str) -> str:
        self._rset("")
        return "250 newsletter"

    def _ehlo(self, _rest: str) -> str:
        self._rset("")
        self._say("250-newsletter", "250-8BITMIME", "250-ENHANCEDSTATUSCODES", "250-PIPELINING")
        return f"250 SIZE {LARGEST}"

    def _lhlo(self, rest: str) -> str:
        self._is_lmtp = True
        return self._ehlo(rest)

    def _noop(self, _rest: str) -> str:
        return "250 2.0.0 ok"

    def _rset(self, _rest: str) -> str:
        self._sender, self._recipients = None, []
        return "250 2.0.0 ok"

    def _mail(self, rest: str) -> str:
        path = _PATH.fullmatch(rest)
        if path is None or not rest.upper().startswith("FROM"):
            return "501 5.5.4 say MAIL FROM:<address>"
        self._rset("")
        self._sender = path.group(1)
        return "250 2.1.0 ok"

    def _rcpt(self, rest: str) -> str:
        path = _PATH.fullmatch(rest)
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if path is None or not rest.upper().startswith("TO"):
            return "501 5.5.4 say RCPT TO:<address>"
        if len(self._recipients) >= _MOST_RECIPIENTS:
            return "452 4.5.3 too many at once"
        with self.server.app.app_context():
            if not _is_ours(path.group(1)):
                return "550 5.1.1 nobody of that name here"
        self._recipients.append(path.group(1))
        return "250 2.1.5 ok"

    def _data(self, _rest: str) -> str:
        if not self._recipients:
            return "503 5.5.1 RCPT first"
        self._say("354 go on")
        content = self._content()
        recipients = self._recipients
        self._rset("")
        answers = [self._take_in(content, recipient) for recipient in recipients]
        if self._is_lmtp:  # it answers for each recipient
            self._say(*answers[:-1])
            return answers[-1]
        return next((answer for answer in answers if not answer.startswith("2")), answers[0])

    def _content(self) -> bytes | None:
        """Read up to the final dot; None when it is too large."""
        lines, size = [], 0
        while (line := self.rfile.readline(LARGEST)) not in {b".\r\n", b".\n"}:
            if not line.endswith(b"\n"):
                raise ConnectionResetError  # cut off: the sender has no answer and tries again
            line = line.removeprefix(b".")
            size += len(line)
            if size <= LARGEST:
                lines.append(line)
        return b"".join(lines) if size <= LARGEST else None

    def _take_in(self, content: bytes | None, recipient: str) -> str:
        if content is None:
            return "552 5.3.4 too large"
        with self.server.app.app_context():
            try:
                take_in(content, source="smtp", now=utcnow(), recipients=[recipient])
                db.session.commit()
                stop_if_needed(utcnow())
            except SQLAlchemyError:
                log.exception("report not taken in")
                db.session.rollback()
                return "451 4.3.0 come back later"
        return "250 2.0.0 taken"


_VERBS = {"HELO", "EHLO", "LHLO", "NOOP", "RSET", "MAIL", "RCPT", "DATA"}


def _is_ours(address: str) -> bool:
    paths = return_paths()
    return address.lower() == paths.base.lower() or next(paths.find(address), None) is not None
