"""Consent texts, and their stored versions."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from newsletter.db import UtcDateTime, db, insert_or_ignore
from newsletter.errors import N_
from newsletter.subscribers.models import Purpose, Wording
from newsletter.web.i18n import force_language, translate

#: The version of the privacy notice before any is published.
FIRST_NOTICE_VERSION = 1
#: The table belongs to a package above.
_NOTICES = sa.table("notices", sa.column("version"), sa.column("published_at", UtcDateTime))
_SELECT_NOTICE_VERSION = sa.select(sa.func.max(_NOTICES.c.version))

CONSENT_TEXTS = {
    Purpose.NEWSLETTER: N_(
        "I want to subscribe to the newsletter. I can cancel the subscription at any time through the link"
        " in every newsletter."
    ),
    Purpose.TRACKING: N_(
        "I allow opens and clicks to be measured. My IP address is stored with them. The data is used"
        " only to measure how well our communication works. (Optional)"
    ),
}


#: Shown instead of the consent text where tracking is the default (TRACKING=notice).
TRACKING_NOTICE = N_(
    "We track opens and clicks of our newsletters. Your IP address is stored with them. The data is used"
    " only to measure how well our communication works."
)


_SELECT_BY_TEXT = sa.select(Wording).where(
    Wording.purpose == sa.bindparam("purpose"),
    Wording.language == sa.bindparam("language"),
    Wording.text == sa.bindparam("text"),
)


def current_notice_version() -> int:
    """Return the version of the privacy notice in force."""
    return db.session.connection().execute(_SELECT_NOTICE_VERSION).scalar() or FIRST_NOTICE_VERSION


def list_notice_versions() -> Sequence[tuple[int, datetime]]:
    """Return the versions of the privacy notice with their publication times, oldest first."""
    rows = db.session.connection().execute(sa.select(_NOTICES).order_by(_NOTICES.c.version))
    return [(version, published_at) for version, published_at in rows]


def get_consent_text(purpose: Purpose, language: str) -> str:
    """Return the label of a consent box in this language."""
    return text_in_language(CONSENT_TEXTS[purpose], language)


@cache
def text_in_language(text: str, language: str) -> str:
    """Return a text translated to a language other than that of the request."""
    with force_language(language):
        return translate(text)


def current_wording(purpose: Purpose, language: str, now: datetime) -> Wording:
    """Return the stored version of the consent text that pages in this language show now.

    Stored on first use; concurrent callers get the same row.
    """
    return get_or_create_wording(purpose, language, get_consent_text(purpose, language), now)


def get_or_create_wording(purpose: Purpose, language: str, text: str, now: datetime) -> Wording:
    """Return the stored version of exactly this text; a new version if it is not stored yet."""
    same = {"purpose": purpose, "language": language, "text": text}
    # Another process may take the next version for another text: then try the one after it.
    while (found := db.session.scalar(_SELECT_BY_TEXT, same)) is None:
        row = {
            "purpose": purpose,
            "language": language,
            "version": _latest_version(purpose, language) + 1,
            "text": text,
            "created_at": now,
        }
        insert_or_ignore(Wording, row)
    return found


def _latest_version(purpose: Purpose, language: str) -> int:
    versions = sa.select(sa.func.max(Wording.version))
    return db.session.scalar(versions.where(Wording.purpose == purpose, Wording.language == language)) or 0
