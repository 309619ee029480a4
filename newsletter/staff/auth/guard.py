"""The guard before every page: who is signed in, whether the page lets them in, and what comes first."""

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
    SESSION,
    Access,
    access_of,
    is_staff_path,
    leave_cookie,
    next_to_do,
    own_lists,
)
from newsletter.staff.models import StaffSession

#: Raises for what of a kind is not wholly in these lists, as for what is not there.
Require = Callable[[Any, Sequence[str]], None]
_HELD = "newsletter.held_to_lists"


def init_app(app: Flask) -> None:
    """Guard every staff page."""
    app.extensions[_HELD] = {}
    app.before_request(_guard)


def limit_to_lists(app: Flask, part: str, require: Require) -> None:
    """Say how what the part of an address names is held to the lists of staff who are limited to some."""
    app.extensions[_HELD][part] = require


def _guard() -> ResponseReturnValue | None:
    if request.endpoint is None:
        return None
    access = access_of(current_app.view_functions[request.endpoint])
    if access is None and not is_staff_path(request.path):
        return None
    now = utcnow()
    here = _find_session(now)
    if access is not None and not access.roles:
        return None
    if here is None:
        flash(_("Log in to see this page."), "info")
        return redirect(url_for("staff.login", next=_this_page()))
    if access is None or current_user.role not in access.roles:
        raise NotAllowed
    if access.upload:
        request.max_content_length = access.upload
    if not access.unfinished and (lists := own_lists()) is not None:
        _hold_to(lists, access)
    return _unfinished_business(access, here, now)


def _hold_to(lists: Sequence[str], access: Access) -> None:
    if not access.by_list:
        raise NotAllowed
    for part, require in current_app.extensions[_HELD].items():
        if part in (request.view_args or {}):
            require((request.view_args or {})[part], lists)


def _unfinished_business(access: Access, here: StaffSession, now: datetime) -> ResponseReturnValue | None:
    if not access.unfinished and (page := next_to_do(current_user)):
        return redirect(url_for(page))
    if access.fresh and not sessions.is_fresh(here, now=now):
        if request.method == "POST":
            return reauthenticate.take(here, now=now)
        return redirect(url_for("staff.verify", next=_page_before() or _this_page()), 303)
    return None


def _find_session(now: datetime) -> StaffSession | None:
    """Return the session this browser is signed in with; what is over leaves no trace in the cookie."""
    token = session.get(SESSION, "")
    found = sessions.find(token, now=now) if token else None
    if found is None or not current_user.is_authenticated or current_user.id != found.staff_id:
        if current_user.is_authenticated:
            leave_cookie()
        return None
    if now >= found.seen_at + sessions.SEEN_EVERY:
        found = _note_seen(token, now)
    g.staff_session = found
    return found


def _note_seen(token: str, now: datetime) -> StaffSession | None:
    """Write down that a session is in use: the one thing that a mere look at a page writes."""
    database.begin_writing()
    found = sessions.find(token, now=now)
    if found is not None:
        found.seen_at = now
        db.session.commit()
    if request.method in {"GET", "HEAD"}:
        database.begin_reading()
    return found


def _this_page() -> str | None:
    """Return where to come back to: this page, or for a form the page it stands on."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?") if request.query_string else request.path
    return _page_before()


def _page_before() -> str | None:
    """Return the page of ours that led here: a file is no place to come back to."""
    referrer = urlsplit(request.referrer or "")
    if referrer.netloc != request.host:
        return None
    return f"{referrer.path}?{referrer.query}" if referrer.query else referrer.path
