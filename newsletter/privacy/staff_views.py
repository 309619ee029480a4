"""The proof of a consent for whoever answers for data protection."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.i18n import translate
from newsletter.privacy.proof import NothingHeld, read_proof
from newsletter.staff.access import actor, needs
from newsletter.staff.models import Role

bp = Blueprint("privacy_staff", __name__, url_prefix="/staff")


@bp.get("/proof")
@needs(Role.PRIVACY, Role.ADMIN)
def proof() -> ResponseReturnValue:
    return render_template("staff/proof.html", address="", errors={})


# By POST, so that the address stands in no URL, and so in no log and no history.
@bp.post("/proof")
@needs(Role.PRIVACY, Role.ADMIN, fresh=True)
def show_proof() -> ResponseReturnValue:
    address, now = request.form.get("address", "")[:320], utcnow()
    try:
        found = read_proof(address, actor=actor(), now=now)
    except (AddressInvalid, NothingHeld) as error:
        errors = {"address": translate(error.message)}
        return render_template("staff/proof.html", address=address, errors=errors), 422
    db.session.commit()
    return render_template("privacy/proof.html", proof=found, printed_at=now, standalone=False)
