"""The words of the boxes, and the version of them that somebody saw."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from newsletter.db import UtcDateTime, db, insert_or_ignore
from newsletter.errors import N_
from newsletter.subscribers.models import Purpose, Wording
from newsletter.web.i18n import force_language, translate

#: The version of the privacy notice before the first was published.
FIRST_NOTICE = 1
#: A table of a rung above.
_NOTICES = sa.table("notices", sa.column("version"), sa.column("published_at", UtcDateTime))
_NEWEST_NOTICE = sa.select(sa.func.max(_NOTICES.c.version))

TEXTS = {
    Purpose.NEWSLETTER: N_(
        "I want to subscribe to the newsletter. I can cancel the subscription at any time through the link"
        " in every newsletter."
    ),
    Purpose.TRACKING: N_(
        "I allow opens and clicks to be measured. My IP address is stored with them. The data is used"
        " only to measure how well our communication works. (Optional)"
    ),
}


#: Where whoever does not refuse is measured, this stands in the place of the question.
TRACKING_TOLD = N_(
    "We track opens and clicks of our newsletters. Your IP address is stored with them. The data is used"
    " only to measure how well our communication works."
)


_SAME = sa.select(Wording).where(
    Wording.purpose == sa.bindparam("purpose"),
    Wording.language == sa.bindparam("language"),
    Wording.text == sa.bindparam("text"),
)


def notice_version() -> int:
    """Return the version of the privacy notice that is shown now."""
    return db.session.connection().execute(_NEWEST_NOTICE).scalar() or FIRST_NOTICE


def notices() -> Sequence[tuple[int, datetime]]:
    """Return the versions of the privacy notice and since when each was shown, oldest first."""
    rows = db.session.connection().execute(sa.select(_NOTICES).order_by(_NOTICES.c.version))
    return [(version, published_at) for version, published_at in rows]


def wording_text(purpose: Purpose, language: str) -> str:
    """Return the label of a box as a page in this language shows it."""
    return text_in(TEXTS[purpose], language)


@cache
def text_in(text: str, language: str) -> str:
    """Return a text in a language that need not be the one in force."""
    with force_language(language):
        return translate(text)


def shown_wording(purpose: Purpose, language: str, now: datetime) -> Wording:
    """Return the stored version of the words a page in this language shows now.

    The first to see new words stores them; two at once agree on one row.
    """
    return store_wording(purpose, language, wording_text(purpose, language), now)


def store_wording(purpose: Purpose, language: str, text: str, now: datetime) -> Wording:
    """Return the stored version of exactly this text, which is a new one when nobody has seen it yet."""
    same = {"purpose": purpose, "language": language, "text": text}
    # Another process may take the next number for other words: then ours is the one after it.
    while (found := db.session.scalar(_SAME, same)) is None:
        row = {
            "purpose": purpose,
            "language": language,
            "version": _newest(purpose, language) + 1,
            "text": text,
            "created_at": now,
        }
        insert_or_ignore(Wording, row)
    return found


def _newest(purpose: Purpose, language: str) -> int:
    versions = sa.select(sa.func.max(Wording.version))
    return db.session.scalar(versions.where(Wording.purpose == purpose, Wording.language == language)) or 0
