"""Signing in with Flask-Security: sessions, passwords, and the guard of every staff page."""

import functools
import hashlib
import hmac
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask, has_request_context, request, url_for
from flask_babel import lazy_gettext
from flask_security import (
    Security,
    SQLAlchemyUserDatastore,
    auth_required,
    current_user,
    hash_password,
)

from newsletter.config import Settings
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid, NotAllowed
from newsletter.i18n import translate
from newsletter.staff.models import NamedRole, Role, Staff

SHORTEST_PASSWORD = 12
#: Who writes newsletters, and who lets them go.
WRITERS = (Role.EDITOR, Role.SENDER, Role.ADMIN)
SENDERS = (Role.SENDER, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A page of the main menu and the levels that see it, which are those the page lets in."""

    label: str
    endpoint: str
    roles: Collection[Role] = tuple(Role)


#: What the pages of each domain are called in the main menu; the domains stand above this one.
MENU = (
    MenuItem(N_("Overview"), "overview.page"),
    MenuItem(N_("Campaigns"), "stats.campaigns"),
    MenuItem(N_("Sign-ups"), "funnel.page"),
    MenuItem(N_("Mails"), "subscribers_staff.mails", (Role.SENDER, Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Embedding"), "embedding.embed"),
    MenuItem(N_("Proofs"), "privacy_staff.proof", (Role.PRIVACY, Role.ADMIN)),
    MenuItem(N_("Readers"), "readers.page", (Role.PRIVACY,)),
    MenuItem(N_("Privacy"), "privacy_desk.office", (Role.PRIVACY, Role.ADMIN)),
)

datastore = SQLAlchemyUserDatastore(db, Staff, NamedRole)
security = Security()


def init_app(app: Flask, chosen: Settings) -> None:
    """Set Flask-Security up: our pages, Argon2id, and no look-ups beyond this machine."""
    key = chosen.secret_key.encode()
    secure = chosen.base_url.startswith("https://")
    app.config.update(
        SECURITY_URL_PREFIX="/staff",
        SECURITY_CLI_USERS_NAME=None,  # "newsletter staff" knows our levels and writes the audit log
        SECURITY_CLI_ROLES_NAME=None,
        SECURITY_LOGIN_USER_TEMPLATE="staff/login.html",
        SECURITY_POST_LOGIN_VIEW="/staff/",
        SECURITY_POST_LOGOUT_VIEW="/staff/login",
        SECURITY_LOGOUT_METHODS=["POST"],
        SECURITY_PASSWORD_SALT=hmac.digest(key, b"passwords", hashlib.sha256).hex(),
        SECURITY_PASSWORD_HASH="argon2",  # noqa: S106 - the name of the method
        SECURITY_PASSWORD_LENGTH_MIN=SHORTEST_PASSWORD,
        SECURITY_PASSWORD_COMPLEXITY_CHECKER=None,
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False, "test_environment": True},
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SECURITY_MSG_UNAUTHENTICATED=(lazy_gettext("Log in to see this page."), "info"),
        SECURITY_JOIN_USER_ROLES=False,
        SESSION_COOKIE_NAME="__Host-staff" if secure else "staff",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
    )
    security.init_app(app, datastore)
    app.context_processor(_staff_of_page)


def staff_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let only signed-in staff in; others are sent to the sign-in page."""
    guarded: Callable[..., Any] = auth_required("session")(view)
    return guarded


def needs(*roles: Role) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let only staff of these levels in; others who are signed in are refused (NotAllowed)."""

    def guard(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a view's own
            if current_user.role not in roles:
                raise NotAllowed
            return view(*args, **kwargs)

        return staff_only(checked)

    return guard


def actor() -> str:
    """Return who is signed in, as the audit log names them."""
    return f"staff:{current_user.id}"


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


def _staff_of_page() -> dict[str, object]:
    if not has_request_context() or not request.path.startswith("/staff"):
        return {}  # looking at the session would make every public page vary by cookie
    if not current_user.is_authenticated:
        return {"staff_name": "", "nav": []}
    links = [_link(item) for item in MENU if current_user.role in item.roles]
    return {"staff_name": current_user.email, "nav": links}


def _link(item: MenuItem) -> dict[str, object]:
    url = url_for(item.endpoint)
    here = f"{request.script_root}{request.path}"
    return {"label": translate(item.label), "url": url, "current": here.startswith(url)}
