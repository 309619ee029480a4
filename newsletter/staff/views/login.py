"""Login and logout pages: one or two factors, invitations, password reset."""

import secrets
from datetime import datetime, timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid, NewsletterError
from newsletter.ledger import audit
from newsletter.staff.accounts import (
    AccountExists,
    accept_invitation,
    find_account,
    get_invitation,
    get_password_reset,
    notify_owner,
    record_undertaking,
    reset_password,
    send_password_reset,
)
from newsletter.staff.auth import access, openid, passkeys, reauthenticate, throttle, webauthn_challenges
from newsletter.staff.auth.access import open_to_all, require_role
from newsletter.staff.auth.passkeys import PasskeyRefused
from newsletter.staff.auth.passwords import PasswordRefused
from newsletter.staff.auth.throttle import LoginEnded, TooManyAttempts
from newsletter.staff.models import Role, Staff, StaffInvitation, StaffReset
from newsletter.web.i18n import language, translate
from newsletter.web.signed_tokens import hash_secret

bp = Blueprint("staff", __name__, url_prefix="/staff")

LOGIN_FAILED = N_("The e-mail address or the password is wrong.")
#: Between the password and the code.
_PENDING_LOGIN_KEY = "half_way"
_PENDING_LOGIN_LIFETIME = timedelta(minutes=10)


# --- in ---------------------------------------------------------------------------------------------


@bp.get("/login")
@open_to_all
def login() -> ResponseReturnValue:
    return _login_page({})


@bp.post("/login")
@open_to_all
def log_in() -> ResponseReturnValue:
    if request.form.get("passkey"):
        return _log_in_by_passkey(request.form["passkey"])
    email, password = _field("email"), request.form.get("password", "")
    if missing := _missing_fields(email, password):
        return _login_page(missing)
    account = _find_account(email)
    try:
        throttle.count_login_attempt(email, account)
    except TooManyAttempts as error:
        return _login_page({"form": _error_message(error)}), 429, {"Retry-After": "600"}
    if not access.check_password(account, password) or account is None or not account.active:
        if account is not None:
            audit.record("sign-in refused", actor="system", now=utcnow(), object=f"staff:{account.id}")
            db.session.commit()
        return _login_page({"form": translate(LOGIN_FAILED)})
    throttle.reset_login_attempts(email)
    if account.has_second_step:
        return ask_for_code(account, request.args.get("next", ""))
    return complete_login(account, access.safe_next_url(request.args.get("next")))


@bp.get("/login/code")
@open_to_all
def code() -> ResponseReturnValue:
    return _code_page(_pending_account(utcnow()), {})


@bp.post("/login/code")
@open_to_all
def enter_code() -> ResponseReturnValue:
    now = utcnow()
    account = _pending_account(now, lock=True)
    pending = session[_PENDING_LOGIN_KEY]
    try:
        throttle.count_login_code(pending["id"])
        reauthenticate.verify_credentials(
            account, {"proof": request.form.get("code", ""), **_posted_passkey()}, now=now
        )
    except (TooManyAttempts, LoginEnded) as error:
        return _end_pending_login(account, error, now)
    except reauthenticate.AUTHENTICATION_ERRORS as error:
        audit.record("code refused", actor="system", now=now, object=f"staff:{account.id}")
        if not throttle.has_login_code_left(pending["id"]):
            return _end_pending_login(account, LoginEnded(), now)
        db.session.commit()
        return _code_page(account, {"code": _error_message(error)}), 422
    return complete_login(account, access.safe_next_url(pending["next"]))


def _end_pending_login(account: Staff, error: NewsletterError, now: datetime) -> ResponseReturnValue:
    """Let a login begin anew, and tell the owner that somebody knows the password. Commits."""
    session.pop(_PENDING_LOGIN_KEY, None)
    if throttle.may_notify_owner(account):
        notify_owner(account, "wrong_codes", now=now)
    db.session.commit()
    return _login_page({"form": _error_message(error)}), 429, {"Retry-After": "600"}


