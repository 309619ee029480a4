"""Lists: made by staff, chosen by visitors."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from flask import current_app

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore, read_transactions
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.subscribers.models import MailingList
from newsletter.web.i18n import force_language, translate

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

#: The lists of a database that has none, so that a newcomer can subscribe to something.
FIRST_LISTS = {
    "fi": ("suomeksi", N_("Newsletter in Finnish")),
    "en": ("in-english", N_("Newsletter in English")),
}


class UnknownList(NotFound):
    """There is no list of that name."""

    message = N_("There is no list called %(slug)s.")


class ListExists(NewsletterError):
    """The slug is taken."""

    message = N_("There is already a list called %(slug)s.")


class ListInvalid(NewsletterError):
    """The list cannot be made as described."""

    message = N_(
        "A list needs a name, a slug of a-z, 0-9 and hyphens, and one of the languages %(languages)s."
    )


_BY_SLUG = (
    sa.select(MailingList)
    .where(MailingList.slug.in_(sa.bindparam("slugs", expanding=True)))
    .order_by(MailingList.id)
)


def all_lists(within: Sequence[str] | None = None) -> Sequence[MailingList]:
    """Return every list, or those of these slugs alone, oldest first."""
    found = db.session.scalars(sa.select(MailingList).order_by(MailingList.id)).all()
    return found if within is None else [item for item in found if item.slug in within]


def require_within(slug: str, within: Sequence[str]) -> None:
    """Raise UnknownList for a list that is not among these: to whom is limited to them, there is none."""
    if slug not in within:
        raise UnknownList(slug=slug[:60])


def get_lists(slugs: Iterable[str], within: Sequence[str] | None = None) -> list[MailingList]:
    """Return the lists of these slugs, oldest first.

    Raises UnknownList for the first unknown one, and for one that is not ``within``.
    """
    wanted = set(slugs)
    for slug in sorted(wanted) if within is not None else ():
        require_within(slug, within or ())
    possible = [slug for slug in wanted if _SLUG.fullmatch(slug)]  # the rest may be no text at all
    found = list(db.session.scalars(_BY_SLUG, {"slugs": possible}))
    missing = wanted - {mailing_list.slug for mailing_list in found}
    if missing:
        raise UnknownList(slug=min(missing)[:60])
    return found


def ids_of(slugs: Iterable[str]) -> list[int]:
    """Do as ``get_lists`` for a form: return ids, as a rule without asking the database.

    Ends the transaction of the session when it has to.
    """
    known: dict[str, int] = current_app.extensions.setdefault("newsletter.list_ids", {})
    wanted = set(slugs)
    if not wanted <= known.keys():
        with read_transactions():  # for names that nobody knows, nobody shall wait
            known.update({item.slug: item.id for item in get_lists(wanted)})
            db.session.rollback()
    return sorted(known[slug] for slug in wanted)


def create_list(
    *,
    slug: str,
    name: str,
    language: str,
    now: datetime,
    actor: str,
    topics: str = "",
    frequency: str = "",
    is_public: bool = True,
) -> MailingList:
    """Make a list; raise ListInvalid or ListExists."""
    name = " ".join(name.split())
    if not _SLUG.fullmatch(slug) or not name or language not in current_settings().languages:
        raise ListInvalid(languages=", ".join(current_settings().languages))
    row = {
        "slug": slug,
        "name": name,
        "language": language,
        "topics": topics,
        "frequency": frequency,
        "is_public": is_public,
        "created_at": now,
    }
    if not insert_or_ignore(MailingList, row):
        raise ListExists(slug=slug)
    made = get_lists([slug])[0]
    audit.record("list created", actor=actor, now=now, object=f"list:{made.id}")
    return made


def set_public(slug: str, *, is_public: bool, now: datetime, actor: str) -> MailingList:
    """Put what went to a list into the archive, or take it out; raise UnknownList."""
    (found,) = get_lists([slug])
    found.is_public = is_public
    action = "list made public" if is_public else "list made private"
    audit.record(action, actor=actor, now=now, object=f"list:{found.id}")
    return found


def create_first_lists(now: datetime) -> None:
    """Give an empty database one list in each language."""
    if db.session.scalar(sa.select(MailingList.id).limit(1)) is not None:
        return
    for language in current_settings().languages:
        slug, name = FIRST_LISTS[language]
        with force_language(language):
            create_list(slug=slug, name=translate(name), language=language, now=now, actor="system")
