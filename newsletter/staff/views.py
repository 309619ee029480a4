"""The page behind an invitation. Signing in and out are Flask-Security's."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import login_user

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import AddressInvalid, NewsletterError
from newsletter.i18n import translate
from newsletter.staff.accounts import (
    AccountExists,
    PasswordTooShort,
    accept_invitation,
    find_invitation,
)
from newsletter.staff.models import StaffInvitation

bp = Blueprint("staff", __name__, url_prefix="/staff")


@bp.get("/first/<token>")
def first(token: str) -> ResponseReturnValue:
    return _show(find_invitation(token, now=utcnow()), {})


@bp.post("/first/<token>")
def accept(token: str) -> ResponseReturnValue:
    invitation = find_invitation(token, now=utcnow(), lock=True)
    address, password = request.form.get("address", ""), request.form.get("password", "")
    try:
        account = accept_invitation(invitation, address=address, password=password, now=utcnow())
    except (AddressInvalid, AccountExists) as error:
        return _show(invitation, {"address": _words(error)}), 422
    except PasswordTooShort as error:
        return _show(invitation, {"password": _words(error)}), 422
    db.session.commit()
    login_user(account)
    return redirect(url_for("stats.campaigns"), 303)


def _show(invitation: StaffInvitation, errors: dict[str, str]) -> str:
    values = {"address": request.form.get("address", "")}
    return render_template("staff/first.html", address=invitation.address, errors=errors, values=values)


def _words(error: NewsletterError) -> str:
    return translate(error.message, error.values)
