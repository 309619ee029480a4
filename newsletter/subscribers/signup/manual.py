"""Manual signup by staff for a person who asked on paper, by phone or face to face (SU-10).

It has the effect of a signup form: the subscription begins when its mail is confirmed.
"""

from collections.abc import Sequence
from datetime import datetime

from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import MailingList
from newsletter.subscribers.signup.request import SignupForm, accept_signup
from newsletter.subscribers.signup.store import store_signups
from newsletter.subscribers.suppressions import find_suppression

#: How the person asked, with labels; stored as the method of the consent.
CONSENT_METHODS = {"paper": N_("On paper"), "phone": N_("By phone"), "meeting": N_("Face to face")}


class AddressSuppressed(NewsletterError):
    """The address is suppressed; only the person's own signup may lift that (RP-5)."""

    message = N_("This address must not be written to. Only its owner can subscribe it again.")


class AskedBefore(NewsletterError):
    """SIGNUP_LIMIT_ADDRESS: the address got a mail about these lists, and the next may not go yet."""

    message = N_("This address has been asked about these newsletters already. Try again tomorrow.")


def sign_up_for_person(
    text: str, lists: Sequence[MailingList], *, language: str, way: str, now: datetime, actor: str
) -> None:
    """Enqueue a confirmation mail; raise AddressInvalid, AddressSuppressed or AskedBefore.

    ``way`` is a key of CONSENT_METHODS. Tracking is not asked for, as nobody can consent for somebody else.
    """
    form = SignupForm(
        address=parse_address(text),
        list_ids=[mailing_list.id for mailing_list in lists],
        language=language,
        wants_tracking=False,
    )
    if find_suppression(form.address.key) is not None:
        raise AddressSuppressed
    request = accept_signup(form, now=now, visit=Visit(ip=""), method=way)
    if not request.allowed:
        raise AskedBefore
    store_signups([request])
    slugs = ", ".join(mailing_list.slug for mailing_list in lists)
    audit.record("subscription entered", actor=actor, now=now, lists=slugs, way=way)