@bp.post("/logout")
@require_role(*Role, unfinished=True)
def logout() -> ResponseReturnValue:
    access.end_session(now=utcnow())
    db.session.commit()
    return redirect(url_for(".login"))


def _missing_fields(email: str, password: str) -> dict[str, str]:
    if not email:
        return {"email": _("Enter your e-mail address.")}
    return {} if password else {"password": _("Enter your password.")}


def _log_in_by_passkey(answer: str) -> ResponseReturnValue:
    now = utcnow()
    try:
        throttle.count_passkey_attempt()
        account = passkeys.authenticate(
            answer,
            webauthn_challenges.consume_challenge(webauthn_challenges.AUTHENTICATION, now=now),
            now=now,
        )
    except TooManyAttempts as error:
        return _login_page({"form": _error_message(error)}), 429, {"Retry-After": "600"}
    except PasskeyRefused as error:
        db.session.commit()  # the log says what was refused
        return _login_page({"form": _error_message(error)}), 422
    return complete_login(account, access.safe_next_url(request.args.get("next")))


def _posted_passkey() -> dict[str, str]:
    return {"passkey": request.form.get("passkey", "")}


def complete_login(account: Staff, target: str) -> ResponseReturnValue:
    """Start the session of an authenticated account. Commits."""
    now = utcnow()
    audit.record("signed in", actor=f"staff:{account.id}", now=now)
    access.start_session(account, now=now)
    db.session.commit()
    return redirect(target)


def ask_for_code(account: Staff, target: str) -> ResponseReturnValue:
    """Go on to the second step, and from there to ``target``."""
    session.clear()
    session[_PENDING_LOGIN_KEY] = {
        "id": secrets.token_urlsafe(16),
        "account": account.id,
        "key": _login_key(account),
        "at": utcnow().timestamp(),
        "next": target,
    }
    return redirect(url_for("staff.code"), 303)


def _pending_account(now: datetime, *, lock: bool = False) -> Staff:
    """Return who has given the password in this browser a moment ago; else begin anew."""
    said = session.get(_PENDING_LOGIN_KEY)
    if said is not None and now.timestamp() < said["at"] + _PENDING_LOGIN_LIFETIME.total_seconds():
        account = db.session.get(Staff, said["account"], with_for_update=lock, populate_existing=lock)
        if account is not None and account.active and _login_key(account) == said["key"]:
            return account
    session.pop(_PENDING_LOGIN_KEY, None)
    return abort(redirect(url_for(".login")))


def _login_key(account: Staff) -> str:
    """Return what ends a half-done login when the password or the sessions of its account are replaced."""
    return hash_secret(f"{account.fs_uniquifier} {account.password}".encode())[:32]


def _find_account(email: str) -> Staff | None:
    try:
        return find_account(email)
    except AddressInvalid:
        return None


def _code_page(account: Staff, errors: dict[str, str]) -> str:
    return render_template("staff/code.html", errors=errors, **reauthenticate.available_methods(account))


def _login_page(errors: dict[str, str]) -> str:
    return render_template(
        "staff/login.html", errors=errors, email=_field("email"), provider=openid.provider_name()
    )


# --- proving again who one is -----------------------------------------------------------------------


@bp.get("/verify")
@require_role(*Role, unfinished=True)
def verify() -> ResponseReturnValue:
    return _verify_page({})


@bp.post("/verify")
@require_role(*Role, unfinished=True)
def prove() -> ResponseReturnValue:
    now = utcnow()
    try:
        reauthenticate.verify_credentials(access.current_staff(lock=True), request.form, now=now)
    except reauthenticate.AUTHENTICATION_ERRORS as error:
        db.session.commit()
        return _verify_page({"proof": _error_message(error)}), 422
    access.current_staff_session().proved_at = now
    db.session.commit()
    flash(_("Thank you. For a quarter of an hour you will not be asked again."), "info")
    return redirect(access.safe_next_url(request.args.get("next")), 303)


