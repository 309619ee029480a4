"""Many connections in one thread: who may go on does, and all who need the ledger go there together.

A connection is a generator that yields what it waits for: its socket, being connected, a pause, or its
turn at the ledger. Threads would spend half of their time handing the interpreter to each other.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

from flask import Flask

from newsletter.mail.smtp.pipelining import Lost, Wait
from newsletter.mail.smtp.transport import Opening, Transport

Turn = TypeVar("Turn")

#: How exactly the time is kept that a server has for an answer.
_LOOK_SECONDS = 0.1


class Pause(NamedTuple):
    """Yielded to go on after some seconds."""

    seconds: float


#: One connection's work. Yields a Wait, Opening, Pause, or its turn at the ledger.
Work = Generator[Any, Any, int]


class _Line:
    """A connection and when it stops waiting."""

    __slots__ = ("turn", "until", "wait", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.wait: Wait | None = None
        self.until = 0.0
        self.turn: Any = None


class Rounds(Generic[Turn]):
    """Runs the connections of one pass over a campaign until all have ended."""

    def __init__(self, app: Flask, settle: Callable[[Sequence[Turn]], None]) -> None:
        self._app, self._settle = app, settle
        self._poll = select.poll()
        #: By the descriptor that each waits for.
        self._waiting: dict[int, _Line] = {}
        self._pausing: list[_Line] = []
        self._asking: list[_Line] = []
        self._opened: deque[tuple[_Line, Any, BaseException | None]] = deque()
        self._alive = self._opening = self._returned = 0
        self._looked_at = 0.0
        self._error: BaseException | None = None

    def run(self, works: Iterable[Work]) -> int:
        """Return the sum of what they return; raise the first of their errors when all have ended."""
        lines = [_Line(work) for work in works]
        self._alive = len(lines)
        self._bell, self._ear = socket.socketpair()
        self._bell.settimeout(0)
        try:
            self._poll.register(self._ear, select.POLLIN)
            with ThreadPoolExecutor(len(lines), thread_name_prefix="connect") as self._openers:
                for line in lines:
                    self._go_on(line)
                while self._alive:
                    self._go_round()
        finally:
            for line in lines:
                line.work.close()
            self._bell.close()
            self._ear.close()
        if self._error is not None:
            raise self._error
        return self._returned

    def _go_round(self) -> None:
        for descriptor, _event in self._poll.poll(1000 * self._patience()):
            line = self._waiting.pop(descriptor, None)
            if line is not None:
                self._poll.unregister(descriptor)
                self._go_on(line)
        if self._opening:
            self._take_opened()
        now = time.perf_counter()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._give_up(now)
        if self._pausing:
            self._wake(now)
        if self._asking:
            self._exchange()

    def _patience(self) -> float:
        """Return for how many seconds nothing need be done unless a socket is ready."""
        if self._asking:
            return 0.0
        if not self._pausing:
            return _LOOK_SECONDS
        until = min(line.until for line in self._pausing)
        return min(max(until - time.perf_counter(), 0.0), _LOOK_SECONDS)

    def _go_on(self, line: _Line, sent: Any = None, error: BaseException | None = None) -> None:  # noqa: ANN401 - what it waits for
        try:
            wait = line.work.throw(error) if error is not None else line.work.send(sent)
        except StopIteration as done:
            self._alive -= 1
            self._returned += done.value
            return
        except Exception as raised:  # noqa: BLE001 - the others finish first
            self._alive -= 1
            self._error = self._error or raised
            return
        if type(wait) is Wait:
            line.until = time.perf_counter() + wait.seconds
            self._waiting[wait.descriptor] = line
            self._poll.register(wait.descriptor, wait.event)
        elif type(wait) is Pause:
            line.until = time.perf_counter() + wait.seconds
            self._pausing.append(line)
        elif type(wait) is Opening:
            self._opening += 1
            self._openers.submit(self._open, line, wait.transport)
        else:
            line.turn = wait
            self._asking.append(line)

    def _exchange(self) -> None:
        """Settle the turns of all who are there. While that is written others come: they are the next."""
        lines, self._asking = self._asking, []
        error: BaseException | None = None
        try:
            self._settle([line.turn for line in lines])
        except Exception as raised:  # noqa: BLE001 - each raises it for itself
            error = raised
        for line in lines:
            self._go_on(line, error=error)

    def _give_up(self, now: float) -> None:
        """Tell those whose server has been silent for too long."""
        for descriptor, line in [item for item in self._waiting.items() if item[1].until <= now]:
            del self._waiting[descriptor]
            self._poll.unregister(descriptor)
            self._go_on(line, error=Lost("TimeoutError"))

    def _wake(self, now: float) -> None:
        due = [line for line in self._pausing if line.until <= now]
        self._pausing = [line for line in self._pausing if line.until > now]
        for line in due:
            self._go_on(line)

    def _open(self, line: _Line, transport: Transport) -> None:
        try:
            with self._app.app_context():
                self._opened.append((line, transport.open(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._opened.append((line, None, error))
        self._bell.send(b".")

    def _take_opened(self) -> None:
        while self._opened:
            line, fault, error = self._opened.popleft()
            self._opening -= 1
            self._ear.recv(1)
            self._go_on(line, fault, error)
