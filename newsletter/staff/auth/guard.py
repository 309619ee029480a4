"""The before_request hook of staff pages: session, role, lists, account setup, re-authentication."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app, flash, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import current_user

from newsletter import db as database
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import NotAllowed
from newsletter.staff.auth import reauthenticate, sessions
from newsletter.staff.auth.access import (
    SESSION_KEY,
    Access,
    allowed_lists,
    clear_session_cookie,
    get_access,
    is_staff_path,
    required_setup_page,
)
from newsletter.staff.models import StaffSession

#: Raises for an object not wholly within these lists, as for one that does not exist.
ListCheck = Callable[[Any, Sequence[str]], None]
_LIST_CHECKS_KEY = "newsletter.held_to_lists"


def init_app(app: Flask) -> None:
    """Guard every staff page."""
    app.extensions[_LIST_CHECKS_KEY] = {}
    app.before_request(_check_access)


def limit_to_lists(app: Flask, part: str, require: ListCheck) -> None:
    """Say how what the part of an address names is held to the lists of staff who are limited to some."""
    app.extensions[_LIST_CHECKS_KEY][part] = require


def _check_access() -> ResponseReturnValue | None:
    if request.endpoint is None:
        return None
    access = get_access(current_app.view_functions[request.endpoint])
    if access is None and not is_staff_path(request.path):
        return None
    now = utcnow()
    current = _find_session(now)
    if access is not None and not access.roles:
        return None
    if current is None:
        flash(_("Log in to see this page."), "info")
        return redirect(url_for("staff.login", next=_return_url()))
    if access is None or current_user.role not in access.roles:
        raise NotAllowed
    if access.upload:
        request.max_content_length = access.upload
    if not access.unfinished and (lists := allowed_lists()) is not None:
        _require_list_access(lists, access)
    return _require_setup_and_freshness(access, current, now)


def _require_list_access(lists: Sequence[str], access: Access) -> None:
    if not access.by_list:
        raise NotAllowed
    for part, require in current_app.extensions[_LIST_CHECKS_KEY].items():
        if part in (request.view_args or {}):
            require((request.view_args or {})[part], lists)


def _require_setup_and_freshness(
    access: Access, current: StaffSession, now: datetime
) -> ResponseReturnValue | None:
    if not access.unfinished and (page := required_setup_page(current_user)):
        return redirect(url_for(page))
    if access.fresh and not sessions.is_fresh(current, now=now):
        if request.method == "POST":
            return reauthenticate.require_reauthentication(current, now=now)
        return redirect(url_for("staff.verify", next=_referring_page() or _return_url()), 303)
    return None


def _find_session(now: datetime) -> StaffSession | None:
    """Return the session this browser is signed in with; what is over leaves no trace in the cookie."""
    token = session.get(SESSION_KEY, "")
    found = sessions.find_session(token, now=now) if token else None
    if found is None or not current_user.is_authenticated or current_user.id != found.staff_id:
        if current_user.is_authenticated:
            clear_session_cookie()
        return None
    if now >= found.seen_at + sessions.LAST_SEEN_INTERVAL:
        found = _record_last_seen(token, now)
    g.staff_session = found
    return found


def _record_last_seen(token: str, now: datetime) -> StaffSession | None:
    """Update a session's last-seen time, the only write of a GET request. Commits."""
    database.restart_for_writing()
    found = sessions.find_session(token, now=now)
    if found is not None:
        found.seen_at = now
        db.session.commit()
    if request.method in {"GET", "HEAD"}:
        database.use_read_transactions()
    return found


def _return_url() -> str | None:
    """Return where to come back to: this page, or for a form the page it stands on."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?") if request.query_string else request.path
    return _referring_page()


def _referring_page() -> str | None:
    """Return the page of ours that led here: a file is no place to come back to."""
    referrer = urlsplit(request.referrer or "")
    if referrer.netloc != request.host:
        return None
    return f"{referrer.path}?{referrer.query}" if referrer.query else referrer.path
