"""A request is worth nothing until its link comes back.

Whatever the address is to us (new, pending, subscribed, suppressed), the caller learns nothing:
``request_subscription`` returns nothing, and only the mailbox's owner sees what happened.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from newsletter import retention
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.mail import outbox
from newsletter.subscribers import allowance, funnel, links, signup_rows
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.evidence import Visit, consent_row
from newsletter.subscribers.models import (
    ConsentKind,
    FunnelStep,
    MailingList,
    Purpose,
    Subscriber,
)
from newsletter.subscribers.signup_rows import Known
from newsletter.subscribers.suppressions import is_barred
from newsletter.subscribers.wordings import shown_wording_id
from newsletter.tokens import hash_secret

LINK_LASTS = timedelta(days=retention.PENDING_DAYS)
#: "You are already a subscriber", and at most how often somebody is told.
ALREADY = "already_subscribed"
REMIND_AFTER = timedelta(hours=24)
#: The ways of asking that began at a form; the funnel counts these.
FORMS = {"form", "api"}


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
    lists: Sequence[MailingList]
    language: str
    wants_tracking: bool
    #: The cookie given to the browser, as a hash; None where there is no browser.
    browser_hash: str | None = None


def request_subscription(form: SignupForm, *, now: datetime, visit: Visit, method: str = "form") -> None:
    """Record the request and put the confirmation mail in the outbox.

    Existing subscriptions are never changed; a list is asked for again only within
    SIGNUP_LIMIT_ADDRESS.
    """
    person = signup_rows.find(form.address)
    held = signup_rows.confirmed_lists(person)
    wanted = [mailing_list for mailing_list in form.lists if mailing_list.id not in held]
    barred = is_barred(form.address.key)
    ask = partial(_ask, form=form, now=now, visit=visit, method=method)
    allowed = [] if barred else allowance.take(form.address, wanted)
    turn = allowance.take_turn(form.address, now) if allowed else None
    if turn is not None:
        ask = partial(ask, due_at=turn)
        ask(person or signup_rows.find_or_add(form.address, form.language, now), allowed)
    else:
        _ask_nobody(ask, form, now)
    reminded = outbox.was_written(ALREADY, person.id if person else 0, since=now - REMIND_AFTER)
    if person is not None and not (wanted or barred or reminded):
        _remind(person, form, now)
    # Last, as everywhere: whoever holds a count for long holds up the next one.
    _count_sent_in(form, now=now, visit=visit, method=method)


def mail_language(lists: Iterable[MailingList], fallback: str) -> str:
    """Return the language of a mail about these lists: theirs if they share one."""
    languages = {mailing_list.language for mailing_list in lists}
    return languages.pop() if len(languages) == 1 else fallback


def _count_sent_in(form: SignupForm, *, now: datetime, visit: Visit, method: str) -> None:
    if method in FORMS:
        funnel.record(
            FunnelStep.SENT_IN,
            [mailing_list.id for mailing_list in form.lists],
            language=form.language,
            form_host=funnel.host_of(visit.form_url),
            now=now,
        )


def _ask_nobody(ask: Callable[[Known, list[MailingList]], None], form: SignupForm, now: datetime) -> None:
    """Do the work of a request and take it back: the time an answer takes must tell nothing (SU-6).

    It is done for an address that nobody can have, so that no trace is left of the one asked for.
    """
    text = f"{secrets.token_hex(8)}@nobody.invalid"
    with db.session.begin_nested() as pretence:
        ask(signup_rows.find_or_add(Address(text, text), form.language, now), list(form.lists))
        pretence.rollback()


def _ask(
    person: Known,
    lists: list[MailingList],
    *,
    form: SignupForm,
    now: datetime,
    visit: Visit,
    method: str,
    due_at: datetime | None = None,
) -> None:
    secret = secrets.token_bytes(16)
    wording_id = shown_wording_id(Purpose.NEWSLETTER, form.language, now)
    tracking_id = shown_wording_id(Purpose.TRACKING, form.language, now) if form.wants_tracking else None
    form_host = funnel.host_of(visit.form_url) if method in FORMS else None
    signup_id = signup_rows.add_signup(
        [mailing_list.id for mailing_list in lists],
        subscriber_id=person.id,
        token_hash=hash_secret(secret),
        language=form.language,
        wording_id=wording_id,
        tracking_wording_id=tracking_id,
        browser_hash=form.browser_hash,
        form_host=form_host,
        created_at=now,
        expires_at=now + LINK_LASTS,
    )
    language = mail_language(lists, form.language)
    mail_id = outbox.post(
        "confirm",
        to=person.address,
        language=language,
        now=now,
        due_at=due_at,
        subscriber_id=person.id,
        context=_links_of_request(signup_id, person.id, secret, language, now)
        | {
            "lists": [mailing_list.name for mailing_list in lists],
            "funnel": funnel.of_mail(lists, form.language, form_host),
        },
    )
    asked = partial(consent_row, ConsentKind.ASKED, person.id, now=now, visit=visit, method=method)
    facts = [asked(mailing_list.id, wording_id) for mailing_list in lists]
    if tracking_id is not None:
        facts.append(asked(None, tracking_id))
    signup_rows.add_consents([fact | {"mail_id": mail_id} for fact in facts])


def _links_of_request(
    signup_id: int, subscriber_id: int, secret: bytes, language: str, now: datetime
) -> dict[str, Any]:
    tokens = {
        "confirm": links.CONFIRM.make(secret, int(now.timestamp())),
        "cancel": links.CANCEL.make(signup_id, subscriber_id),
        "preferences": links.PREFERENCES.make(subscriber_id),
    }
    urls = {
        f"{kind}_url": links.address_of(f"subscribers.{kind}", token, language)
        for kind, token in tokens.items()
    }
    return urls | {"requested_at": now.isoformat(), "expires_at": (now + LINK_LASTS).isoformat()}


def _remind(person: Known, form: SignupForm, now: datetime) -> None:
    """Tell someone who subscribes again that there is nothing to do."""
    language = mail_language(form.lists, form.language)
    outbox.post(
        ALREADY,
        to=person.address,
        language=language,
        now=now,
        subscriber_id=person.id,
        context=links_of_subscriber(person, form.lists, language),
    )


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
