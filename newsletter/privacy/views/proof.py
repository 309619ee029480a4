"""Staff pages: proof of consent for the privacy level, and erasure of a closed staff account."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.privacy.proof.consent import NoConsentHeld, read_proof
from newsletter.privacy.retention import staff_accounts
from newsletter.staff.accounts import get_account
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.web.i18n import translate

bp = Blueprint("privacy_staff", __name__, url_prefix="/staff")


@bp.get("/proof")
@require_role(Role.PRIVACY, Role.ADMIN)
def proof() -> ResponseReturnValue:
    return render_template("staff/proof.html", address="", errors={})


# By POST, so that the address stands in no URL, and so in no log and no history.
@bp.post("/proof")
@require_role(Role.PRIVACY, Role.ADMIN, fresh=True)
def show_proof() -> ResponseReturnValue:
    address, now = request.form.get("address", "")[:320], utcnow()
    try:
        found = read_proof(address, actor=actor(), now=now)
    except (AddressInvalid, NoConsentHeld) as error:
        errors = {"address": translate(error.message)}
        return render_template("staff/proof.html", address=address, errors=errors), 422
    db.session.commit()
    return render_template("privacy/proof.html", proof=found, printed_at=now, standalone=False)


@bp.post("/accounts/<int:number>/clear")
@require_role(Role.ADMIN, fresh=True)
def clear_account(number: int) -> ResponseReturnValue:
    account = get_account(number)
    staff_accounts.clear_account(account, now=utcnow(), actor=actor())
    flash(
        _("The account has been cleared. The audit log names it by this: %(name)s", name=account.email),
        "info",
    )
    return redirect(url_for("staff_admin.accounts"), 303)
