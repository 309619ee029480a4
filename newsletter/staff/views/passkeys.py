"""Pages of passkeys, where PASSKEYS is on: adding, naming, removing, and what a browser asks first."""

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.staff.accounts import tell
from newsletter.staff.auth import access, passkeys, sessions, throttle, two_factor, webauthn_challenges
from newsletter.staff.auth.access import needs, open_to_all
from newsletter.staff.auth.passkeys import PasskeyNotMade, PasskeyUnnamed, TooManyPasskeys
from newsletter.staff.auth.throttle import TooManyTries
from newsletter.staff.models import Role
from newsletter.web.i18n import translate

bp = Blueprint("passkeys", __name__, url_prefix="/staff")


@bp.before_request
def _require_setting() -> None:
    if not settings().passkeys:
        abort(404)


@bp.post("/login/passkey")
@open_to_all
def options() -> ResponseReturnValue:
    return jsonify(
        passkeys.request_options(webauthn_challenges.begin(webauthn_challenges.SIGNING_IN, now=utcnow()))
    )


@bp.get("/account/passkeys")
@needs(*Role, unfinished=True)
def new() -> ResponseReturnValue:
    return _new_page({})


@bp.post("/account/passkeys/options")
@needs(*Role, unfinished=True)
def options_of_new() -> ResponseReturnValue:
    asked = passkeys.creation_options(
        access.me(lock=True), webauthn_challenges.begin(webauthn_challenges.ADDING, now=utcnow())
    )
    db.session.commit()
    return jsonify(asked)


@bp.post("/account/passkeys")
@needs(*Role, unfinished=True, fresh=True)
def add() -> ResponseReturnValue:
    now, account = utcnow(), access.me(lock=True)
    is_first = not account.has_second_step
    name, answer = request.form.get("name", ""), request.form.get("credential", "")
    try:
        throttle.count_passkey()
        challenge = webauthn_challenges.take(webauthn_challenges.ADDING, now=now)
        passkeys.add(account, name=name, answer=answer, challenge=challenge, now=now)
    except PasskeyUnnamed as error:
        return _new_page({"name": translate(error.message)}), 422
    except (PasskeyNotMade, TooManyPasskeys) as error:
        return _new_page({"form": translate(error.message)}), 422
    except TooManyTries as error:
        return _new_page({"form": translate(error.message)}), 429
    codes = two_factor.new_recovery_codes(account) if is_first else []
    tell(account, "passkey_added", now=now)
    db.session.commit()
    if codes:
        return render_template("staff/recovery_codes.html", codes=codes)
    flash(_("The passkey has been added. From now on it logs you in."), "info")
    return redirect(url_for("account.page", _anchor="passkeys"), 303)


@bp.post("/account/passkeys/<int:number>/name")
@needs(*Role, by_list=True)
def rename(number: int) -> ResponseReturnValue:
    passkeys.rename(access.me(), number, request.form.get("name", ""), now=utcnow())
    db.session.commit()
    flash(_("The passkey has its new name."), "info")
    return redirect(url_for("account.page", _anchor="passkeys"), 303)


@bp.post("/account/passkeys/<int:number>/remove")
@needs(*Role, fresh=True, by_list=True)
def remove(number: int) -> ResponseReturnValue:
    now, account = utcnow(), access.me(lock=True)
    passkeys.remove(account, number, now=now)
    sessions.end_all(account, now=now, but=access.here_now())
    tell(account, "passkey_removed", now=now)
    db.session.commit()
    flash(_("The passkey has been removed, and other browsers have been logged out."), "info")
    return redirect(url_for("account.page", _anchor="passkeys"), 303)


def _new_page(errors: dict[str, str]) -> str:
    name = request.form.get("name", "")[: passkeys.LONGEST_NAME]
    return render_template(
        "staff/passkey_new.html", errors=errors, name=name, is_first=not access.me().has_second_step
    )
