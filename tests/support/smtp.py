"""A real mail server on this machine, which does what a test tells it."""

import asyncio
import email
import email.policy
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from enum import Enum
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

#: A certificate for localhost that nobody has reason to trust, with its key.
CERTIFICATE = Path(__file__).with_name("self_signed.pem")
_FOR_EVER = 3600.0


class _Deed(Enum):
    DROP = "drop"
    STALL = "stall"


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came over the wire, without the doubled dots."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def parsed(self) -> EmailMessage:
        """The message as a mail client reads it."""
        return email.message_from_bytes(self.content, policy=email.policy.default)


@dataclass(slots=True)
class _Rule:
    stage: str
    deed: str | _Deed
    to: str | None
    times: int | None

    def applies(self, stage: str, to: str | None) -> bool:
        return self.stage == stage and self.times != 0 and self.to in {None, to}


class SmtpServer:
    """Listens on 127.0.0.1 and accepts everything, but for what it was told.

    A stage is ``connect``, a verb (``EHLO``, ``MAIL``, ``RCPT``, ``DATA``), or ``message``: after
    the final dot. Each rule may hold for one recipient only, and for some times only.
    """

    def __init__(
        self, *, starttls: bool = False, implicit_tls: bool = False, pipelining: bool = False
    ) -> None:
        self.pipelining = pipelining
        #: Those it took responsibility for, in order.
        self.messages: list[Received] = []
        #: All whose content arrived, whatever was answered, if anything.
        self.handed_over: list[Received] = []
        #: The stages of every connection, in order.
        self.heard: list[str] = []
        self._rules: list[_Rule] = []
        self._seen: set[str] | None = None
        self._starttls, self._implicit = starttls, implicit_tls
        self._controller: _Controller | None = None
        self.port = 0
        self.start()

    @property
    def settings(self) -> dict[str, object]:
        """What ``make_app`` needs to send through here."""
        return {"mail_server": "127.0.0.1", "mail_port": self.port, "mail_timeout": 5}

    def start(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        controller = self._controller = _Controller(self, listener, self._starttls, self._implicit)
        controller.start()
        self.heard.clear()  # the controller has tried its own door

    def stop(self) -> None:
        """Close the port and hang up; who connects from now on is refused."""
        if self._controller is not None:
            self._controller.hang_up()
            self._controller.stop()
            self._controller = None

    def answer(self, stage: str, reply: str, *, to: str | None = None, times: int | None = None) -> None:
        """Give this reply at a stage, such as ``"550 5.1.1 unknown"`` at ``RCPT``."""
        self._rules.append(_Rule(stage, reply, to, times))

    def mend(self) -> None:
        """Take everything from now on."""
        self._rules.clear()

    def drop(self, stage: str, *, to: str | None = None, times: int | None = None) -> None:
        """Break the connection off at a stage, without a word."""
        self._rules.append(_Rule(stage, _Deed.DROP, to, times))

    def stall(self, stage: str, *, to: str | None = None, times: int | None = None) -> None:
        """Say nothing any more from a stage on."""
        self._rules.append(_Rule(stage, _Deed.STALL, to, times))

    def greylist(self) -> None:
        """Refuse each recipient for now the first time, accept the next time."""
        self._seen = set()

    def wait_for(self, stage: str, seconds: float = 90) -> bool:
        """Wait until somebody has come as far as a stage; False when nobody did in that time."""
        deadline = time.monotonic() + seconds
        while stage not in self.heard and time.monotonic() < deadline:
            time.sleep(0.02)
        return stage in self.heard

    def _deed_at(self, stage: str, to: str | None) -> str | _Deed | None:
        self.heard.append(stage)
        if self._seen is not None and stage == "RCPT" and to is not None and to not in self._seen:
            self._seen.add(to)
            return "451 4.7.1 Greylisted, come back later"
        rule = next((rule for rule in self._rules if rule.applies(stage, to)), None)
        if rule is None:
            return None
        if rule.times is not None:
            rule.times -= 1
        return rule.deed


class _Controller(Controller):
    def __init__(self, server: SmtpServer, listener: socket.socket, starttls: bool, implicit: bool) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        self._owner, self._listener = server, listener
        self._tls = context if starttls else None
        self.lines: list[asyncio.Transport] = []
        host, port = listener.getsockname()
        super().__init__(
            _Handler(server), hostname=host, port=port, ssl_context=context if implicit else None
        )

    def factory(self) -> SMTP:
        return _Smtp(
            self._owner,
            self.lines,
            self.handler,
            hostname="mail.example",
            tls_context=self._tls,
            loop=self.loop,
        )

    def hang_up(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(5)

    async def _hang_up(self) -> None:
        # aiosmtpd leaves some of them open: those at which a handshake failed, those that just went.
        for line in self.lines:
            line.abort()
        dialogues = asyncio.all_tasks() - {asyncio.current_task()}
        for dialogue in dialogues:
            dialogue.cancel()
        await asyncio.gather(*dialogues, return_exceptions=True)

    def _create_server(self) -> Any:
        # Bound already: the port is known, and nobody can take it meanwhile.
        return self.loop.create_server(self._factory_invoker, sock=self._listener, ssl=self.ssl_context)


class _Smtp(SMTP):
    def __init__(self, owner: SmtpServer, lines: list[asyncio.Transport], *args: Any, **kwargs: Any) -> None:
        self._owner, self._lines = owner, lines
        super().__init__(*args, **kwargs)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lines.append(cast(asyncio.Transport, transport))
        super().connection_made(transport)

    async def _handle_client(self) -> None:
        if await self.obeys("connect"):
            cast(asyncio.Transport, self.transport).close()
        else:
            await super()._handle_client()

    async def smtp_EHLO(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds it by this name
        await self._unless_told("EHLO", super().smtp_EHLO, arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._unless_told("MAIL", super().smtp_MAIL, arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._unless_told(
            "RCPT", super().smtp_RCPT, arg, to=(arg or "").removeprefix("TO:").strip("<>")
        )

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        await self._unless_told("DATA", super().smtp_DATA, arg, self.recipient)

    @property
    def recipient(self) -> str | None:
        """The first recipient of the message under way."""
        return self.envelope.rcpt_tos[0] if self.envelope and self.envelope.rcpt_tos else None

    async def _unless_told(
        self, stage: str, usual: Callable[[Any], Any], arg: str | None, to: str | None = None
    ) -> None:
        if not await self.obeys(stage, to):
            await usual(arg)

    async def obeys(self, stage: str, to: str | None = None) -> bool:
        """Do what the script says of this stage; False when it says nothing."""
        deed = self._owner._deed_at(stage, to)
        if isinstance(deed, str):
            await self.push(deed)
        elif deed is not None:
            await self.misbehave(deed)
        return deed is not None

    async def misbehave(self, deed: _Deed) -> None:
        """Drop or stall; never returns."""
        if deed is _Deed.STALL:
            await asyncio.sleep(_FOR_EVER)
        cast(asyncio.Transport, self.transport).abort()
        raise asyncio.CancelledError


class _Handler:
    def __init__(self, owner: SmtpServer) -> None:
        self._owner = owner

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds it by this name
        self, _server: _Smtp, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return ["250-PIPELINING", *responses] if self._owner.pipelining else responses

    async def handle_DATA(self, server: _Smtp, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        received = Received(
            envelope.mail_from or "", tuple(envelope.rcpt_tos), cast(bytes, envelope.original_content)
        )
        self._owner.handed_over.append(received)
        deed = self._owner._deed_at("message", server.recipient)
        if isinstance(deed, _Deed):
            await server.misbehave(deed)
        reply = str(deed or "250 2.0.0 Queued")
        if reply.startswith("2"):
            self._owner.messages.append(received)
        return reply
