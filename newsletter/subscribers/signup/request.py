"""A request is worth nothing until its link comes back.

Whatever the address is to us (new, pending, subscribed, suppressed), the caller learns nothing:
what asks returns nothing of it, and only the mailbox's owner sees what happened.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter import retention
from newsletter.errors import N_, NewsletterError
from newsletter.subscribers import links
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.texts import wording_text
from newsletter.subscribers.models import MailingList, Purpose, Subscriber
from newsletter.subscribers.signup import mail_quota
from newsletter.subscribers.signup.sql import Known

LINK_LASTS = timedelta(days=retention.PENDING_DAYS)
#: At most how often somebody is told that there was nothing to do.
REMIND_AFTER = timedelta(hours=24)

#: What the visitor is told, whatever the address is to us.
ANSWER = N_(
    "Thank you! If this address has no subscription yet, we sent it a confirmation mail."
    " The subscription begins only when you confirm it. Look in the spam folder too."
)


class ConsentMissing(NewsletterError):
    """The box was not ticked; nothing is stored."""

    message = N_("Tick the box I want to subscribe to the newsletter.")


class ListMissing(NewsletterError):
    """No list was chosen."""

    message = N_("Choose at least one newsletter.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignupForm:
    """What the visitor filled in, checked."""

    address: Address
    list_ids: Sequence[int]
    language: str
    wants_tracking: bool
    #: The box of the mode that measures whoever does not refuse; said only when the link comes back.
    refuses_tracking: bool = False
    #: The cookie given to the browser, as a hash; None where there is no browser.
    browser_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A form that was let in, with all that must not depend on when its rows are written."""

    form: SignupForm
    at: datetime
    visit: Visit
    #: How: form, api, page.
    method: str
    #: The lists that a mail to this address may ask about.
    allowed: Collection[int]
    #: The words of the box that was ticked.
    wording: str
    #: The words of the tracking box; None where it was left empty.
    tracking_wording: str | None


def accept(form: SignupForm, *, now: datetime, visit: Visit, method: str) -> Request:
    """Count a form under SIGNUP_LIMIT_ADDRESS and return what is to be stored of it."""
    tracking = wording_text(Purpose.TRACKING, form.language) if form.wants_tracking else None
    return Request(
        form=form,
        at=now,
        visit=visit,
        method=method,
        allowed=mail_quota.take(form.address, form.list_ids),
        wording=wording_text(Purpose.NEWSLETTER, form.language),
        tracking_wording=tracking,
    )


def mail_language(lists: Iterable[MailingList], fallback: str) -> str:
    """Return the language of a mail about these lists: theirs if they share one."""
    languages = {mailing_list.language for mailing_list in lists}
    return languages.pop() if len(languages) == 1 else fallback


def links_of_subscriber(
    subscriber: Subscriber | Known, lists: Sequence[MailingList], language: str
) -> dict[str, object]:
    """Return what every mail to a subscriber shows: the lists, the way out, the own details."""
    only = lists[0].id if len(lists) == 1 else 0
    return {
        "lists": [mailing_list.name for mailing_list in lists],
        "unsubscribe_url": links.address_of(
            "subscribers.unsubscribe_page", links.UNSUBSCRIBE.make(subscriber.id, only, 0), language
        ),
        "preferences_url": links.address_of(
            "subscribers.preferences", links.PREFERENCES.make(subscriber.id), language
        ),
    }
