"""Loads the hit log into the database, each hit exactly once.

Hits and the offset reached are stored in one transaction, so a killed loader resumes at the stored offset.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from newsletter.durable import log_loader
from newsletter.tracking.addresses import normalize_ip
from newsletter.tracking.hit_log import HIT_SUFFIX
from newsletter.tracking.models import EventKind, MachineClass

log = logging.getLogger(__name__)

#: Bytes read and stored in one transaction: some 2,000 hits. Memory is bounded by it too, however
#: long the database was away.
BATCH_BYTES = 400_000


class Hit(NamedTuple):
    """One line of the hit log."""

    at: datetime
    kind: EventKind
    edition_id: int
    #: 0 when the link was the same for everybody (TRACKING=aggregate): no personal data then.
    subscriber_id: int
    link_number: int | None
    ip: str | None
    user_agent: str
    #: Set by the gateway where the name is not kept.
    machine_class: MachineClass | None = None


#: Stores hits and adds them to the figures, inside one transaction that ``load`` commits.
Store = Callable[[Sequence[Hit]], None]
_KINDS = {kind.value: kind for kind in EventKind}


def load(folder: Path, *, store: Store, rest: Callable[[], None] = lambda: None) -> int:
    """Load all hits logged so far and return how many. Commits in batches, calling ``rest`` after each.

    Other processes may load the same folder meanwhile.
    """

    def store_lines(data: bytes) -> int:
        hits = list(_parse(data))
        if hits:
            store(hits)
        return len(hits)

    return log_loader.load(folder, HIT_SUFFIX, step=BATCH_BYTES, store=store_lines, rest=rest)


def _parse(data: bytes) -> Iterator[Hit]:
    lines = data.splitlines()
    try:
        written = json.loads(b"[" + b",".join(lines) + b"]")  # all at once costs half of one by one
    except ValueError:
        written = [_load_line(line) for line in lines if line]
    for values in written:
        try:
            yield _hit(*values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
            log.warning("unreadable hit")  # an incomplete write


def _load_line(line: bytes) -> Any:  # noqa: ANN401 - whatever stands there
    try:
        return json.loads(line)
    except ValueError:
        return None


def _hit(
    at: int,
    kind: str,
    edition_id: int,
    subscriber_id: int,
    number: int | None,
    ip: str,
    agent: str,
    made_by: str | None = None,
) -> Hit:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    # PostgreSQL takes no NUL; one such line would hold all others up.
    name = agent.replace("\0", "")
    known = MachineClass(made_by) if made_by else None
    return Hit(moment, _KINDS[kind], edition_id, subscriber_id, number, normalize_ip(ip), name, known)
