"""A signup is worth nothing until its confirmation link comes back.

Whatever the state of the address (new, pending, subscribed, suppressed), the caller learns nothing about
it; only the owner of the mailbox sees what happened (SU-6).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter import retention
from newsletter.errors import N_, NewsletterError
from newsletter.subscribers import links
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.texts import get_consent_text
from newsletter.subscribers.models import MailingList, Purpose, Subscriber
from newsletter.subscribers.signup import mail_quota
from newsletter.subscribers.signup.sql import SubscriberRef

LINK_LIFETIME = timedelta(days=retention.PENDING_DAYS)
#: The shortest interval between two "already subscribed" mails to one person.
REMINDER_INTERVAL = timedelta(hours=24)

#: The response to every signup, whatever the state of the address.
NEUTRAL_ANSWER = N_(
    "Thank you! If this address has no subscription yet, we sent it a confirmation mail."
    " The subscription begins only when you confirm it. Look in the spam folder too."
)


class ConsentMissing(NewsletterError):
    """The consent box was not ticked; nothing is stored."""

    message = N_("Tick the box I want to subscribe to the newsletter.")


class ListMissing(NewsletterError):
    """No list was chosen."""

    message = N_("Choose at least one newsletter.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignupForm:
    """The validated fields of the signup form."""

    address: Address
    list_ids: Sequence[int]
    language: str
    wants_tracking: bool
    #: The box of the mode that measures whoever does not refuse; said only when the link comes back.
    refuses_tracking: bool = False
    #: Hash of the cookie set in the browser; None where there is no browser.
    browser_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedSignup:
    """A signup that passed the limits, with everything that must not depend on when it is stored."""

    form: SignupForm
    at: datetime
    visit: Visit
    #: form, api, page, or one of the methods of manual entry.
    method: str
    #: The ids of the lists that a mail to this address may ask about.
    allowed: Collection[int]
    #: The consent text of the ticked box.
    wording: str
    #: The text of the tracking box; None where it was not ticked.
    tracking_wording: str | None


def accept_signup(form: SignupForm, *, now: datetime, visit: Visit, method: str) -> AcceptedSignup:
    """Count a form for its address and its domain, and return what is to be stored of it."""
    mail_quota.count_request(form.address, visit.ip)
    tracking = get_consent_text(Purpose.TRACKING, form.language) if form.wants_tracking else None
    return AcceptedSignup(
        form=form,
        at=now,
        visit=visit,
        method=method,
        allowed=mail_quota.consume(form.address, form.list_ids),
        wording=get_consent_text(Purpose.NEWSLETTER, form.language),
        tracking_wording=tracking,
    )


def mail_language(lists: Iterable[MailingList], fallback: str) -> str:
    """Return the language of a mail about these lists: their common language, else ``fallback``."""
    languages = {mailing_list.language for mailing_list in lists}
    return languages.pop() if len(languages) == 1 else fallback


def subscriber_mail_context(
    subscriber: Subscriber | SubscriberRef, lists: Sequence[MailingList], language: str
) -> dict[str, object]:
    """Return the template context of every mail to a subscriber: lists, unsubscribe URL, preferences URL."""
    only = lists[0].id if len(lists) == 1 else 0
    return {
        "lists": [mailing_list.name for mailing_list in lists],
        "unsubscribe_url": links.token_url(
            "subscribers.unsubscribe_page", links.UNSUBSCRIBE.make(subscriber.id, only, 0), language
        ),
        "preferences_url": links.token_url(
            "subscribers.preferences", links.PREFERENCES.make(subscriber.id), language
        ),
    }
