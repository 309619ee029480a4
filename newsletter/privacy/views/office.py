"""Staff pages of the privacy level: purge, retention, privacy notices, breaches, processing record."""

import io
from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.moments import read_clock_time
from newsletter.privacy import incidents
from newsletter.privacy.models import PurgeRun
from newsletter.privacy.notice import versions
from newsletter.privacy.notice.content import assemble_notice, missing_parts
from newsletter.privacy.notice.processing_record import processing_record_rows
from newsletter.privacy.retention.purge import STAGES, get_run, list_runs
from newsletter.privacy.retention.purge_selection import count_left_out, preview_purge
from newsletter.privacy.retention.schedule import schedule_lines
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.web.app import attachment
from newsletter.web.csv_output import CsvWriter
from newsletter.web.i18n import language

bp = Blueprint("privacy_office", __name__, url_prefix="/staff/privacy")
_guard = require_role(Role.PRIVACY, Role.ADMIN)
#: Before what leaves the house or cannot be taken back.
_guard_fresh = require_role(Role.PRIVACY, Role.ADMIN, fresh=True)


# --- retention and purge ---------------------------------------------------------------------------


@bp.get("/schedule")
@_guard
def schedule() -> ResponseReturnValue:
    return render_template("staff/privacy/schedule.html", lines=schedule_lines(everything=True))


@bp.get("/purge")
@_guard
def purge() -> ResponseReturnValue:
    runs = [(run, _progress_percent(run)) for run in list_runs()]
    return render_template(
        "staff/privacy/purge.html", runs=runs, due=current_settings().purge_at, counts=None
    )


@bp.post("/purge/preview")
@_guard
def purge_preview() -> ResponseReturnValue:
    now = utcnow()
    counts, passed = preview_purge(now), count_left_out(now)
    db.session.rollback()
    runs = [(run, _progress_percent(run)) for run in list_runs()]
    return render_template(
        "staff/privacy/purge.html", runs=runs, due=current_settings().purge_at, counts=counts, left_out=passed
    )


@bp.get("/purge/<int:number>")
@_guard
def purge_run(number: int) -> ResponseReturnValue:
    run = get_run(number)
    return render_template("staff/privacy/certificate.html", run=run, share=_progress_percent(run))


# --- notices ---------------------------------------------------------------------------------------


@bp.get("/notices")
@_guard
def notices() -> ResponseReturnValue:
    last, now_says = versions.current_notice(), assemble_notice()
    return render_template(
        "staff/privacy/notices.html",
        versions=versions.list_versions(),
        missing=missing_parts(),
        changes=versions.diff_versions(last.content if last else None, now_says, language()),
        is_new=last is None or last.content != now_says,
        sections=versions.sections_of(now_says, language()),
    )


@bp.post("/notices")
@_guard_fresh
def publish_notice() -> ResponseReturnValue:
    made = versions.publish(now=utcnow(), actor=actor())
    db.session.commit()
    flash(_("Published as version %(number)s.", number=made.version))
    return redirect(url_for("privacy_office.notices"), 303)


# --- breaches and records --------------------------------------------------------------------------


@bp.get("/incidents")
@_guard
def show_incidents() -> ResponseReturnValue:
    now = utcnow()
    found = [
        (item, incidents.report_due_at(item), incidents.hours_left(item, now))
        for item in incidents.list_incidents()
    ]
    return render_template("staff/privacy/incidents.html", incidents=found)


@bp.post("/incidents")
@_guard
def record_incident() -> ResponseReturnValue:
    began, ended = _parse_local_time("began_at"), _parse_local_time("ended_at")
    incidents.record_incident(
        request.form.get("description", ""),
        began_at=began,
        ended_at=ended,
        noticed_at=_parse_local_time("noticed_at"),
        effects=request.form.get("effects", ""),
        measures=request.form.get("measures", ""),
        now=utcnow(),
        actor=actor(),
    )
    db.session.commit()
    flash(_("The incident has been recorded. The clock of 72 hours runs from when it was noticed."))
    return redirect(url_for("privacy_office.show_incidents"), 303)


@bp.post("/incidents/affected")
@_guard_fresh
def export_affected() -> ResponseReturnValue:
    found = incidents.find_affected(_parse_local_time("began_at"), _parse_local_time("ended_at"))
    audit.record("affected people exported", actor=actor(), now=utcnow(), people=found.count)
    db.session.commit()
    file = io.StringIO(newline="")
    writer = CsvWriter(file)
    writer.write(("number", "address"))
    for number, address in found.people:
        writer.write((str(number), address))
    return attachment(file.getvalue(), "affected.csv")


@bp.post("/incidents/<int:number>/describe")
@_guard
def describe_incident(number: int) -> ResponseReturnValue:
    effects, measures = request.form.get("effects", ""), request.form.get("measures", "")
    incidents.update_incident(number, effects=effects, measures=measures, now=utcnow(), actor=actor())
    db.session.commit()
    return redirect(url_for("privacy_office.show_incidents"), 303)


@bp.post("/incidents/<int:number>/<step>")
@_guard
def settle_incident(number: int, step: str) -> ResponseReturnValue:
    incidents.record_step(number, step, now=utcnow(), actor=actor())
    db.session.commit()
    return redirect(url_for("privacy_office.show_incidents"), 303)


@bp.get("/records")
@_guard
def show_records() -> ResponseReturnValue:
    return render_template("staff/privacy/records.html", records=processing_record_rows())


@bp.get("/records.csv")
@_guard_fresh
def export_records() -> ResponseReturnValue:
    file = io.StringIO(newline="")
    writer = CsvWriter(file)
    for row in processing_record_rows():
        writer.write(row)
    return attachment(file.getvalue(), "records.csv")


def _progress_percent(run: PurgeRun) -> int:
    """Return how much of a run is done, in percent."""
    if run.finished_at is not None:
        return 100
    told = run.progress or {"stage": STAGES[0], "done": 0, "total": 1}
    part = told["done"] / told["total"] if told["total"] else 1
    return int(100 * (STAGES.index(told["stage"]) + min(part, 1)) / len(STAGES))


def _parse_local_time(name: str) -> datetime:
    """Read a local time of the form; raise InvalidPeriod."""
    try:
        local = read_clock_time(request.form.get(name, ""))
    except ValueError:
        raise incidents.InvalidPeriod from None
    return local.replace(tzinfo=current_settings().timezone) if local.tzinfo is None else local
