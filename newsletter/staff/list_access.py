"""Staff limited to some lists: they see and change nothing of the others (SS-2)."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.staff.accounts import sign_out_everywhere
from newsletter.staff.models import LIMITABLE_ROLES, Role, Staff, StaffInvitation

#: The lists stand above this domain.
_LISTS = sa.table("lists", sa.column("id"), sa.column("slug", sa.String), sa.column("name", sa.String))


class NotLimitable(NewsletterError):
    """Who answers for people answers for all of each, and an administrator for everything."""

    message = N_("Only viewers, editors and senders can be limited to lists.")


class ListsMissing(NewsletterError):
    """Limited to nothing is no account, and what is not there limits nobody."""

    message = N_("Choose at least one list.")


def list_choices() -> Sequence[tuple[str, str]]:
    """Return slug and name of every list, oldest first."""
    rows = db.session.execute(sa.select(_LISTS.c.slug, _LISTS.c.name).order_by(_LISTS.c.id))
    return [(slug, name) for slug, name in rows]


def allowed_list_names(account: Staff | StaffInvitation) -> list[str] | None:
    """Return the names of the lists somebody is limited to; None means all."""
    if account.lists is None:
        return None
    return [name for slug, name in list_choices() if slug in account.lists]


def validate_lists(role: Role, lists: Iterable[str] | None) -> list[str] | None:
    """Return to which lists somebody of a level may be limited; raise NotLimitable or ListsMissing."""
    if lists is None:
        return None
    chosen = sorted(set(lists))
    if role not in LIMITABLE_ROLES:
        raise NotLimitable
    if not chosen or set(chosen) - {slug for slug, _name in list_choices()}:
        raise ListsMissing
    return chosen


def limit_to_lists(account: Staff, lists: Iterable[str] | None, *, now: datetime, actor: str) -> None:
    """Limit an account to lists, or with None to none, at once: its sessions end.

    Raises NotLimitable or ListsMissing.
    """
    before, account.lists = account.lists, validate_lists(account.role, lists)
    sign_out_everywhere(account, now=now)
    audit.record(
        "staff lists changed",
        actor=actor,
        now=now,
        object=f"staff:{account.id}",
        before=before or "all",
        after=account.lists or "all",
    )
