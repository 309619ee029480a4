"""Staff page of one person's opens and clicks, for the privacy level. Each view is audited."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.stats.reports.subscriber_activity import read_activity
from newsletter.stats.views.campaigns import CLASS_LABELS
from newsletter.subscribers.consent.tracking import tracking_label
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.web.i18n import translate

bp = Blueprint("readers", __name__, url_prefix="/staff")


@bp.get("/readers")
@require_role(Role.PRIVACY)
def page() -> ResponseReturnValue:
    return render_template("staff/reader.html", address="", errors={}, found=None)


# By POST, so that the address stands in no URL, and so in no log and no history.
@bp.post("/readers")
@require_role(Role.PRIVACY, fresh=True)
def show() -> ResponseReturnValue:
    address = request.form.get("address", "")[:320].strip()
    before = request.form.get("before", type=int)
    try:
        found = read_activity(address, actor=actor(), now=utcnow(), before=before)
    except (AddressInvalid, UnknownSubscriber) as error:
        errors = {"address": translate(error.message, error.values)}
        return render_template("staff/reader.html", address=address, errors=errors, found=None), 422
    db.session.commit()
    labels = {made_by: translate(label) for made_by, label in CLASS_LABELS.items()}
    return render_template(
        "staff/reader.html",
        address=address,
        errors={},
        found=found,
        is_first=before is None,
        labels=labels,
        tracking=translate(tracking_label(found.tracking)),
        as_of=utcnow(),
    )
