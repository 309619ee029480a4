"""A mail server that answers late, as one far away does, and keeps nothing.

    python benchmarks/slow_sink.py PORT MILLISECONDS

Each batch of replies is held back for one round trip. It offers PIPELINING.
"""

import asyncio
import sys


class Sink(asyncio.Protocol):
    """One connection; it looks at verbs and final dots only."""

    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy
        self.transport, self.buffer, self.in_data = transport, bytearray(), False
        self._say(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer all that is complete, together."""
        self.buffer += data
        replies = bytearray()
        while True:
            mark = b"\r\n.\r\n" if self.in_data else b"\r\n"
            end = self.buffer.find(mark)
            if end < 0:
                break
            verb = b"." if self.in_data else bytes(self.buffer[:4]).upper()
            del self.buffer[: end + len(mark)]
            self.in_data = verb == b"DATA"
            replies += {
                b"EHLO": b"250-sink.example\r\n250 PIPELINING\r\n",
                b"DATA": b"354 go on\r\n",
                b"QUIT": b"221 bye\r\n",
            }.get(verb, b"250 2.0.0 ok\r\n")
        if replies:
            self._say(bytes(replies))

    def _say(self, reply: bytes) -> None:
        asyncio.get_running_loop().call_later(self.delay, self.transport.write, reply)


async def main(port: int, milliseconds: float) -> None:
    """Serve until killed."""
    Sink.delay = milliseconds / 1000
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=300)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
