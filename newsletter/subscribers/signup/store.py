"""Stores accepted signups: rows of signups, subscriptions and evidence, and their confirmation mails.

Signups are stored in batches. What happens to one depends on the state of its address, and no response
waits for it (SU-6).
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from newsletter.mail import outbox
from newsletter.subscribers import links
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit, consent_row
from newsletter.subscribers.consent.texts import (
    FIRST_NOTICE_VERSION,
    get_or_create_wording,
    list_notice_versions,
)
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import ConsentKind, FunnelStep, MailingList, Purpose
from newsletter.subscribers.signup import funnel, mail_quota, sql
from newsletter.subscribers.signup.request import (
    LINK_LIFETIME,
    REMINDER_INTERVAL,
    AcceptedSignup,
    SignupForm,
    accept_signup,
    mail_language,
    subscriber_mail_context,
)
from newsletter.subscribers.signup.sql import AddressState, SubscriberRef
from newsletter.web.signed_tokens import hash_secret

#: Template of the mail to someone who is subscribed already.
REMINDER_TEMPLATE = "already_subscribed"
#: Methods that begin at a form; the funnel counts these.
FORM_METHODS = {"form", "api"}


def request_subscription(form: SignupForm, *, now: datetime, visit: Visit, method: str = "form") -> None:
    """Accept a form and store it at once, in the caller's transaction."""
    store_signups([accept_signup(form, now=now, visit=visit, method=method)])


def store_signups(requests: Sequence[AcceptedSignup]) -> None:
    """Store signups and enqueue their confirmation mails, in the caller's transaction.

    Existing subscriptions are never changed. Someone who has all the lists already gets a reminder, at most
    once a day.
    """
    standings = sql.load_address_states(
        [request.form.address for request in requests], reminder=REMINDER_TEMPLATE
    )
    lists = {item.id: item for item in all_lists()}
    batch = _Batch(lists)
    for request in requests:
        batch.add(request, standings[request.form.address.key])
    batch.write()
    # Last, as everywhere: the row locks of counts are held as briefly as possible.
    funnel.record_steps(key for request in requests for key in _funnel_keys(request, lists))


def _funnel_keys(request: AcceptedSignup, lists: Mapping[int, MailingList]) -> Iterable[funnel.CountKey]:
    if request.method not in FORM_METHODS:
        return ()
    return funnel.count_keys(
        FunnelStep.SENT_IN,
        [list_id for list_id in request.form.list_ids if list_id in lists],
        language=request.form.language,
        form_host=funnel.host_of_url(request.visit.form_url),
        now=request.at,
    )


@dataclass(frozen=True, slots=True)
class _ConfirmationRequest:
    """A confirmation mail to be enqueued."""

    request: AcceptedSignup
    lists: list[MailingList]
    due_at: datetime
    secret: bytes

    @property
    def form_host(self) -> str | None:
        return (
            funnel.host_of_url(self.request.visit.form_url) if self.request.method in FORM_METHODS else None
        )


