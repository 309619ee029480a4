"""Rectification (GDPR art. 16): address, language, tracking, and a statement beside what cannot change.

A new address is used once its mailbox has confirmed it (MU-6): staff may have misheard it, and whoever asked
for it need not be its owner. The evidence of a consent is sealed: what a person says is wrong in it is kept
beside it, as a statement, and shown wherever the evidence is.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsletter import retention
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.privacy.models import RightsRequest, Statement
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.models import OneTimeLink, Subscriber, TrackingState
from newsletter.subscribers.one_time_links import revoke_links, send_link_to_new_address
from newsletter.subscribers.self_service.change_address import find_other_owner, has_ever_confirmed
from newsletter.subscribers.suppressions import find_suppression
from newsletter.web.i18n import NATIVE_NAMES

#: A rectification in words: an English sentence for gettext, and its values.
ChangeText = tuple[str, dict[str, object]]
#: How long the mailbox of the right address has to confirm it.
CONFIRMATION_LIFETIME = timedelta(days=retention.DESK_LINK_DAYS)


class ValueMissing(NewsletterError):
    """A rectification needs at least one correction."""

    message = N_("Enter what is right, in at least one of the fields.")


class AddressTaken(NewsletterError):
    """Another subscriber has it."""

    message = N_("Another subscriber already has this address.")


class NothingConfirmed(NewsletterError):
    """A pending sign-up is not moved to another address, whose mailbox has confirmed nothing."""

    message = N_("Nothing has been confirmed with this address. Sign up with the right one instead.")


class AddressSuppressed(NewsletterError):
    """The address is suppressed, so no confirmation link can be sent."""

    message = N_("This address is blocked. Lift the block first, if the person wishes that.")


@dataclass(frozen=True, slots=True)
class Corrections:
    """The corrected values; an empty one changes nothing."""

    address: str = ""
    language: str = ""
    #: Staff can only withdraw tracking consent; giving it takes the person's own action.
    refuses_tracking: bool = False
    statement: str = ""


@dataclass(slots=True)
class RectificationResult:
    """What was rectified, in translatable sentences."""

    done: list[ChangeText] = field(default_factory=list)
    #: The new address, which waits for its mailbox.
    waiting: list[ChangeText] = field(default_factory=list)
    link: OneTimeLink | None = None


def rectify(
    person: Subscriber, corrections: Corrections, *, now: datetime, actor: str
) -> RectificationResult:
    """Apply corrections; a new address takes effect once its mailbox has confirmed the link sent here.

    Raises ValueMissing, AddressInvalid, AddressTaken, AddressSuppressed or NothingConfirmed.
    """
    result = RectificationResult()
    done = result.done
    if corrections.language in current_settings().languages and corrections.language != person.language:
        person.language = corrections.language
        done.append((N_("Language: %(right)s"), {"right": NATIVE_NAMES[corrections.language]}))
    if corrections.address.strip():
        _rectify_address(person, corrections.address, result, now)
    if corrections.refuses_tracking and person.tracking is not TrackingState.REFUSED:
        choose_tracking(
            person, granted=False, language=person.language, now=now, visit=Visit(ip=""), method="staff"
        )
        done.append((N_("Open and click tracking: refused"), {}))
    if text := corrections.statement.strip()[:4000]:
        db.session.add(Statement(subscriber_id=person.id, text=text, created_at=now, actor=actor))
        done.append((N_("The person's statement: %(text)s"), {"text": text}))
    if not done and not result.waiting:
        raise ValueMissing
    return result


def describe_address_change(right: str, wrong: str) -> ChangeText:
    """Return the sentence for a change of address."""
    return N_("Address: %(right)s (before: %(wrong)s)"), {"right": right, "wrong": wrong}


def address_confirmation_status(request: RightsRequest, now: datetime) -> tuple[str, datetime | None] | None:
    """Return in words whether the mailbox of an address put right has confirmed it, with their ``time``.

    None where no address was put right.
    """
    if request.address_link_id is None:
        return None
    if request.address_confirmed_at is not None:
        return N_("Confirmed by its mailbox: %(time)s"), request.address_confirmed_at
    link = db.session.get(OneTimeLink, request.address_link_id)
    if link is None or link.used_at is not None or link.expires_at <= now:
        return N_("Not confirmed in time: it is not used. Enter another request to send a new link."), None
    return N_("Waits for its mailbox, until %(time)s"), link.expires_at


def _rectify_address(person: Subscriber, text: str, result: RectificationResult, now: datetime) -> None:
    address = parse_address(text)
    if not has_ever_confirmed(person):
        raise NothingConfirmed
    if address.text == person.address:
        return
    if find_other_owner(person, address) is not None:
        raise AddressTaken
    if address.key == person.address_key:  # written otherwise: the same mailbox
        result.done.append(describe_address_change(address.text, person.address))
        person.address = address.text
        return
    if find_suppression(address.key) is not None:
        raise AddressSuppressed
    # Links that wait in the old mailbox, which may be somebody else's, end.
    revoke_links(person)
    result.link = send_link_to_new_address(person, address, now=now, lasts=CONFIRMATION_LIFETIME)
    words = N_(
        "Address: %(right)s, once the link that we sent there has been confirmed"
        " (valid for %(days)s days; until then: %(wrong)s)"
    )
    result.waiting.append(
        (words, {"right": address.text, "wrong": person.address, "days": CONFIRMATION_LIFETIME.days})
    )
