"""Staff pages of one's own account: password, second factor, sessions, data export."""

import json

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_
from newsletter.ledger import audit
from newsletter.staff import list_access, personal_data
from newsletter.staff.accounts import change_password, notify_owner
from newsletter.staff.auth import access, openid, passkeys, sessions, throttle, two_factor
from newsletter.staff.auth.access import require_role
from newsletter.staff.auth.passwords import PasswordRefused
from newsletter.staff.auth.throttle import TooManyAttempts
from newsletter.staff.auth.two_factor import CodeWrong
from newsletter.staff.auth.user_agent import describe_user_agent
from newsletter.staff.models import Role
from newsletter.web.app import attachment
from newsletter.web.i18n import translate

bp = Blueprint("account", __name__, url_prefix="/staff/account")

ROLE_LABELS = {
    Role.VIEWER: N_("Viewer"),
    Role.EDITOR: N_("Editor"),
    Role.SENDER: N_("Sender"),
    Role.PRIVACY: N_("Data protection"),
    Role.ADMIN: N_("Administrator"),
}
#: The secret that waits for its first code, encrypted.
_PENDING_KEY = "offered_secret"


@bp.get("/")
@require_role(*Role, by_list=True)
def page() -> ResponseReturnValue:
    return _account_page({})


@bp.post("/password")
@require_role(*Role, by_list=True)
def password() -> ResponseReturnValue:
    now, account = utcnow(), access.current_staff(lock=True)
    try:
        throttle.count_code_attempt(account)
        if not access.check_password(account, request.form.get("current", "")):
            return _account_page({"current": _("The password is wrong.")}), 422
        change_password(account, request.form.get("password", ""), now=now)
    except PasswordRefused as error:
        return _account_page({"password": translate(error.message)}), 422
    except TooManyAttempts as error:
        return _account_page({"current": translate(error.message)}), 429
    sessions.end_sessions(account, now=now, keep=access.current_staff_session())
    db.session.commit()
    flash(_("Your password has been changed, and other browsers have been logged out."), "info")
    return redirect(url_for(".page"), 303)


@bp.post("/sessions")
@require_role(*Role, by_list=True)
def end_sessions() -> ResponseReturnValue:
    now, account = utcnow(), access.current_staff()
    ended = sessions.end_sessions(account, now=now, keep=access.current_staff_session())
    db.session.commit()
    flash(_("Logged out in other browsers: %(count)s.", count=ended), "info")
    return redirect(url_for(".page"), 303)


@bp.post("/shortcuts")
@require_role(*Role, by_list=True)
def shortcuts() -> ResponseReturnValue:
    account = access.current_staff()
    account.has_shortcuts = request.form.get("on") == "yes"
    db.session.commit()
    if account.has_shortcuts:
        flash(_("Keyboard shortcuts are on. Press ? to see them."), "info")
    else:
        flash(_("Keyboard shortcuts are off. Here you can turn them on again."), "info")
    return redirect(url_for(".page", _anchor="shortcuts"), 303)


@bp.post("/copy")
@require_role(*Role, fresh=True, by_list=True)
def copy() -> ResponseReturnValue:
    account, now = access.current_staff(), utcnow()
    audit.record("own data copied", actor=access.actor(), now=now, object=access.actor())
    data = {"copied_at": now.isoformat()} | personal_data.export(account)
    db.session.commit()
    text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    return attachment(text, "account.json", "application/json")


# --- the second step --------------------------------------------------------------------------------


# The function may not hide the module of that name.
@bp.get("/second-step", endpoint="second_step")
@require_role(*Role, unfinished=True)
def second_step_page() -> ResponseReturnValue:
    return _second_step_page({})


@bp.post("/second-step")
@require_role(*Role, unfinished=True, fresh=True)
def set_up_second_step() -> ResponseReturnValue:
    now, account = utcnow(), access.current_staff(lock=True)
    offered = session.get(_PENDING_KEY)
    if offered is None:
        return redirect(url_for(".second_step"), 303)
    try:
        throttle.count_code_attempt(account)
        codes = two_factor.enable(account, offered, request.form.get("code", ""), now=now)
    except (CodeWrong, TooManyAttempts) as error:
        return _second_step_page({"code": translate(error.message)}), 422
    session.pop(_PENDING_KEY)
    notify_owner(account, "second_step", now=now)
    db.session.commit()
    return render_template("staff/recovery_codes.html", codes=codes)


@bp.post("/recovery-codes")
@require_role(*Role, fresh=True, by_list=True)
def renew_recovery_codes() -> ResponseReturnValue:
    account = access.current_staff(lock=True)
    if not account.has_second_step:
        return redirect(url_for(".second_step"), 303)
    codes = two_factor.generate_recovery_codes(account)
    db.session.commit()
    return render_template("staff/recovery_codes.html", codes=codes)


def _second_step_page(errors: dict[str, str]) -> str:
    account = access.current_staff()
    if _PENDING_KEY not in session:
        session[_PENDING_KEY] = two_factor.get_authenticator().generate_totp_secret()
    values = two_factor.get_authenticator().fetch_setup_values(session[_PENDING_KEY], account)
    return render_template(
        "staff/second_step.html",
        errors=errors,
        image=values["image"],
        key=values["key"],
        replaces=account.has_authenticator,
        offers_passkeys=current_settings().passkeys,
        may_wait=current_settings().is_local or not access.lacks_second_step(account),
    )


def _account_page(errors: dict[str, str]) -> str:
    account, here = access.current_staff(), access.current_staff_session()
    rows = [
        {
            "device": describe_user_agent(row.agent),
            "is_here": row.id == here.id,
            "started_at": row.started_at,
            "seen_at": row.seen_at,
        }
        for row in sessions.list_active_sessions(account, now=utcnow())
    ]
    return render_template(
        "staff/account.html",
        account=account,
        lists=list_access.allowed_list_names(account),
        role=translate(ROLE_LABELS[account.role]),
        recovery_codes=len(account.recovery_hashes),
        must_have_second_step=account.role in two_factor.REQUIRED_ROLES,
        rows=rows,
        passkeys=passkeys.list_passkeys(account) if current_settings().passkeys else None,
        provider=openid.provider_name(),
        errors=errors,
    )