def _verify_page(errors: dict[str, str]) -> str:
    way = reauthenticate.available_methods(access.current_staff())
    return render_template("staff/verify.html", errors=errors, **way, kept=[], action=None)


@bp.get("/undertaking")
@require_role(*Role, unfinished=True)
def undertaking() -> ResponseReturnValue:
    return render_template("staff/undertaking.html")


@bp.post("/undertaking")
@require_role(*Role, unfinished=True)
def undertake() -> ResponseReturnValue:
    record_undertaking(access.current_staff(lock=True), now=utcnow())
    db.session.commit()
    return redirect(url_for("stats.home"), 303)


# --- the link of an invitation ----------------------------------------------------------------------


@bp.get("/first/<token>")
@open_to_all
def first(token: str) -> ResponseReturnValue:
    return _invitation_page(get_invitation(token, now=utcnow()), {})


@bp.post("/first/<token>")
@open_to_all
def accept(token: str) -> ResponseReturnValue:
    now = utcnow()
    invitation = get_invitation(token, now=now, lock=True)
    address, password = request.form.get("address", ""), request.form.get("password", "")
    try:
        account = accept_invitation(invitation, address=address, password=password, now=now)
    except (AddressInvalid, AccountExists) as error:
        return _invitation_page(invitation, {"address": _error_message(error)}), 422
    except PasswordRefused as error:
        return _invitation_page(invitation, {"password": _error_message(error)}), 422
    access.start_session(account, now=now)
    db.session.commit()
    return redirect(url_for(access.required_setup_page(account) or "stats.campaigns"), 303)


def _invitation_page(invitation: StaffInvitation, errors: dict[str, str]) -> str:
    values = {"address": request.form.get("address", "")}
    return render_template("staff/first.html", address=invitation.address, errors=errors, values=values)


# --- a forgotten password ---------------------------------------------------------------------------


@bp.get("/forgot")
@open_to_all
def forgot() -> ResponseReturnValue:
    return render_template("staff/forgot.html", errors={}, email="", sent=False)


@bp.post("/forgot")
@open_to_all
def ask_for_reset() -> ResponseReturnValue:
    email = _field("email")
    if not email:
        errors = {"email": _("Enter your e-mail address.")}
        return render_template("staff/forgot.html", errors=errors, email="", sent=False), 422
    account = _find_account(email)
    # The same answer whoever has an account here and whoever has asked too often.
    if throttle.may_send_reset(email) and account is not None and account.active:
        send_password_reset(account, now=utcnow(), actor="person", language=language())
        db.session.commit()
    return render_template("staff/forgot.html", errors={}, email="", sent=True)


@bp.get("/reset/<token>")
@open_to_all
def reset(token: str) -> ResponseReturnValue:
    return _reset_page(get_password_reset(token, now=utcnow()), {})


@bp.post("/reset/<token>")
@open_to_all
def choose_password(token: str) -> ResponseReturnValue:
    now = utcnow()
    found = get_password_reset(token, now=now, lock=True)
    try:
        reset_password(found, request.form.get("password", ""), now=now)
    except PasswordRefused as error:
        return _reset_page(found, {"password": _error_message(error)}), 422
    db.session.commit()
    access.clear_session_cookie()
    # No shortcut past the second step: the link proves the mailbox alone.
    flash(_("Your new password is in use. Log in with it."), "info")
    return redirect(url_for(".login"), 303)


def _reset_page(found: StaffReset, errors: dict[str, str]) -> str:
    return render_template("staff/reset.html", address=found.account.email, errors=errors)


def _field(name: str) -> str:
    return request.form.get(name, "")[:320].strip()


def _error_message(error: NewsletterError) -> str:
    return translate(error.message, error.values)
