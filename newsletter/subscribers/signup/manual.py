"""One person entered by staff at the person's own wish, on paper, by phone or face to face (SU-10).

It is worth no more than a form filled in: the subscription begins when its mail is answered.
"""

from collections.abc import Sequence
from datetime import datetime

from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import MailingList
from newsletter.subscribers.signup.request import SignupForm, accept
from newsletter.subscribers.signup.store import store
from newsletter.subscribers.suppressions import find_suppression

#: How a person asks staff; the ledger keeps it as the method.
WAYS = {"paper": N_("On paper"), "phone": N_("By phone"), "meeting": N_("Face to face")}


class AddressSuppressed(NewsletterError):
    """Suppression blocks what staff enter; only the person's own signup may lift it (RP-5)."""

    message = N_("This address must not be written to. Only its owner can subscribe it again.")


class AskedBefore(NewsletterError):
    """A mail about these lists has gone to the address, and the next may not go yet."""

    message = N_("This address has been asked about these newsletters already. Try again tomorrow.")


def enter(
    text: str, lists: Sequence[MailingList], *, language: str, way: str, now: datetime, actor: str
) -> None:
    """Put a confirmation mail in the outbox; raise AddressInvalid, AddressSuppressed or AskedBefore.

    ``way`` is one of WAYS. Tracking is a choice that nobody makes for somebody else, so it is not asked for.
    """
    form = SignupForm(
        address=parse_address(text),
        list_ids=[mailing_list.id for mailing_list in lists],
        language=language,
        wants_tracking=False,
    )
    if find_suppression(form.address.key) is not None:
        raise AddressSuppressed
    request = accept(form, now=now, visit=Visit(ip=""), method=way)
    if not request.allowed:
        raise AskedBefore
    store([request])
    slugs = ", ".join(mailing_list.slug for mailing_list in lists)
    audit.record("subscription entered", actor=actor, now=now, lists=slugs, way=way)
