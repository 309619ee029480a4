"""The words of the boxes, and the version of them that somebody saw."""

from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db, insert_or_ignore
from newsletter.errors import N_
from newsletter.i18n import speaking, translate
from newsletter.subscribers.models import Purpose, Wording

#: The version of the privacy notice that pages link to.
NOTICE_VERSION = 1

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


def wording_text(purpose: Purpose, language: str) -> str:
    """Return the label of a box as a page in this language shows it."""
    with speaking(language):
        return translate(TEXTS[purpose])


def shown_wording(purpose: Purpose, language: str, now: datetime) -> Wording:
    """Return the stored version of the words a page in this language shows now.

    The first to see new words stores them; two at once agree on one row.
    """
    text = wording_text(purpose, language)
    same = sa.select(Wording).where(
        Wording.purpose == purpose, Wording.language == language, Wording.text == text
    )
    found = db.session.scalar(same)
    if found is not None:
        return found
    version = db.session.scalar(
        sa.select(sa.func.coalesce(sa.func.max(Wording.version), 0)).where(
            Wording.purpose == purpose, Wording.language == language
        )
    )
    row = {
        "purpose": purpose,
        "language": language,
        "version": (version or 0) + 1,
        "text": text,
        "created_at": now,
    }
    insert_or_ignore(Wording, row)
    return db.session.scalars(same).one()
