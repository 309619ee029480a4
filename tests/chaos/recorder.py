"""A mail server in a process of its own that writes down every mail, and misbehaves on demand.

    python -m tests.chaos.recorder PORT FILE [MODE]

Offers PIPELINING. A line for each mail goes to FILE before it is answered: "taken" and the
recipient. Modes: drop (breaks off at random stages), refuse (4xx and 5xx by recipient), greylist,
stall (falls silent now and then), close (hangs up after 20 mails). Several may be joined by commas.
"""

import asyncio
import random
import sys
from pathlib import Path

CLOSES_AFTER = 20
#: How likely, at each of the four stages of a mail.
DROPS, STALLS = 0.02, 0.002


class Recorder(asyncio.Protocol):
    """One connection."""

    modes: frozenset[str] = frozenset()
    file = Path()
    seen: set[str] = set()  # noqa: RUF012 - shared on purpose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.buffer = transport, bytearray()
        self.recipient, self.in_data, self.is_gone, self.mails = "", False, False, 0
        self.say("220 recorder.example ESMTP")

    def say(self, reply: str) -> None:
        """Answer, unless a mood forbids it."""
        if not self.is_gone:
            self.transport.write(reply.encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        """Work off every complete command and content."""
        self.buffer += data
        while not self.is_gone:
            mark = b"\r\n.\r\n" if self.in_data else b"\r\n"
            if self.in_data and self.buffer.startswith(b".\r\n"):
                self.in_data = False
                del self.buffer[:3]
                self.say("554 5.5.1 no content")
                continue
            end = self.buffer.find(mark)
            if end < 0:
                return
            piece = bytes(self.buffer[:end])
            del self.buffer[: end + len(mark)]
            if self.moody("message" if self.in_data else piece[:4].decode("ascii", "replace")):
                return
            self.take() if self.in_data else self.obey(piece.decode("ascii"))

    def moody(self, _stage: str) -> bool:
        """Drop or stall, by chance."""
        drops = "drop" in self.modes and random.random() < DROPS
        if not drops and not ("stall" in self.modes and random.random() < STALLS):
            return False
        self.is_gone = True
        if self.in_data:  # the content is here: it counts as taken, whatever is answered
            self.note("unanswered")
        if drops:
            self.transport.abort()
        return True

    def take(self) -> None:
        """Write the mail down, then answer."""
        self.in_data, self.mails = False, self.mails + 1
        self.note("taken")
        self.say("250 2.0.0 taken")

    def note(self, what: str) -> None:
        """Write a line."""
        with self.file.open("a", encoding="ascii") as file:
            file.write(f"{what} {self.recipient}\n")

    def obey(self, command: str) -> None:
        """Answer a command."""
        verb = command[:4].upper()
        if verb == "MAIL" and "close" in self.modes and self.mails >= CLOSES_AFTER:
            self.say("421 4.7.0 enough for one connection")
            self.is_gone = True
            self.transport.close()
        elif verb == "RCPT":
            self.recipient = command[command.index("<") + 1 : command.index(">")]
            self.rcpt()
        elif verb == "DATA":
            self.in_data = bool(self.recipient)
            self.say("354 go on" if self.in_data else "554 5.5.1 no recipients")
        elif verb == "EHLO":
            self.transport.write(b"250-recorder.example\r\n250 PIPELINING\r\n")
        else:
            self.recipient = "" if verb in {"MAIL", "RSET"} else self.recipient
            self.say("221 bye" if verb == "QUIT" else "250 2.0.0 ok")

    def rcpt(self) -> None:
        """Take a recipient, or not."""
        number = int("".join(filter(str.isdigit, self.recipient.partition("@")[0])) or 0)
        fresh = self.recipient not in self.seen
        self.seen.add(self.recipient)
        refusal = ""
        if "refuse" in self.modes:
            refusal = {0: "550 5.1.1 no such person", 1: "451 4.3.0 not now" if fresh else ""}.get(
                number % 10, ""
            )
        if not refusal and "greylist" in self.modes and fresh:
            refusal = "451 4.7.1 come back later"
        if refusal:
            self.recipient = ""
        self.say(refusal or "250 2.1.5 ok")


async def main(port: int, file: Path, mode: str) -> None:
    """Serve until killed."""
    Recorder.file, Recorder.modes = file, frozenset(mode.split(","))
    server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", port, backlog=300)
    await server.serve_forever()


if __name__ == "__main__":
    Path(sys.argv[2]).touch()
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), "".join(sys.argv[3:4])))
