"""Access control: which roles may use which staff page. Under /staff a view without a rule is closed."""

import hashlib
import hmac
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Flask, current_app, g, has_request_context, request, session, url_for
from flask_security import (
    Security,
    SQLAlchemyUserDatastore,
    current_user,
    hash_password,
    login_user,
    logout_user,
    verify_password,
)

from newsletter.config import Settings, current_settings
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid
from newsletter.ratelimit.limiter import client_network
from newsletter.staff.auth import sessions, two_factor
from newsletter.staff.models import NamedRole, Role, Staff, StaffSession
from newsletter.web.app import user_agent
from newsletter.web.i18n import translate

#: Roles that write campaigns, and roles that send them.
WRITERS = (Role.EDITOR, Role.SENDER, Role.ADMIN)
SENDERS = (Role.SENDER, Role.ADMIN)
View = TypeVar("View", bound=Callable[..., Any])

#: Counts the versions of the undertaking's words; who gave an older one is asked again.
UNDERTAKING_VERSION = 1
_ACCESS_ATTRIBUTE = "staff_access"
_ENDPOINTS_KEY = "newsletter.staff_endpoints"
SESSION_KEY = "staff_session"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use an endpoint. No roles means everybody, signed in or not."""

    roles: tuple[Role, ...]
    #: Needs a login or re-authentication within the last 15 minutes.
    fresh: bool = False
    #: Open to staff who have not finished setting their account up.
    unfinished: bool = False
    #: Open to staff limited to lists: the view holds itself to them.
    by_list: bool = False
    #: How many bytes a request may have; None for the application's MAX_CONTENT_LENGTH.
    upload: int | None = None


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A page of the main menu and the roles that see it, which are those the page admits."""

    label: str
    endpoint: str
    #: The letter that leads there after a g; each is used once.
    key: str
    roles: Collection[Role] = tuple(Role)


