"""Notification of recipients and sources of a person's data (GDPR art. 19).

A recipient whose own address is in the log of disclosures gets a mail at once; for the others there is a
letter to print, and a task that stays open until staff confirm that they were told.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.errors import NotFound
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.privacy.models import Disclosure, JobSlot, NotificationTask, RequestKind, RightsRequest, Told
from newsletter.privacy.requests.letters import REPLY_TEMPLATE
from newsletter.privacy.requests.rectification import ChangeText
from newsletter.subscribers.models import Consent, Subscriber
from newsletter.web.i18n import force_language, translate

#: Kinds of requests of which recipients are notified (GDPR art. 19).
NOTIFIED_KINDS = {RequestKind.RECTIFICATION, RequestKind.ERASURE, RequestKind.RESTRICTION}


class UnknownTask(NotFound):
    """There is no task of that number."""


def notify_recipients(
    request: RightsRequest, person: Subscriber, *, now: datetime, changes: Sequence[ChangeText] = ()
) -> list[str]:
    """Notify each recipient, and of a rectification the source too; return the recipients' names.

    Call it before the person is erased. ``changes`` are translated into our own language.
    """
    named = []
    with force_language(current_settings().languages[0]):  # they do business with us, not with the person
        said = [translate(*change) for change in changes]
        for recipient, contact, what in _list_recipients(person):
            letter = [*_letter_paragraphs(request.kind, person.address, said), *_received_paragraph(what)]
            _notify(request, Told.RECIPIENT, recipient, contact, letter, now)
            named.append(recipient)
        if request.kind is RequestKind.RECTIFICATION:
            for source in _list_sources(person):
                letter = _letter_paragraphs(request.kind, person.address, said)
                _notify(request, Told.SOURCE, source, None, letter, now)
    return named


def has_recipients(person: Subscriber) -> bool:
    """Tell whether anybody received data of a person."""
    given = sa.select(Disclosure.id).where(Disclosure.subscriber_id == person.id)
    return db.session.scalar(given.limit(1)) is not None


def list_open_tasks() -> Sequence[NotificationTask]:
    """Return the open notification tasks."""
    waiting = sa.select(NotificationTask).where(NotificationTask.done_at.is_(None))
    return db.session.scalars(waiting.order_by(NotificationTask.id)).all()


def list_tasks(request_id: int) -> Sequence[NotificationTask]:
    """Return the notification tasks of a request."""
    of_request = sa.select(NotificationTask).where(NotificationTask.request_id == request_id)
    return db.session.scalars(of_request.order_by(NotificationTask.id)).all()


def read_task(number: int, *, now: datetime, actor: str) -> NotificationTask:
    """Return a task with its letter, and audit who read it; raise UnknownTask."""
    found = db.session.get(NotificationTask, number)
    if found is None:
        raise UnknownTask
    audit.record("letter read", actor=actor, now=now, object=f"request:{found.request_id}")
    return found


def complete_task(number: int, *, now: datetime, actor: str) -> None:
    """Mark a task done and delete its letter; raise UnknownTask."""
    found = db.session.get(NotificationTask, number, with_for_update=True)
    if found is None:
        raise UnknownTask
    if found.done_at is None:
        found.done_at, found.actor, found.letter = now, actor, None
        # It may have named somebody who is erased by now.
        insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})
        audit.record("recipient told", actor=actor, now=now, object=f"request:{found.request_id}")


def _list_recipients(person: Subscriber) -> list[tuple[str, str | None, list[str]]]:
    """Return whoever received data: name, address if known, and what it was."""
    rows = db.session.scalars(
        sa.select(Disclosure).where(Disclosure.subscriber_id == person.id).order_by(Disclosure.id)
    )
    found: dict[str, tuple[str | None, list[str]]] = {}
    for row in rows:
        contact, what = found.get(row.recipient, (None, []))
        found[row.recipient] = (row.contact or contact, [*what, row.what])
    return [(name, contact, what) for name, (contact, what) in found.items()]


def _list_sources(person: Subscriber) -> Sequence[str]:
    """Return where data came from, other than from the person."""
    sources = sa.select(Consent.source).where(
        Consent.subscriber_id == person.id, Consent.source.is_not(None), Consent.import_id.is_not(None)
    )
    return [source for source in db.session.scalars(sources.distinct()) if source]


def _notify(
    request: RightsRequest, kind: Told, name: str, contact: str | None, letter: list[str], now: datetime
) -> None:
    task = NotificationTask(request_id=request.id, kind=kind, recipient=name, created_at=now)
    if contact:
        task.done_at, task.actor = now, "mail"
        context = {"subject": letter[0], "paragraphs": letter[1:], "sections": []}
        language = current_settings().languages[0]
        outbox.enqueue(REPLY_TEMPLATE, to=contact, language=language, now=now, context=context)
    else:
        task.letter = "\n\n".join(letter)
    db.session.add(task)


def _letter_paragraphs(kind: RequestKind, address: str, changes: Sequence[str]) -> list[str]:
    """Return the subject of the letter and its paragraphs."""
    subject, words = {
        RequestKind.RECTIFICATION: (
            _("Personal data has been corrected"),
            _("Data on a person that you have shared with us, or we with you, was wrong. Please correct it."),
        ),
        RequestKind.ERASURE: (
            _("Personal data has been erased"),
            _("We have erased a person whose data we gave you. Please erase it too, with links and copies."),
        ),
        RequestKind.RESTRICTION: (
            _("The use of personal data is restricted"),
            _("A person whose data we gave you has had its use restricted. Please do not use it meanwhile."),
        ),
    }[kind]
    return [subject, words, _("Person: %(address)s", address=address), *changes, _("GDPR, article 19")]


def _received_paragraph(what: Sequence[str]) -> list[str]:
    return [_("What you received: %(what)s", what="; ".join(dict.fromkeys(what)))]
