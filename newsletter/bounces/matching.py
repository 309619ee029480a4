"""Which mail of ours a report is about. Only what we signed ourselves says so, never an address."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from newsletter.campaigns.models import Edition
from newsletter.db import db
from newsletter.errors import LinkInvalid
from newsletter.mail.models import OutboxMail
from newsletter.mail.return_path import OUTBOX_CAMPAIGN, UNSUBSCRIBE_TAG, SentMail, return_paths
from newsletter.sending.message.personalize import MESSAGE_ID

#: How far back a single mail is looked for by its Message-ID, which has no index: it bounces soon or never.
_LAST_MAILS = 20_000
_MESSAGE_ID = re.compile(r"<?([\w.-]{20,120})@[\w.-]+>?")
_MOST_IDS = 20
#: Of one header.
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Named:
    """A mail of ours that a report names. ``leaves`` where it names it to leave."""

    sent: SentMail
    leaves: bool = False


def find_named(texts: Iterable[str]) -> Named | None:
    """Return the mail that these texts name, the first of them that holds a genuine token.

    The return path is looked for first; a relay that writes its own leaves our Message-ID.
    """
    texts = [text[:_LONGEST] for text in texts if text]
    for text in texts:
        for letter, sent in return_paths().find(text):
            return Named(sent, leaves=letter == UNSUBSCRIBE_TAG)
    found = _by_message_id(texts)
    return Named(found) if found else None


def _by_message_id(texts: list[str]) -> SentMail | None:
    ids = [name for text in texts for name in _MESSAGE_ID.findall(text)][:_MOST_IDS]
    for name in ids:
        try:
            edition_id, subscriber_id = MESSAGE_ID.read(name)
        except LinkInvalid:
            continue
        campaign_id = db.session.scalar(sa.select(Edition.campaign_id).where(Edition.id == edition_id))
        if campaign_id is not None:
            return SentMail(campaign_id, subscriber_id)
    return _single_mail(ids)


def _single_mail(ids: list[str]) -> SentMail | None:
    """Look for a mail of the outbox: its Message-ID is random, so knowing it is proof."""
    if not ids:
        return None
    newest = sa.select(sa.func.coalesce(sa.func.max(OutboxMail.id), 0)).scalar_subquery()
    recent = OutboxMail.id > newest - _LAST_MAILS
    sought = sa.or_(*(OutboxMail.message_id.startswith(f"<{name}@", autoescape=True) for name in ids))
    mail_id = db.session.scalar(sa.select(OutboxMail.id).where(recent, sought).limit(1))
    return SentMail(OUTBOX_CAMPAIGN, mail_id) if mail_id else None
