"""Matches a report to a sent mail, by the tokens we signed; never by an address."""

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

#: Newest outbox rows searched by Message-ID, which has no index: single mails bounce soon or never.
_MAX_SCANNED_MAILS = 20_000
_MESSAGE_ID_PATTERN = re.compile(r"<?([\w.-]{20,120})@[\w.-]+>?")
_MAX_IDS = 20
#: Characters of one header.
_MAX_HEADER_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class MatchedMail:
    """The matched mail. ``is_unsubscribe`` when its unsubscribe address was written to."""

    sent: SentMail
    is_unsubscribe: bool = False


def match_mail(texts: Iterable[str]) -> MatchedMail | None:
    """Return the mail of the first genuine token in these texts, or None.

    Return paths are tried first; a relay that replaces them keeps our Message-ID.
    """
    texts = [text[:_MAX_HEADER_LENGTH] for text in texts if text]
    for text in texts:
        for letter, sent in return_paths().find(text):
            return MatchedMail(sent, is_unsubscribe=letter == UNSUBSCRIBE_TAG)
    found = _match_message_id(texts)
    return MatchedMail(found) if found else None


def _match_message_id(texts: list[str]) -> SentMail | None:
    ids = [name for text in texts for name in _MESSAGE_ID_PATTERN.findall(text)][:_MAX_IDS]
    for name in ids:
        try:
            edition_id, subscriber_id = MESSAGE_ID.read(name)
        except LinkInvalid:
            continue
        campaign_id = db.session.scalar(sa.select(Edition.campaign_id).where(Edition.id == edition_id))
        if campaign_id is not None:
            return SentMail(campaign_id, subscriber_id)
    return _match_outbox_mail(ids)


def _match_outbox_mail(ids: list[str]) -> SentMail | None:
    """Find an outbox mail: its Message-ID is random, so knowing it is proof."""
    if not ids:
        return None
    newest = sa.select(sa.func.coalesce(sa.func.max(OutboxMail.id), 0)).scalar_subquery()
    recent = OutboxMail.id > newest - _MAX_SCANNED_MAILS
    sought = sa.or_(*(OutboxMail.message_id.startswith(f"<{name}@", autoescape=True) for name in ids))
    mail_id = db.session.scalar(sa.select(OutboxMail.id).where(recent, sought).limit(1))
    return SentMail(OUTBOX_CAMPAIGN, mail_id) if mail_id else None
