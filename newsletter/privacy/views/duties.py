"""Staff pages of the privacy level: data exports, disclosures, holds, suppressions, notifications."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.privacy.export import collect, labels
from newsletter.privacy.proof import removal
from newsletter.privacy.requests import disclosures, lift_suppression, recipients
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.web.app import attachment

bp = Blueprint("privacy_duties", __name__, url_prefix="/staff/privacy")
_guard = require_role(Role.PRIVACY, Role.ADMIN)
#: Before what leaves the house or cannot be taken back.
_guard_fresh = require_role(Role.PRIVACY, Role.ADMIN, fresh=True)


# By POST: it reads personal data and writes an audit entry.
@bp.post("/copy")
@_guard_fresh
def copy() -> ResponseReturnValue:
    address, form = request.form.get("address", ""), request.form.get("format", "page")
    data = collect.read_data_export(address, now=utcnow(), actor=actor())
    db.session.commit()
    if form == "json":
        return attachment(collect.as_json(data), "data.json", "application/json")
    if form == "csv":
        return attachment(collect.as_csv(data), "data.csv")
    return render_template("staff/privacy/copy.html", sections=labels.data_sections(data), address=address)


@bp.post("/disclosures")
@_guard
def disclose() -> ResponseReturnValue:
    posted = request.form
    disclosures.record_disclosure(
        posted.get("address", ""),
        recipient=posted.get("recipient", ""),
        what=posted.get("what", ""),
        why=posted.get("why", ""),
        ground=posted.get("ground", ""),
        contact=posted.get("contact", ""),
        now=utcnow(),
        actor=actor(),
    )
    return _commit_and_redirect(_("The disclosure has been entered."))


@bp.post("/holds")
@_guard
def hold() -> ResponseReturnValue:
    posted = request.form
    disclosures.place_hold(
        posted.get("address", ""),
        posted.get("reason", ""),
        posted.get("text", ""),
        now=utcnow(),
        actor=actor(),
    )
    return _commit_and_redirect(_("The data is on hold."))


@bp.post("/holds/<int:number>/end")
@_guard_fresh
def end_hold(number: int) -> ResponseReturnValue:
    disclosures.end_hold(number, now=utcnow(), actor=actor())
    return _commit_and_redirect(_("The hold has ended."))


@bp.post("/blocks/lift")
@_guard_fresh
def lift_block() -> ResponseReturnValue:
    posted = request.form
    lift_suppression.lift_all(posted.get("address", ""), posted.get("text", ""), now=utcnow(), actor=actor())
    return _commit_and_redirect(_("The block has been lifted. The person can subscribe again."))


@bp.post("/proofs/remove")
@_guard
def remove_proof() -> ResponseReturnValue:
    posted = request.form
    removal.remove_proof(posted.get("address", ""), posted.get("text", ""), now=utcnow(), actor=actor())
    return _commit_and_redirect(_("The proof has been removed."))


@bp.get("/tasks/<int:number>")
@_guard
def task(number: int) -> ResponseReturnValue:
    found = recipients.read_task(number, now=utcnow(), actor=actor())
    db.session.commit()
    return render_template("staff/privacy/task.html", task=found, tongue=current_settings().languages[0])


@bp.post("/tasks/<int:number>/done")
@_guard
def task_done(number: int) -> ResponseReturnValue:
    recipients.complete_task(number, now=utcnow(), actor=actor())
    return _commit_and_redirect(_("Noted: they have been told."))


def _commit_and_redirect(words: str) -> ResponseReturnValue:
    db.session.commit()
    flash(words)
    return redirect(url_for("privacy_desk.office"), 303)
