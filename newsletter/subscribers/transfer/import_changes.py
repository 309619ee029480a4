"""The writes of one import batch, collected row by row and executed table by table."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import Base, db, insert_or_ignore
from newsletter.subscribers.consent.texts import current_notice_version, get_or_create_wording
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    MailingList,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)
from newsletter.subscribers.transfer.import_row import ImportEntry

CONSENT_METHOD = "import"


@dataclass(slots=True)
class SubscriberState:
    """A subscriber's state while a batch is decided on."""

    id: int
    is_restricted: bool
    tracking: TrackingState
    #: The subscription status by list id.
    held: dict[int, SubscriptionStatus]


@dataclass(slots=True)
class BatchChanges:
    """The pending writes of one batch."""

    import_id: int
    now: datetime
    _begun: list[dict[str, Any]] = field(default_factory=list)
    _confirmed: list[dict[str, Any]] = field(default_factory=list)
    _choices: list[dict[str, Any]] = field(default_factory=list)
    _consents: list[dict[str, Any]] = field(default_factory=list)
    _notice: int = field(default_factory=current_notice_version)
    #: Cached ids of consent texts, as most rows share one.
    _wordings: dict[tuple[Purpose, str, str], int] = field(default_factory=dict)

    def confirm(self, entry: ImportEntry, person: SubscriberState, mailing_list: MailingList) -> None:
        """Add a confirmed subscription, or confirm the pending one."""
        state = {"status": SubscriptionStatus.CONFIRMED, "confirmed_at": entry.consented_at}
        if mailing_list.id in person.held:
            self._confirmed.append({"_person": person.id, "_list": mailing_list.id, **state})
        else:
            place = {"subscriber_id": person.id, "list_id": mailing_list.id}
            self._begun.append({**place, **state, "created_at": self.now})
        person.held[mailing_list.id] = SubscriptionStatus.CONFIRMED
        self._add_consent(
            entry,
            person,
            ConsentKind.CONFIRMED,
            Purpose.NEWSLETTER,
            list_id=mailing_list.id,
            wording_id=self._wording(entry, Purpose.NEWSLETTER, mailing_list.language),
        )

    def choose_tracking(self, entry: ImportEntry, person: SubscriberState, language: str) -> None:
        """Add the tracking choice of a row, unless the person has chosen or the row has none."""
        if entry.wants_tracking is None or person.tracking is not TrackingState.UNKNOWN:
            return
        granted = entry.wants_tracking
        person.tracking = TrackingState.GRANTED if granted else TrackingState.REFUSED
        self._choices.append(
            {"_person": person.id, "tracking": person.tracking, "tracking_chosen_at": entry.consented_at}
        )
        self._add_consent(
            entry,
            person,
            ConsentKind.CONFIRMED if granted else ConsentKind.WITHDRAWN,
            Purpose.TRACKING,
            list_id=None,
            wording_id=self._wording(entry, Purpose.TRACKING, language) if granted else None,
        )

    def write(self) -> None:
        """Execute the collected writes. Does not commit."""
        insert_or_ignore(Subscription, *self._begun)
        insert_or_ignore(Consent, *self._consents)
        theirs = Subscription.subscriber_id == sa.bindparam("_person")
        _bulk_update(Subscription, self._confirmed, theirs, Subscription.list_id == sa.bindparam("_list"))
        _bulk_update(Subscriber, self._choices, Subscriber.id == sa.bindparam("_person"))

    def _add_consent(
        self,
        entry: ImportEntry,
        person: SubscriberState,
        kind: ConsentKind,
        purpose: Purpose,
        *,
        list_id: int | None,
        wording_id: int | None,
    ) -> None:
        self._consents.append(
            {
                "subscriber_id": person.id,
                "kind": kind,
                "purpose": purpose,
                "list_id": list_id,
                "wording_id": wording_id,
                "notice_version": self._notice,
                "at": entry.consented_at,
                "method": CONSENT_METHOD,
                "import_id": self.import_id,
                "source": entry.source,
                "proof": entry.proof,
            }
        )

    def _wording(self, entry: ImportEntry, purpose: Purpose, language: str) -> int:
        words = (purpose, entry.language or language, entry.consent_text)
        if words not in self._wordings:
            self._wordings[words] = get_or_create_wording(*words, self.now).id
        return self._wordings[words]


def _bulk_update(table: type[Base], rows: list[dict[str, Any]], *which: sa.ColumnElement[bool]) -> None:
    """Update one row of a table for each set of parameters, bypassing the session's objects."""
    if rows:
        columns: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if not name.startswith("_")}
        db.session.connection().execute(sa.update(table).where(*which).values(columns), rows)