@dataclass(slots=True)
class _Batch:
    """The rows of some signups, collected before they are written."""

    lists: Mapping[int, MailingList]
    asks: list[_ConfirmationRequest] = field(default_factory=list)
    mails: list[dict[str, Any]] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, request: AcceptedSignup, standing: AddressState) -> None:
        """Decide what happens to a signup."""
        form = request.form
        chosen = [self.lists[list_id] for list_id in form.list_ids if list_id in self.lists]
        wanted = [item for item in chosen if item.id not in standing.held]
        allowed = [
            item for item in wanted if item.id in request.allowed and not standing.is_permanently_suppressed
        ]
        if allowed:
            due_at = mail_quota.reserve_slot(form.address, request.at, ip=request.visit.ip)
            self.asks.append(_ConfirmationRequest(request, allowed, due_at, secrets.token_bytes(16)))
        elif chosen and not wanted and standing.is_reminder_due(request.at, REMINDER_INTERVAL):
            self._remind(request, standing, chosen)
        unused = set(request.allowed) - {item.id for item in allowed}
        if unused:
            mail_quota.release(hash_address(form.address.key), unused)

    def write(self) -> None:
        """Write the collected rows."""
        if self.asks:
            people = sql.get_or_create_subscribers(
                [(ask.request.form.address, ask.request.form.language, ask.request.at) for ask in self.asks]
            )
            self._add_confirmations([people[ask.request.form.address.key] for ask in self.asks])
        outbox.enqueue_many(self.mails)
        sql.insert_consents(self.facts)

    def _remind(self, request: AcceptedSignup, standing: AddressState, lists: list[MailingList]) -> None:
        """Add the mail to someone who is subscribed already."""
        assert standing.person is not None  # noqa: S101 - is_reminder_due was True
        standing.reminded_at = request.at
        language = mail_language(lists, request.form.language)
        self.mails.append(
            outbox.mail_row(
                REMINDER_TEMPLATE,
                to=standing.person.address,
                language=language,
                now=request.at,
                subscriber_id=standing.person.id,
                context=subscriber_mail_context(standing.person, lists, language),
            )
        )

    def _add_confirmations(self, people: Sequence[SubscriberRef]) -> None:
        words, versions = _ConsentTextIds(), list_notice_versions()
        rows = [
            {
                "subscriber_id": person.id,
                "token_hash": hash_secret(ask.secret),
                "language": ask.request.form.language,
                "wording_id": words.id_of(Purpose.NEWSLETTER, ask.request, ask.request.wording),
                "tracking_wording_id": words.id_of(
                    Purpose.TRACKING, ask.request, ask.request.tracking_wording
                ),
                "refuses_tracking": ask.request.form.refuses_tracking,
                "browser_hash": ask.request.form.browser_hash,
                "form_host": ask.form_host,
                "created_at": ask.request.at,
                "expires_at": ask.request.at + LINK_LIFETIME,
            }
            for ask, person in zip(self.asks, people, strict=True)
        ]
        ids = sql.insert_signups(rows, [[item.id for item in ask.lists] for ask in self.asks])
        for ask, person, row, signup_id in zip(self.asks, people, rows, ids, strict=True):
            mail = _confirmation_mail_row(ask, person, signup_id)
            self.mails.append(mail)
            notice = max(
                (number for number, at in versions if at <= ask.request.at), default=FIRST_NOTICE_VERSION
            )
            self.facts += _consent_rows(ask, row, notice, mail["message_id"])


class _ConsentTextIds:
    """Cached ids of the consent texts of a batch."""

    def __init__(self) -> None:
        self._ids: dict[tuple[Purpose, str, str], int] = {}

    def id_of(self, purpose: Purpose, request: AcceptedSignup, text: str | None) -> int | None:
        """Return the id of the stored consent text; None where a box was not ticked."""
        if text is None:
            return None
        key = (purpose, request.form.language, text)
        if key not in self._ids:
            self._ids[key] = get_or_create_wording(*key, request.at).id
        return self._ids[key]


def _confirmation_mail_row(
    ask: _ConfirmationRequest, person: SubscriberRef, signup_id: int
) -> dict[str, Any]:
    request, list_ids = ask.request, [item.id for item in ask.lists]
    language = mail_language(ask.lists, request.form.language)
    tokens = {
        "confirm": links.CONFIRM.make(ask.secret, int(request.at.timestamp())),
        "cancel": links.CANCEL.make(signup_id, person.id),
        "preferences": links.PREFERENCES.make(person.id),
    }
    urls = {
        f"{kind}_url": links.token_url(f"subscribers.{kind}", token, language)
        for kind, token in tokens.items()
    }
    return outbox.mail_row(
        "confirm",
        to=person.address,
        language=language,
        now=request.at,
        due_at=ask.due_at,
        subscriber_id=person.id,
        context=urls
        | {
            "requested_at": request.at.isoformat(),
            "expires_at": (request.at + LINK_LIFETIME).isoformat(),
            "lists": [item.name for item in ask.lists],
            "funnel": funnel.mail_context(list_ids, request.form.language, ask.form_host),
        },
    )


def _consent_rows(
    ask: _ConfirmationRequest, row: Mapping[str, Any], notice: int, mail_id: str
) -> list[dict[str, Any]]:
    asked: list[tuple[int | None, int]] = [(item.id, row["wording_id"]) for item in ask.lists]
    if row["tracking_wording_id"] is not None:
        asked.append((None, row["tracking_wording_id"]))
    return [
        consent_row(
            ConsentKind.ASKED,
            row["subscriber_id"],
            list_id,
            wording_id,
            now=ask.request.at,
            method=ask.request.method,
            visit=ask.request.visit,
            notice=notice,
        )
        | {"mail_id": mail_id}
        for list_id, wording_id in asked
    ]