#: What the pages of each domain are called in the main menu; the domains stand above this one.
MENU = (
    MenuItem(N_("Overview"), "attention.page", "o"),
    MenuItem(N_("Campaigns"), "stats.campaigns", "c"),
    MenuItem(N_("Sign-ups"), "funnel.page", "s"),
    MenuItem(N_("Lists"), "lists.page", "l"),
    MenuItem(N_("Subscribers"), "people.browse", "u", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Mails"), "subscribers_staff.mails", "m", (Role.SENDER, Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Bounces"), "bounce_pages.page", "b", (Role.SENDER, Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Embedding"), "embedding.embed", "e"),
    MenuItem(N_("Proofs"), "privacy_staff.proof", "p", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Readers"), "readers.page", "r", (Role.PRIVACY,)),
    MenuItem(N_("Privacy"), "privacy_desk.office", "d", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Staff"), "staff_admin.accounts", "a", (Role.ADMIN,)),
)

datastore = SQLAlchemyUserDatastore(db, Staff, NamedRole)
security = Security()


def init_app(app: Flask, chosen: Settings) -> None:
    """Set Flask-Security up, with pages of our own."""
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
    # It looks for a session at every request, of subscribers too; we ask by role, and nobody asks it.
    app.before_request_funcs[None].remove(security.principal._on_before_request)  # noqa: SLF001 - no other way
    two_factor.init_app(app, chosen)
    app.context_processor(_staff_context)
    app.url_defaults(_keep_language)
    app.extensions[_ENDPOINTS_KEY] = None  # known once every page has been added


# --- saying who may ---------------------------------------------------------------------------------


def require_role(
    *roles: Role,
    fresh: bool = False,
    unfinished: bool = False,
    by_list: bool = False,
    upload: int | None = None,
) -> Callable[[View], View]:
    """Admit only staff with one of these roles; others who are logged in are refused (NotAllowed).

    Staff limited to lists are refused as well, unless ``by_list`` says that the view shows and
    touches nothing of lists that are not in ``own_lists()``. What its address names, a campaign or
    a list, the guard has checked against them already.

    With ``fresh`` the password or a code must have been given within the last quarter of an hour:
    for exports, sends, changes of levels, erasures, and whatever else reveals a person's doings or
    cannot be taken back.

    ``upload`` is how many bytes a request may have, where it brings a file; None for the usual.
    """
    return _set_access(Access(roles, fresh, unfinished, by_list, upload))


def staff_only(view: View) -> View:
    """Let only signed-in staff in; others are sent to the sign-in page."""
    return _set_access(Access(tuple(Role)))(view)


def open_to_all(view: View) -> View:
    """Admit everybody, logged in or not: for the login page and the like."""
    return _set_access(Access((), unfinished=True))(view)


def get_access(view: Callable[..., Any]) -> Access | None:
    """Return the access rule of a view; None where it has none."""
    found: Access | None = getattr(view, _ACCESS_ATTRIBUTE, None)
    return found


def guarded_endpoints(app: Flask) -> Iterator[tuple[str, str, str, Access | None]]:
    """Yield (method, path, endpoint, access) of everything that staff may or may not use."""
    for rule in app.url_map.iter_rules():
        access = get_access(app.view_functions[rule.endpoint])
        if access is not None or is_staff_path(rule.rule):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule.rule, rule.endpoint, access


def _set_access(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _ACCESS_ATTRIBUTE, access)
        return view

    return mark


# --- what an account still has to do ------------------------------------------------------------------


def required_setup_page(account: Staff) -> str | None:
    """Return the endpoint of the setup step an account must complete first, or None."""
    if account.undertaking_version is None or account.undertaking_version < UNDERTAKING_VERSION:
        return "staff.undertaking"
    if lacks_second_step(account) and not current_settings().is_local:
        return "account.second_step"
    return None


def lacks_second_step(account: Staff) -> bool:
    """Tell whether an account of this level lacks the second step it has to have."""
    return account.role in two_factor.REQUIRED_ROLES and not account.has_second_step


def is_staff_path(path: str) -> bool:
    return path == "/staff" or path.startswith("/staff/")


def _keep_language(endpoint: str, values: dict[str, Any]) -> None:
    """Let every link, form and redirect from a staff page to another keep a language that was asked for."""
    if not has_request_context() or not is_staff_path(request.path) or "lang" in values:
        return
    asked = request.args.get("lang")
    if asked in current_settings().languages and endpoint in _staff_endpoints():
        values["lang"] = asked


def _staff_endpoints() -> frozenset[str]:
    found: frozenset[str] | None = current_app.extensions[_ENDPOINTS_KEY]
    if found is None:
        rules = current_app.url_map.iter_rules()
        found = frozenset(rule.endpoint for rule in rules if is_staff_path(rule.rule))
        current_app.extensions[_ENDPOINTS_KEY] = found
    return found


def safe_next_url(asked: str | None) -> str:
    """Return the requested page if it is a staff page of ours, else the start page: no open redirect."""
    start = url_for("stats.home")
    if not asked or not asked.startswith("/staff/") or "\\" in asked or not asked.isprintable():
        return start
    chosen = request.args.get("lang", "")
    if chosen in current_settings().languages and "lang=" not in asked:
        return f"{asked}{'&' if '?' in asked else '?'}{urlencode({'lang': chosen})}"
    return asked


# --- signing in and out -----------------------------------------------------------------------------


def start_session(account: Staff, *, now: datetime) -> None:
    """Start a session in this browser, discarding its old one (session fixation)."""
    session.clear()
    g.pop("csrf_token", None)  # Flask-WTF's, which it would go on using
    login_user(account)
    session[SESSION_KEY] = sessions.create_session(
        account, network=client_network(), agent=user_agent(), now=now
    )


def end_session(*, now: datetime) -> None:
    """End this browser's session."""
    current_staff_session().ended_at = now
    clear_session_cookie()


def clear_session_cookie() -> None:
    """Clear the session cookie of this browser."""
    logout_user()
    session.clear()


def current_staff_session() -> StaffSession:
    """Return the session this request came in; only for guarded pages."""
    found: StaffSession = g.staff_session
    return found


def actor() -> str:
    """Name who is signed in, as the audit log does."""
    return f"staff:{current_user.id}"


def current_staff(*, lock: bool = False) -> Staff:
    """Return the logged-in account; with ``lock`` FOR UPDATE, before a code or password is checked."""
    return db.session.get_one(Staff, current_user.id, with_for_update=lock, populate_existing=lock)


# --- addresses and passwords ------------------------------------------------------------------------


def allowed_lists() -> list[str] | None:
    """Return the slugs of the lists the logged-in account is limited to; None means all."""
    found: list[str] | None = current_user.lists
    return found


def has_any_role(*roles: Role) -> bool:
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


def check_password(account: Staff | None, password: str) -> bool:
    """Compare a password; without an account it takes as long, so that time tells nothing."""
    given = security.password_util.normalize(password)
    if account is None:
        hash_password(given)
        return False
    return bool(verify_password(given, account.password))


def _staff_context() -> dict[str, object]:
    if not has_request_context() or not is_staff_path(request.path):
        return {}  # looking at the session would make every public page vary by cookie
    if not current_user.is_authenticated:
        return {"staff_name": "", "nav": [], "lacks_second_step": False, "has_shortcuts": False}
    links = [
        _menu_link(item) for item in MENU if current_user.role in item.roles and _may_see_menu_item(item)
    ]
    return {
        "staff_name": current_user.email,
        "nav": links,
        "lacks_second_step": lacks_second_step(current_user),
        "has_shortcuts": current_user.has_shortcuts,
    }


def _may_see_menu_item(item: MenuItem) -> bool:
    access = get_access(current_app.view_functions[item.endpoint])
    return allowed_lists() is None or (access is not None and access.by_list)


def _menu_link(item: MenuItem) -> dict[str, object]:
    url = url_for(item.endpoint)
    here, page = f"{request.script_root}{request.path}", url.partition("?")[0].rstrip("/")
    return {
        "label": translate(item.label),
        "url": url,
        "key": item.key,
        "current": here == page or here.startswith(f"{page}/"),
    }
