"""Pages and JSON endpoints of passkeys, where PASSKEYS is on: register, rename, remove, log in."""

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.staff.accounts import notify_owner
from newsletter.staff.auth import access, passkeys, sessions, throttle, two_factor, webauthn_challenges
from newsletter.staff.auth.access import open_to_all, require_role
from newsletter.staff.auth.passkeys import PasskeyNameMissing, PasskeyNotCreated, TooManyPasskeys
from newsletter.staff.auth.throttle import TooManyAttempts
from newsletter.staff.models import Role
from newsletter.web.i18n import translate

bp = Blueprint("passkeys", __name__, url_prefix="/staff")


@bp.before_request
def _require_setting() -> None:
    if not current_settings().passkeys:
        abort(404)


@bp.post("/login/passkey")
@open_to_all
def options() -> ResponseReturnValue:
    return jsonify(
        passkeys.request_options(
            webauthn_challenges.create_challenge(webauthn_challenges.AUTHENTICATION, now=utcnow())
        )
    )


@bp.get("/account/passkeys")
@require_role(*Role, unfinished=True)
def new() -> ResponseReturnValue:
    return _new_page({})


@bp.post("/account/passkeys/options")
@require_role(*Role, unfinished=True)
def options_of_new() -> ResponseReturnValue:
    asked = passkeys.creation_options(
        access.current_staff(lock=True),
        webauthn_challenges.create_challenge(webauthn_challenges.REGISTRATION, now=utcnow()),
    )
    db.session.commit()
    return jsonify(asked)


@bp.post("/account/passkeys")
@require_role(*Role, unfinished=True, fresh=True)
def add() -> ResponseReturnValue:
    now, account = utcnow(), access.current_staff(lock=True)
    is_first = not account.has_second_step
    name, answer = request.form.get("name", ""), request.form.get("credential", "")
    try:
        throttle.count_passkey_attempt()
        challenge = webauthn_challenges.consume_challenge(webauthn_challenges.REGISTRATION, now=now)
        passkeys.register_passkey(account, name=name, answer=answer, challenge=challenge, now=now)
    except PasskeyNameMissing as error:
        return _new_page({"name": translate(error.message)}), 422
    except (PasskeyNotCreated, TooManyPasskeys) as error:
        return _new_page({"form": translate(error.message)}), 422
    except TooManyAttempts as error:
        return _new_page({"form": translate(error.message)}), 429
    codes = two_factor.generate_recovery_codes(account) if is_first else []
    notify_owner(account, "passkey_added", now=now)
    db.session.commit()
    if codes:
        return render_template("staff/recovery_codes.html", codes=codes)
    flash(_("The passkey has been added. From now on it logs you in."), "info")
    return redirect(url_for("account.page", _anchor="passkeys"), 303)


@bp.post("/account/passkeys/<int:number>/name")
@require_role(*Role, by_list=True)
def rename(number: int) -> ResponseReturnValue:
    passkeys.rename_passkey(access.current_staff(), number, request.form.get("name", ""), now=utcnow())
    db.session.commit()
    flash(_("The passkey has its new name."), "info")
    return redirect(url_for("account.page", _anchor="passkeys"), 303)


@bp.post("/account/passkeys/<int:number>/remove")
@require_role(*Role, fresh=True, by_list=True)
def remove(number: int) -> ResponseReturnValue:
    now, account = utcnow(), access.current_staff(lock=True)
    passkeys.remove_passkey(account, number, now=now)
    sessions.end_sessions(account, now=now, keep=access.current_staff_session())
    notify_owner(account, "passkey_removed", now=now)
    db.session.commit()
    flash(_("The passkey has been removed, and other browsers have been logged out."), "info")
    return redirect(url_for("account.page", _anchor="passkeys"), 303)


def _new_page(errors: dict[str, str]) -> str:
    name = request.form.get("name", "")[: passkeys.MAX_NAME_LENGTH]
    return render_template(
        "staff/passkey_new.html",
        errors=errors,
        name=name,
        is_first=not access.current_staff().has_second_step,
    )
