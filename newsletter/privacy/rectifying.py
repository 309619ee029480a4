"""Putting a person's data right: address, language, measuring, and what cannot change itself.

The evidence of a consent is sealed. What a person says is wrong in it is kept beside it, as a
statement, and shown wherever the evidence is (GDPR art. 16).
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from newsletter.config import settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.i18n import NATIVE_NAMES
from newsletter.privacy.models import Statement
from newsletter.subscribers import unsubscribe
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.confirm import withdraw_requests
from newsletter.subscribers.evidence import Visit
from newsletter.subscribers.fresh_links import withdraw_links
from newsletter.subscribers.models import Signup, Subscriber, TrackingState

#: What was put right: a sentence in English, and what belongs into it.
Change = tuple[str, dict[str, object]]


class ValueMissing(NewsletterError):
    """A rectification needs what is right."""

    message = N_("Enter what is right, in at least one of the fields.")


class AddressTaken(NewsletterError):
    """Another subscriber has it."""

    message = N_("Another subscriber already has this address.")


class NothingConfirmed(NewsletterError):
    """A mere request is not moved to an address whose mailbox has not answered."""

    message = N_("Nothing has been confirmed with this address. Sign up with the right one instead.")


@dataclass(frozen=True, slots=True)
class Corrections:
    """What is right; what is empty stays as it is."""

    address: str = ""
    language: str = ""
    #: Measuring is only ever refused for somebody; allowing it takes their own press.
    refuses_tracking: bool = False
    statement: str = ""


def rectify(person: Subscriber, right: Corrections, *, now: datetime, actor: str) -> list[Change]:
    """Put right what is wrong and return it in words, to be said in whatever language.

    Raises ValueMissing, AddressInvalid, AddressTaken or NothingConfirmed.
    """
    before = (person.address, person.language)
    done: list[Change] = []
    if right.address.strip():
        _set_address(person, right.address)
        if person.address != before[0]:
            done.append(address_change(person.address, before[0]))
    if right.language in settings().languages and right.language != before[1]:
        person.language = right.language
        done.append((N_("Language: %(right)s"), {"right": NATIVE_NAMES[right.language]}))
    if right.refuses_tracking and person.tracking is not TrackingState.REFUSED:
        unsubscribe.choose_tracking(
            person, granted=False, language=person.language, now=now, visit=Visit(ip=""), method="staff"
        )
        done.append((N_("Open and click tracking: refused"), {}))
    if text := right.statement.strip()[:4000]:
        db.session.add(Statement(subscriber_id=person.id, text=text, created_at=now, actor=actor))
        done.append((N_("The person's statement: %(text)s"), {"text": text}))
    if not done:
        raise ValueMissing
    return done


def address_change(right: str, wrong: str) -> Change:
    """Return in words that an address was another."""
    return N_("Address: %(right)s (before: %(wrong)s)"), {"right": right, "wrong": wrong}


def _set_address(person: Subscriber, text: str) -> None:
    address = parse_address(text)
    if not any(item.confirmed_at for item in person.subscriptions):
        raise NothingConfirmed
    waiting = sa.select(Signup).where(Signup.subscriber_id == person.id, Signup.confirmed_at.is_(None))
    try:
        with db.session.begin_nested():
            person.address, person.address_key = address.text, address.key
            person.address_hash = hash_address(address.key)
    except IntegrityError:
        raise AddressTaken from None
    # Links that wait in the old mailbox, which may be somebody else's, end.
    withdraw_requests(list(db.session.scalars(waiting)))
    withdraw_links(person)
