"""Who is let in where. Nothing under /staff opens to anyone unless its view says to whom."""

import hashlib
import hmac
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, flash, g, has_request_context, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import (
    Security,
    SQLAlchemyUserDatastore,
    current_user,
    hash_password,
    login_user,
    logout_user,
    verify_password,
)

from newsletter.clock import utcnow
from newsletter.config import Settings, settings
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid, NotAllowed
from newsletter.i18n import translate
from newsletter.limits import network
from newsletter.staff import second_step, sessions
from newsletter.staff.models import NamedRole, Role, Staff, StaffSession
from newsletter.web import user_agent

#: Who writes newsletters, and who lets them go.
WRITERS = (Role.EDITOR, Role.SENDER, Role.ADMIN)
SENDERS = (Role.SENDER, Role.ADMIN)
View = TypeVar("View", bound=Callable[..., Any])

#: Counts the versions of the undertaking's words; who gave an older one is asked again.
UNDERTAKING = 1
_MARK = "staff_access"
_SESSION = "staff_session"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use an endpoint. No roles means everybody, signed in or not."""

    roles: tuple[Role, ...]
    #: The password or a code must have been given a moment ago.
    fresh: bool = False
    #: Open to staff who have not finished setting their account up.
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A page of the main menu and the levels that see it, which are those the page lets in."""

    label: str
    endpoint: str
    roles: Collection[Role] = tuple(Role)


