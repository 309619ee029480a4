"""Event loop for SMTP connections in one thread; their database work is batched.

A connection is a generator that yields what it waits for: its socket, being connected, a sleep, or the
batcher. All that wait for the batcher are submitted together. Threads would spend half of their time
passing the GIL to each other.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

from flask import Flask

from newsletter.mail.smtp.pipelining import ConnectionLost, SocketWait
from newsletter.mail.smtp.transport import ConnectRequest, Transport

Item = TypeVar("Item")

#: Seconds between two checks for time-outs of sockets.
_TIMEOUT_CHECK_SECONDS = 0.1


class Sleep(NamedTuple):
    """Yielded to resume after some seconds."""

    seconds: float


#: One connection's work. Yields a SocketWait, ConnectRequest, Sleep, or an item for the batcher.
ConnectionSteps = Generator[Any, Any, int]


class _Task:
    """A connection, what it waits for, and until when."""

    __slots__ = ("item", "steps", "until", "wait")

    def __init__(self, steps: ConnectionSteps) -> None:
        self.steps = steps
        self.wait: SocketWait | None = None
        self.until = 0.0
        self.item: Any = None


class EventLoop(Generic[Item]):
    """Runs connections until all have ended; ``submit`` gets the items of all that wait for it."""

    def __init__(self, app: Flask, submit: Callable[[Sequence[Item]], None]) -> None:
        self._app, self._submit = app, submit
        self._poll = select.poll()
        #: By the descriptor that each waits for.
        self._waiting: dict[int, _Task] = {}
        self._sleeping: list[_Task] = []
        self._submitting: list[_Task] = []
        self._connected: deque[tuple[_Task, Any, BaseException | None]] = deque()
        self._running = self._connecting = self._returned = 0
        self._checked_at = 0.0
        self._error: BaseException | None = None

    def run(self, connections: Iterable[ConnectionSteps]) -> int:
        """Return the sum of their results; raise the first of their errors when all have ended."""
        tasks = [_Task(steps) for steps in connections]
        self._running = len(tasks)
        self._wake_sender, self._wake_receiver = socket.socketpair()
        self._wake_sender.settimeout(0)
        try:
            self._poll.register(self._wake_receiver, select.POLLIN)
            with ThreadPoolExecutor(len(tasks), thread_name_prefix="connect") as self._connect_pool:
                for task in tasks:
                    self._resume(task)
                while self._running:
                    self._run_once()
        finally:
            for task in tasks:
                task.steps.close()
            self._wake_sender.close()
            self._wake_receiver.close()
        if self._error is not None:
            raise self._error
        return self._returned

    def _run_once(self) -> None:
        for descriptor, _event in self._poll.poll(1000 * self._poll_timeout()):
            task = self._waiting.pop(descriptor, None)
            if task is not None:
                self._poll.unregister(descriptor)
                self._resume(task)
        if self._connecting:
            self._resume_connected()
        now = time.perf_counter()
        if now - self._checked_at > _TIMEOUT_CHECK_SECONDS:
            self._checked_at = now
            self._time_out(now)
        if self._sleeping:
            self._wake_sleeping(now)
        if self._submitting:
            self._submit_batch()

    def _poll_timeout(self) -> float:
        """Return the seconds that poll(2) may block."""
        if self._submitting:
            return 0.0
        if not self._sleeping:
            return _TIMEOUT_CHECK_SECONDS
        until = min(task.until for task in self._sleeping)
        return min(max(until - time.perf_counter(), 0.0), _TIMEOUT_CHECK_SECONDS)

    def _resume(self, task: _Task, sent: Any = None, error: BaseException | None = None) -> None:  # noqa: ANN401 - what it waits for
        try:
            wait = task.steps.throw(error) if error is not None else task.steps.send(sent)
        except StopIteration as done:
            self._running -= 1
            self._returned += done.value
            return
        except Exception as raised:  # noqa: BLE001 - the others finish first
            self._running -= 1
            self._error = self._error or raised
            return
        if type(wait) is SocketWait:
            task.until = time.perf_counter() + wait.seconds
            self._waiting[wait.descriptor] = task
            self._poll.register(wait.descriptor, wait.event)
        elif type(wait) is Sleep:
            task.until = time.perf_counter() + wait.seconds
            self._sleeping.append(task)
        elif type(wait) is ConnectRequest:
            self._connecting += 1
            self._connect_pool.submit(self._connect, task, wait.transport)
        else:
            task.item = wait
            self._submitting.append(task)

    def _submit_batch(self) -> None:
        """Submit the items of all connections that wait; those that come meanwhile are the next batch."""
        tasks, self._submitting = self._submitting, []
        error: BaseException | None = None
        try:
            self._submit([task.item for task in tasks])
        except Exception as raised:  # noqa: BLE001 - each raises it for itself
            error = raised
        for task in tasks:
            self._resume(task, error=error)

    def _time_out(self, now: float) -> None:
        """Throw ConnectionLost into connections whose server has been silent for too long."""
        for descriptor, task in [item for item in self._waiting.items() if item[1].until <= now]:
            del self._waiting[descriptor]
            self._poll.unregister(descriptor)
            self._resume(task, error=ConnectionLost("TimeoutError"))

    def _wake_sleeping(self, now: float) -> None:
        due = [task for task in self._sleeping if task.until <= now]
        self._sleeping = [task for task in self._sleeping if task.until > now]
        for task in due:
            self._resume(task)

    def _connect(self, task: _Task, transport: Transport) -> None:
        try:
            with self._app.app_context():
                self._connected.append((task, transport.open(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._connected.append((task, None, error))
        self._wake_sender.send(b".")

    def _resume_connected(self) -> None:
        while self._connected:
            task, fault, error = self._connected.popleft()
            self._connecting -= 1
            self._wake_receiver.recv(1)
            self._resume(task, fault, error)
