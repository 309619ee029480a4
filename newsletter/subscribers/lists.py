"""Mailing lists: look-up and creation."""

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

_SLUG_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

#: Slug and name by language of the lists created in an empty database.
DEFAULT_LISTS = {
    "fi": ("suomeksi", N_("Newsletter in Finnish")),
    "en": ("in-english", N_("Newsletter in English")),
}


class UnknownList(NotFound):
    """No list has that slug."""

    message = N_("There is no list called %(slug)s.")


class ListExists(NewsletterError):
    """The slug is taken."""

    message = N_("There is already a list called %(slug)s.")


class ListInvalid(NewsletterError):
    """Name, slug or language of a new list is invalid."""

    message = N_(
        "A list needs a name, a slug of a-z, 0-9 and hyphens, and one of the languages %(languages)s."
    )


_SELECT_BY_SLUG = (
    sa.select(MailingList)
    .where(MailingList.slug.in_(sa.bindparam("slugs", expanding=True)))
    .order_by(MailingList.id)
)


def all_lists(within: Sequence[str] | None = None) -> Sequence[MailingList]:
    """Return all lists, or those with the slugs ``within``, by id."""
    found = db.session.scalars(sa.select(MailingList).order_by(MailingList.id)).all()
    return found if within is None else [item for item in found if item.slug in within]


def require_list_access(slug: str, within: Sequence[str]) -> None:
    """Raise UnknownList unless ``slug`` is among those that the caller may see."""
    if slug not in within:
        raise UnknownList(slug=slug[:60])


def get_lists(slugs: Iterable[str], within: Sequence[str] | None = None) -> list[MailingList]:
    """Return the lists of these slugs, by id.

    Raises UnknownList for the first unknown slug, and for one that is not in ``within``.
    """
    wanted = set(slugs)
    for slug in sorted(wanted) if within is not None else ():
        require_list_access(slug, within or ())
    possible = [slug for slug in wanted if _SLUG_PATTERN.fullmatch(slug)]  # others may hold NUL
    found = list(db.session.scalars(_SELECT_BY_SLUG, {"slugs": possible}))
    missing = wanted - {mailing_list.slug for mailing_list in found}
    if missing:
        raise UnknownList(slug=min(missing)[:60])
    return found


def get_list_ids(slugs: Iterable[str]) -> list[int]:
    """Return the ids of lists by slug, from a cache where possible. Raises UnknownList.

    Ends the session's transaction when it has to query.
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
    """Create a list; raise ListInvalid or ListExists."""
    name = " ".join(name.split())
    if not _SLUG_PATTERN.fullmatch(slug) or not name or language not in current_settings().languages:
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
    """Add the newsletters of a list to the public archive, or remove them; raise UnknownList."""
    (found,) = get_lists([slug])
    found.is_public = is_public
    action = "list made public" if is_public else "list made private"
    audit.record(action, actor=actor, now=now, object=f"list:{found.id}")
    return found


def create_default_lists(now: datetime) -> None:
    """Create one list for each language in an empty database."""
    if db.session.scalar(sa.select(MailingList.id).limit(1)) is not None:
        return
    for language in current_settings().languages:
        slug, name = DEFAULT_LISTS[language]
        with force_language(language):
            create_list(slug=slug, name=translate(name), language=language, now=now, actor="system")