#: What the pages of each domain are called in the main menu; the domains stand above this one.
MENU = (
    MenuItem(N_("Overview"), "overview.page"),
    MenuItem(N_("State of affairs"), "attention.page"),
    MenuItem(N_("Campaigns"), "stats.campaigns"),
    MenuItem(N_("Sign-ups"), "funnel.page"),
    MenuItem(N_("Lists"), "lists.page"),
    MenuItem(N_("Subscribers"), "people.browse", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Mails"), "subscribers_staff.mails", (Role.SENDER, Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Bounces"), "bounce_pages.page", (Role.SENDER, Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Embedding"), "embedding.embed"),
    MenuItem(N_("Proofs"), "privacy_staff.proof", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Readers"), "readers.page", (Role.PRIVACY,)),
    MenuItem(N_("Privacy"), "privacy_desk.office", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Staff"), "staff_admin.accounts", (Role.ADMIN,)),
)

datastore = SQLAlchemyUserDatastore(db, Staff, NamedRole)
security = Security()


def init_app(app: Flask, chosen: Settings) -> None:
    """Set Flask-Security up, with pages of our own, and guard every staff page."""
    key = chosen.secret_key.encode()
    secure = chosen.base_url.startswith("https://")
    app.config.update(
        SECURITY_CLI_USERS_NAME=None,  # "newsletter staff" knows our levels and writes the audit log
        SECURITY_CLI_ROLES_NAME=None,
        SECURITY_PASSWORD_SALT=hmac.digest(key, b"passwords", hashlib.sha256).hex(),
        SECURITY_PASSWORD_HASH="argon2",  # noqa: S106 - the name of the method
        # Argon2 salts for itself; mixed with our key, a new key would close every account.
        SECURITY_PASSWORD_SINGLE_HASH=["argon2"],
        SECURITY_PASSWORD_COMPLEXITY_CHECKER=None,
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False, "test_environment": True},
        SECURITY_JOIN_USER_ROLES=False,
        SESSION_COOKIE_NAME="__Host-staff" if secure else "staff",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
    )
    security.init_app(app, datastore, register_blueprint=False)
    second_step.init_app(app, chosen)
    app.context_processor(_staff_of_page)
    app.before_request(_guard)


# --- saying who may ---------------------------------------------------------------------------------


def needs(*roles: Role, fresh: bool = False, unfinished: bool = False) -> Callable[[View], View]:
    """Let only staff of these levels in; others who are signed in are refused (NotAllowed).

    With ``fresh`` the password or a code must have been given within the last quarter of an hour:
    for exports, sends, changes of levels and erasures.
    """
    return _marked(Access(roles, fresh, unfinished))


def staff_only(view: View) -> View:
    """Let only signed-in staff in; others are sent to the sign-in page."""
    return _marked(Access(tuple(Role)))(view)


def open_to_all(view: View) -> View:
    """Let everybody in: the page of signing in and its like."""
    return _marked(Access((), unfinished=True))(view)


def access_of(view: Callable[..., Any]) -> Access | None:
    """Return who may use a view; None where nobody said."""
    found: Access | None = getattr(view, _MARK, None)
    return found


def guarded_endpoints(app: Flask) -> Iterator[tuple[str, str, str, Access | None]]:
    """Yield (method, path, endpoint, access) of everything that staff may or may not use."""
    for rule in app.url_map.iter_rules():
        access = access_of(app.view_functions[rule.endpoint])
        if access is not None or _is_staff_path(rule.rule):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule.rule, rule.endpoint, access


def _marked(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _MARK, access)
        return view

    return mark


# --- the guard --------------------------------------------------------------------------------------


def _guard() -> ResponseReturnValue | None:
    if request.endpoint is None:
        return None
    access = access_of(current_app.view_functions[request.endpoint])
    if access is None and not _is_staff_path(request.path):
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
    return _unfinished_business(access, here, now)


def _unfinished_business(access: Access, here: StaffSession, now: datetime) -> ResponseReturnValue | None:
    if not access.unfinished and (page := next_to_do(current_user)):
        return redirect(url_for(page))
    if access.fresh and not sessions.is_fresh(here, now=now):
        return redirect(url_for("staff.verify", next=_this_page()), 303)
    return None


def next_to_do(account: Staff) -> str | None:
    """Return the endpoint of what an account must do before it may work, or None."""
    if account.undertaking_version is None or account.undertaking_version < UNDERTAKING:
        return "staff.undertaking"
    if wants_second_step(account) and not settings().is_local:
        return "account.second_step"
    return None


def wants_second_step(account: Staff) -> bool:
    """Tell whether an account of this level lacks the second step it has to have."""
    return account.role in second_step.REQUIRED_OF and not account.has_second_step


def _find_session(now: datetime) -> StaffSession | None:
    """Return the session this browser is signed in with; what is over leaves no trace in the cookie."""
    token = session.get(_SESSION, "")
    found = sessions.find(token, now=now) if token else None
    if found is None or not current_user.is_authenticated or current_user.id != found.staff_id:
        if current_user.is_authenticated:
            leave_cookie()
        return None
    if now >= found.seen_at + sessions.SEEN_EVERY:
        found.seen_at = now
        db.session.commit()
    g.staff_session = found
    return found


def _is_staff_path(path: str) -> bool:
    return path == "/staff" or path.startswith("/staff/")


def _this_page() -> str | None:
    """Return where to come back to: this page, or for a form the page it stands on."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?") if request.query_string else request.path
    referrer = urlsplit(request.referrer or "")
    return referrer.path if referrer.netloc == request.host else None


def where_to(asked: str | None) -> str:
    """Return a page of ours to go on to, whatever a link asked for: never another site."""
    start = url_for("stats.home")
    if not asked or not asked.startswith("/staff/") or "\\" in asked or not asked.isprintable():
        return start
    return asked


# --- signing in and out -----------------------------------------------------------------------------


def enter(account: Staff, *, now: datetime) -> None:
    """Begin a session in this browser; whatever it carried before is forgotten."""
    session.clear()
    g.pop("csrf_token", None)  # Flask-WTF's, which it would go on using
    login_user(account)
    session[_SESSION] = sessions.begin(account, network=network(), agent=user_agent(), now=now)


def leave(*, now: datetime) -> None:
    """End this browser's session."""
    here_now().ended_at = now
    leave_cookie()


def leave_cookie() -> None:
    """Forget in this browser who is signed in."""
    logout_user()
    session.clear()


def here_now() -> StaffSession:
    """Return the session this request came in; only for guarded pages."""
    found: StaffSession = g.staff_session
    return found


def actor() -> str:
    """Name who is signed in, as the audit log does."""
    return f"staff:{current_user.id}"


def me(*, lock: bool = False) -> Staff:
    """Return who is signed in, locked where a code or the password is about to be compared."""
    return db.session.get_one(Staff, current_user.id, with_for_update=lock, populate_existing=lock)


# --- addresses and passwords ------------------------------------------------------------------------


def is_one_of(*roles: Role) -> bool:
    """Tell whether who is signed in has one of these levels, for pages that show some more than others."""
    return bool(current_user.is_authenticated and current_user.role in roles)


def normalize_address(address: str) -> str:
    """Return an address as logging in will look for it; raise AddressInvalid."""
    try:
        return str(security.mail_util.validate(address.strip().lower()))
    except ValueError as error:
        raise AddressInvalid from error


def make_password_hash(password: str) -> str:
    """Return what is stored of a password."""
    # Flask-Security compares in this form, so "ä" typed in either of its two ways is the same.
    return str(hash_password(security.password_util.normalize(password)))


def make_uniquifier() -> str:
    """Return a new session key for an account: every older session of it ends."""
    return uuid.uuid4().hex


def is_password_of(account: Staff | None, password: str) -> bool:
    """Compare a password; without an account it takes as long, so that time tells nothing."""
    given = security.password_util.normalize(password)
    if account is None:
        hash_password(given)
        return False
    return bool(verify_password(given, account.password))


def _staff_of_page() -> dict[str, object]:
    if not has_request_context() or not _is_staff_path(request.path):
        return {}  # looking at the session would make every public page vary by cookie
    if not current_user.is_authenticated:
        return {"staff_name": "", "nav": [], "lacks_second_step": False}
    links = [_link(item) for item in MENU if current_user.role in item.roles]
    return {
        "staff_name": current_user.email,
        "nav": links,
        "lacks_second_step": wants_second_step(current_user),
    }


def _link(item: MenuItem) -> dict[str, object]:
    url = url_for(item.endpoint)
    here = f"{request.script_root}{request.path}"
    return {"label": translate(item.label), "url": url, "current": here == url or here.startswith(f"{url}/")}
