"""From the spool to the database: each hit exactly once.

What was read and how far are stored in one transaction, so a loader that is killed goes on where
the database says it was. A hit is kept only if the person allows measuring *now*: a withdrawal
works for mails already sent.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from newsletter.config import settings
from newsletter.db import db
from newsletter.subscribers.measuring import measured_states
from newsletter.subscribers.models import Subscriber
from newsletter.tracking.classify import RULES_VERSION, classify
from newsletter.tracking.models import Event, EventKind, MachineClass, SpoolOffset
from newsletter.tracking.spool import SUFFIX, is_finished, only_loader

log = logging.getLogger(__name__)

#: Bytes read and stored in one transaction: some 2,000 hits, a write lock of about 10 ms.
STEP = 400_000


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of the spool."""

    at: datetime
    kind: EventKind
    edition_id: int
    #: 0 when the link was the same for everybody (TRACKING=aggregate).
    subscriber_id: int
    link_number: int | None
    ip: str
    user_agent: str
    machine_class: MachineClass
    campaign_id: int = 0


#: Tells the campaign of each edition; an edition that is gone is left out.
Campaigns = Callable[[set[int]], dict[int, int]]
#: Adds hits to the figures, inside the transaction that stores them.
Fold = Callable[[Sequence[Hit]], None]


def load(folder: Path, *, campaigns: Campaigns, fold: Fold) -> int:
    """Load everything the spool holds and return how many hits were read. Commits in steps.

    ``campaigns`` tells the campaign of each edition.
    """
    with only_loader(folder):
        # A name begins with the time; hidden ones are still being opened.
        files = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
        return sum(_load_file(path, campaigns, fold) for path in files)


def _load_file(path: Path, campaigns: Campaigns, fold: Fold) -> int:
    loaded = 0
    with path.open("rb", buffering=0) as file:
        finished = is_finished(file.fileno())
        offset = db.session.scalar(sa.select(SpoolOffset.offset).where(SpoolOffset.file == path.name)) or 0
        db.session.rollback()
        for data in _steps(file.fileno(), offset):
            hits = list(_parse(data))
            offset += len(data)
            _store(hits, campaigns, fold)
            db.session.merge(SpoolOffset(file=path.name, offset=offset))
            db.session.commit()
            loaded += len(hits)
    if finished:
        # Killed between these two, the row stays and is harmless: the name is never used again.
        with suppress(FileNotFoundError):
            path.unlink()
        db.session.execute(sa.delete(SpoolOffset).where(SpoolOffset.file == path.name))
        db.session.commit()
    return loaded


def _steps(descriptor: int, offset: int) -> Iterator[bytes]:
    """Yield whole lines, some of them at a time."""
    while data := os.pread(descriptor, STEP, offset):
        end = data.rfind(b"\n") + 1
        if not end:
            return  # half a line: its writer is still at it, or died there
        yield data[:end]
        offset += end


def _parse(data: bytes) -> Iterator[Hit]:
    for line in data.splitlines():
        if not line:
            continue
        try:
            at, kind, edition_id, subscriber_id, number, ip, agent = json.loads(line)
            moment = datetime.fromtimestamp(at / 1000, UTC)
            who = classify(agent)
            yield Hit(moment, EventKind(kind), edition_id, subscriber_id, number, ip, agent, who)
        except (ValueError, TypeError):
            log.warning("unreadable hit")  # the stump of a write cut short


def _store(hits: Sequence[Hit], campaigns: Campaigns, fold: Fold) -> None:
    campaign_of = campaigns({hit.edition_id for hit in hits})
    allowed = _who_allow({hit.subscriber_id for hit in hits if hit.subscriber_id})
    kept = [
        replace(hit, campaign_id=campaign_of[hit.edition_id])
        for hit in hits
        if hit.edition_id in campaign_of and (hit.subscriber_id in allowed or _is_anonymous(hit))
    ]
    rows = [_row(hit) for hit in kept if hit.subscriber_id]
    if rows:
        db.session.execute(sa.insert(Event), rows)
    if kept:
        fold(kept)


def _is_anonymous(hit: Hit) -> bool:
    return hit.subscriber_id == 0 and settings().tracking == "aggregate"


def _who_allow(subscriber_ids: set[int]) -> set[int]:
    return set(
        db.session.scalars(
            sa.select(Subscriber.id).where(
                Subscriber.id.in_(subscriber_ids),
                Subscriber.tracking.in_(measured_states()),
                Subscriber.restricted_at.is_(None),
            )
        )
    )


def _row(hit: Hit) -> dict[str, object]:
    return {
        "at": hit.at,
        "campaign_id": hit.campaign_id,
        "edition_id": hit.edition_id,
        "subscriber_id": hit.subscriber_id,
        "kind": hit.kind,
        "link_number": hit.link_number,
        "ip": hit.ip,
        "user_agent": hit.user_agent,
        "machine_class": hit.machine_class,
        "rules_version": RULES_VERSION,
    }
