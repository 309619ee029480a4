"""From accepted requests to rows: signups, subscriptions, evidence and confirmation mails.

Many at a time, as strangers can have them made by the thousand. What becomes of a request depends
on what its address is to us, and nobody waits for it: the answer has long been given (SU-6).
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
from newsletter.subscribers.consent.texts import FIRST_NOTICE, notices, store_wording
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import ConsentKind, FunnelStep, MailingList, Purpose
from newsletter.subscribers.signup import funnel, mail_quota, sql
from newsletter.subscribers.signup.request import (
    LINK_LASTS,
    REMIND_AFTER,
    Request,
    SignupForm,
    accept,
    links_of_subscriber,
    mail_language,
)
from newsletter.subscribers.signup.sql import Known, Standing
from newsletter.web.signed_tokens import hash_secret

#: "You are already a subscriber".
ALREADY = "already_subscribed"
#: The ways of asking that began at a form; the funnel counts these.
FORMS = {"form", "api"}


def request_subscription(form: SignupForm, *, now: datetime, visit: Visit, method: str = "form") -> None:
    """Accept a form and store it at once, in the caller's transaction."""
    store([accept(form, now=now, visit=visit, method=method)])


def store(requests: Sequence[Request]) -> None:
    """Record requests and put their confirmation mails in the outbox, in the caller's transaction.

    Existing subscriptions are never changed, and someone who has all the lists already is told so,
    once a day.
    """
    standings = sql.look_up([request.form.address for request in requests], reminder=ALREADY)
    lists = {item.id: item for item in all_lists()}
    batch = _Batch(lists)
    for request in requests:
        batch.add(request, standings[request.form.address.key])
    batch.write()
    # Last, as everywhere: whoever holds a count for long holds up the next one.
    funnel.record_all(key for request in requests for key in _sent_in(request, lists))


def _sent_in(request: Request, lists: Mapping[int, MailingList]) -> Iterable[funnel.Key]:
    if request.method not in FORMS:
        return ()
    return funnel.keys_of(
        FunnelStep.SENT_IN,
        [list_id for list_id in request.form.list_ids if list_id in lists],
        language=request.form.language,
        form_host=funnel.host_of(request.visit.form_url),
        now=request.at,
    )


@dataclass(frozen=True, slots=True)
class _Ask:
    """A confirmation mail to be."""

    request: Request
    lists: list[MailingList]
    due_at: datetime
    secret: bytes

    @property
    def form_host(self) -> str | None:
        return funnel.host_of(self.request.visit.form_url) if self.request.method in FORMS else None


@dataclass(slots=True)
class _Batch:
    """The rows of some requests, gathered before any is written."""

    lists: Mapping[int, MailingList]
    asks: list[_Ask] = field(default_factory=list)
    mails: list[dict[str, Any]] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, request: Request, standing: Standing) -> None:
        """Decide what becomes of a request."""
        form = request.form
        chosen = [self.lists[list_id] for list_id in form.list_ids if list_id in self.lists]
        wanted = [item for item in chosen if item.id not in standing.held]
        allowed = [item for item in wanted if item.id in request.allowed and not standing.is_barred]
        if allowed:
            due_at = mail_quota.take_turn(form.address, request.at)
            if due_at is not None:
                self.asks.append(_Ask(request, allowed, due_at, secrets.token_bytes(16)))
        elif chosen and not wanted and standing.may_be_told(request.at, REMIND_AFTER):
            self._remind(request, standing, chosen)
        unused = set(request.allowed) - {item.id for item in allowed}
        if unused:
            mail_quota.give_back(hash_address(form.address.key), unused)

    def write(self) -> None:
        """Write everything down."""
        if self.asks:
            people = sql.find_or_add(
                [(ask.request.form.address, ask.request.form.language, ask.request.at) for ask in self.asks]
            )
            self._ask([people[ask.request.form.address.key] for ask in self.asks])
        outbox.enqueue_many(self.mails)
        sql.add_consents(self.facts)

    def _remind(self, request: Request, standing: Standing, lists: list[MailingList]) -> None:
        """Tell someone who subscribes again that there is nothing to do."""
        assert standing.person is not None  # noqa: S101 - who is told is somebody
        standing.told_at = request.at
        language = mail_language(lists, request.form.language)
        self.mails.append(
            outbox.mail_row(
                ALREADY,
                to=standing.person.address,
                language=language,
                now=request.at,
                subscriber_id=standing.person.id,
                context=links_of_subscriber(standing.person, lists, language),
            )
        )

    def _ask(self, people: Sequence[Known]) -> None:
        words, versions = _Words(), notices()
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
                "expires_at": ask.request.at + LINK_LASTS,
            }
            for ask, person in zip(self.asks, people, strict=True)
        ]
        ids = sql.add_signups(rows, [[item.id for item in ask.lists] for ask in self.asks])
        for ask, person, row, signup_id in zip(self.asks, people, rows, ids, strict=True):
            mail = _confirmation(ask, person, signup_id)
            self.mails.append(mail)
            notice = max((number for number, at in versions if at <= ask.request.at), default=FIRST_NOTICE)
            self.facts += _facts(ask, row, notice, mail["message_id"])


class _Words:
    """The stored versions of the words that the boxes of a batch showed."""

    def __init__(self) -> None:
        self._ids: dict[tuple[Purpose, str, str], int] = {}

    def id_of(self, purpose: Purpose, request: Request, text: str | None) -> int | None:
        """Return the version of these words; None where a box was left empty."""
        if text is None:
            return None
        key = (purpose, request.form.language, text)
        if key not in self._ids:
            self._ids[key] = store_wording(*key, request.at).id
        return self._ids[key]


def _confirmation(ask: _Ask, person: Known, signup_id: int) -> dict[str, Any]:
    request, list_ids = ask.request, [item.id for item in ask.lists]
    language = mail_language(ask.lists, request.form.language)
    tokens = {
        "confirm": links.CONFIRM.make(ask.secret, int(request.at.timestamp())),
        "cancel": links.CANCEL.make(signup_id, person.id),
        "preferences": links.PREFERENCES.make(person.id),
    }
    urls = {
        f"{kind}_url": links.address_of(f"subscribers.{kind}", token, language)
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
            "expires_at": (request.at + LINK_LASTS).isoformat(),
            "lists": [item.name for item in ask.lists],
            "funnel": funnel.of_mail(list_ids, request.form.language, ask.form_host),
        },
    )


def _facts(ask: _Ask, row: Mapping[str, Any], notice: int, mail_id: str) -> list[dict[str, Any]]:
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
