"""Rate limits shared by all processes, on a SQLite file or Redis.

The package ``limits`` counts in memory or in Redis; one machine with several processes needs neither.
This storage counts in a SQLite file of its own, one atomic statement a hit, so that a flood of requests
never touches the write lock of the main database.
"""

import hmac
import ipaddress
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

from flask import Flask, current_app
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, Storage, storage_from_string
from werkzeug.exceptions import TooManyRequests

from newsletter.config import Settings
from newsletter.durable import counters
from newsletter.web.app import client_ip

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def client_key() -> str:
    """Return the key of the requesting client: a keyed hash of its network, so that no address is stored."""
    return client_key_of(client_ip())


def client_key_of(ip: str) -> str:
    """Return the key of a client by its IP address."""
    key = str(current_app.secret_key).encode()
    return hmac.digest(key, b"visitor " + _network_of(ip).encode(), "sha256").hex()[:32]


def wide_network_key_of(ip: str) -> str:
    """Return the key of the network that an address was probably handed out in: /24, or /48 with IPv6.

    One customer of a provider commonly has that many IPv6 addresses, and a rented block of IPv4 is as large.
    """
    key = str(current_app.secret_key).encode()
    return hmac.digest(key, b"wide network " + _wide_network_of(ip).encode(), "sha256").hex()[:32]


def client_network() -> str:
    """Return the address, or with IPv6 the network, as each home has 2**64 addresses."""
    return _network_of(client_ip())


@lru_cache(maxsize=1000)
def _network_of(ip: str) -> str:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:  # whatever a proxy of ours made of it
        return ip
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


@lru_cache(maxsize=1000)
def _wide_network_of(ip: str) -> str:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 48), strict=False))
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24), strict=False))


def init_app(app: Flask, chosen: Settings) -> None:
    """Count in Redis where the queue is in Redis, else in the instance folder."""
    shared = chosen.queue_url.startswith(("redis://", "rediss://"))
    at = chosen.queue_url if shared else f"sqlitefile://{quote(str(chosen.instance_path / 'limits.db'))}"
    app.extensions["newsletter.ratelimit.limiter"] = storage_from_string(at)
    # Without its storage a limit must not refuse everybody: each process then counts in memory.
    app.extensions["newsletter.limits.spare"] = MemoryStorage()


def storage() -> Storage:
    """Return where the running application counts."""
    found: Storage = current_app.extensions["newsletter.ratelimit.limiter"]
    return found


@cache
def parse_rule(rule: str) -> tuple[RateLimitItem, ...]:
    """Return the limits of a rule such as ``5/minute;20/hour``, the shortest window first."""
    return tuple(sorted(parse_many(rule), key=RateLimitItem.get_expiry))


def increment(item: RateLimitItem, *key: str) -> int:
    """Count a hit and return the sum of the current window, atomically over all processes."""
    return _call_storage(lambda storage: storage.incr(item.key_for(*key), item.get_expiry()))


def current_count(item: RateLimitItem, *key: str) -> int:
    """Return the sum of the current window."""
    return _call_storage(lambda storage: storage.get(item.key_for(*key)))


def reset_time(item: RateLimitItem, *key: str) -> float:
    """Return when the current window ends, in seconds since the epoch."""
    return _call_storage(lambda storage: storage.get_expiry(item.key_for(*key)))


def has_room(rule: str, *key: str) -> bool:
    """Tell whether every limit of a rule such as ``1/day;3/30day`` would let one more in."""
    return all(current_count(item, *key) < item.amount for item in parse_rule(rule))


def hit(rule: str, *key: str) -> bool:
    """Count a hit under a rule and tell whether all its limits allow it. ``key[0]`` names the limit.

    Exact under concurrency. A hit that the shortest window refuses does not count in the longer ones.
    """
    has_room = all(increment(item, *key) <= item.amount for item in parse_rule(rule))
    if not has_room:
        counters.increment(f"limit {key[0]}")
    return has_room


def enforce(rule: str, *key: str) -> None:
    """Count a hit; raise TooManyRequests (429 with Retry-After) where a limit of the rule is exceeded."""
    if not hit(rule, *key):
        raise TooManyRequests(retry_after=retry_after(rule, *key))


def reserve_slot(rule: str, *key: str, since: float, until: float) -> float | None:
    """Count one in the first window with room, current or future, and return the start of that slot.

    Instants are seconds since the epoch; None when there is no room before ``until``.
    """
    slot: float | None = since
    for item in parse_rule(rule):
        slot = slot and _slot_in(item, key, slot, until)
    if slot is None:
        counters.increment(f"limit {key[0]}")
    return slot


