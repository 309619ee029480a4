"""Published versions of the privacy notice: numbered, dated, immutable, all of them public.

Consents refer to the version in force. Before the first publication the notice is generated from the
settings, as number 1.
"""

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.models import Notice
from newsletter.privacy.notice.content import assemble_notice, missing_parts


class NoticeIncomplete(NewsletterError):
    """A part that the law wants is missing (PP-4)."""

    message = N_("The notice cannot be published. Missing: %(parts)s")


class NoticeUnchanged(NewsletterError):
    """It says what the published one says."""

    message = N_("Nothing has changed since the published version.")


def publish(*, now: datetime, actor: str) -> Notice:
    """Publish what the settings and the register say now as the next version.

    Raises NoticeIncomplete or NoticeUnchanged.
    """
    if missing := missing_parts():
        raise NoticeIncomplete(parts=", ".join(missing))
    content, last = assemble_notice(), current_notice()
    if last is not None and last.content == content:
        raise NoticeUnchanged
    version = last.version + 1 if last else 1
    row = {"version": version, "content": content, "published_at": now, "actor": actor}
    if not insert_or_ignore(Notice, row):
        raise NoticeUnchanged  # somebody published at the same moment
    audit.record("notice published", actor=actor, now=now, object=f"notice:{version}")
    return db.session.get_one(Notice, version)


def publish_first_version(now: datetime) -> None:
    """Publish version 1 of an installation that is complete, so that consents point to words that stay."""
    if current_notice() is None and not missing_parts():
        publish(now=now, actor="system")
        db.session.commit()
    else:
        db.session.rollback()


def current_notice() -> Notice | None:
    """Return the version in force; None before the first."""
    return db.session.scalar(sa.select(Notice).order_by(Notice.version.desc()).limit(1))


def list_versions() -> Sequence[Notice]:
    """Return every version, newest first."""
    return db.session.scalars(sa.select(Notice).order_by(Notice.version.desc())).all()


def sections_of(content: dict[str, Any], code: str) -> list[dict[str, Any]]:
    """Return the sections of a stored notice in a language, else in its first."""
    found: list[dict[str, Any]] = content.get(code) or next(iter(content.values()))
    return found


def diff_versions(
    old: dict[str, Any] | None, new: dict[str, Any], code: str | None = None
) -> list[tuple[str, str]]:
    """Return what changed between two versions, as ("added" or "removed", sentence)."""
    code = code or current_settings().languages[0]
    before, after = (_lines(content, code) if content else [] for content in (old, new))
    signs = {"+ ": "added", "- ": "removed"}
    return [
        (signs[line[:2]], line[2:]) for line in difflib.ndiff(before, after) if line[:2] in signs and line[2:]
    ]


def _lines(content: dict[str, Any], code: str) -> list[str]:
    lines = []
    for section in sections_of(content, code):
        lines += [section["heading"], *section["paragraphs"]]
        lines += [f"{term}: {text}" for term, text in section["rows"]]
    return lines