def _slot_in(item: RateLimitItem, key: tuple[str, ...], since: float, until: float) -> float | None:
    length = item.get_expiry()
    for number in range(int(since // length), int(until // length) + 1):
        name, ends = item.key_for(*key, str(number)), (number + 1) * length
        if _count_use(name, ends - since) <= item.amount:
            return max(since, number * length)
    return None


def _count_use(name: str, seconds: float) -> int:
    return _call_storage(lambda storage: storage.incr(name, seconds))  # type: ignore[arg-type] # a fraction is fine


def clear_counts(rule: str, *key: str) -> None:
    """Delete the counts of a key under a rule, so that it begins anew."""
    for item in parse_rule(rule):
        name = item.key_for(*key)
        _call_storage(lambda storage, name=name: storage.clear(name))  # type: ignore[misc]


def retry_after(rule: str, *key: str) -> int:
    """Return for how many seconds a rule still refuses, for Retry-After; at least 1."""
    full = [item for item in parse_rule(rule) if current_count(item, *key) >= item.amount]
    ends = max((reset_time(item, *key) for item in full), default=0.0)
    return max(1, math.ceil(ends - time.time()))


def batch_writes() -> AbstractContextManager[None]:
    """Write all hits inside in one transaction of the storage. Keep it short: other processes wait."""
    counts = storage()
    return counts.batch_writes() if isinstance(counts, SqliteFileStorage) else nullcontext()


def is_first_use(name: str, seconds: int) -> bool:
    """Return True for the first use of a name within ``seconds``, over all processes."""
    return _call_storage(lambda storage: storage.incr(f"used/{name}", seconds)) == 1


def delete_expired() -> None:
    """Delete the counts of windows that have ended: their keys stand for clients."""
    _call_storage(lambda storage: storage.check())


def _call_storage(question: Callable[[Storage], Result]) -> Result:
    counts = storage()
    try:
        return question(counts)
    except counts.base_exceptions:
        log.warning("limits storage out of reach")
        return question(current_app.extensions["newsletter.limits.spare"])


class SqliteFileStorage(Storage):
    """Fixed windows counted in one SQLite file, ``sqlitefile:///path``."""

    STORAGE_SCHEME = ["sqlitefile"]  # noqa: RUF012 - the base class's own declaration

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_options: object) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._path = Path(unquote(urlsplit(uri or "").path))
        self._local = threading.local()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return what makes a process count in its memory instead."""
        return sqlite3.Error

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count a hit and return the sum in the window that it falls in."""
        now = time.time()
        row = (
            self._connection()
            .execute(
                "insert into hits values (:key, :amount, :ends) on conflict (key) do update set"
                " n = case when ends <= :now then excluded.n else n + excluded.n end,"
                " ends = case when ends <= :now then excluded.ends else ends end returning n",
                {"key": key, "amount": amount, "ends": now + expiry, "now": now},
            )
            .fetchall()[0]
        )
        return int(row[0])

    @contextmanager
    def batch_writes(self) -> Iterator[None]:
        """Run everything inside in one transaction; it is committed after an exception too."""
        with suppress(sqlite3.Error):
            self._connection().execute("begin immediate").close()
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._connection().commit()

    def get(self, key: str) -> int:
        """Return the sum of the running window."""
        rows = (
            self._connection()
            .execute("select n from hits where key = ? and ends > ?", (key, time.time()))
            .fetchall()
        )
        return int(rows[0][0]) if rows else 0

    def get_expiry(self, key: str) -> float:
        """Return when the running window ends, in seconds since the epoch."""
        rows = self._connection().execute("select ends from hits where key = ?", (key,)).fetchall()
        return float(rows[0][0]) if rows else time.time()

    def check(self) -> bool:
        """Tell whether the file can be written."""
        try:
            self._connection().execute("delete from hits where ends < ?", (time.time(),))
        except sqlite3.Error:
            return False
        return True

    def reset(self) -> int:
        """Forget all windows and return how many there were."""
        return self._connection().execute("delete from hits").rowcount

    def clear(self, key: str) -> None:
        """Forget one window."""
        self._connection().execute("delete from hits where key = ?", (key,))

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=5)
            connection.execute("pragma journal_mode=wal").close()
            connection.execute("pragma secure_delete=on").close()  # the keys hold client addresses
            connection.execute("pragma synchronous=off").close()  # a lost count is no loss
            connection.execute("create table if not exists hits (key text primary key, n integer, ends real)")
            self._local.connection = connection
        return connection
