"""Staff pages of the audit log for the privacy level: filter, CSV export, verification of the hash chains."""

import io
import json
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.ledger.audit import verify_log
from newsletter.privacy.audit_log.action_labels import ACTION_LABELS, action_label, actor_label, list_actors
from newsletter.privacy.audit_log.detail_labels import describe_details
from newsletter.privacy.audit_log.queries import MAX_EXPORT_ROWS, PAGE_SIZE, AuditFilters, find_entries
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.subscribers.consent.evidence import verify_ledger
from newsletter.web.app import attachment, parse_id
from newsletter.web.csv_output import CsvWriter

bp = Blueprint("privacy_audit", __name__, url_prefix="/staff/privacy/audit")
_guard = require_role(Role.PRIVACY, Role.ADMIN)
#: For exports: needs a recent re-authentication.
_guard_fresh = require_role(Role.PRIVACY, Role.ADMIN, fresh=True)

bp.add_app_template_filter(action_label, "action")
bp.add_app_template_filter(actor_label, "actor")
bp.add_app_template_filter(describe_details, "details")


@bp.get("")
@_guard
def page() -> ResponseReturnValue:
    before = request.args.get("before", type=parse_id)
    entries = find_entries(_read_filters(), before=before)
    older = None
    if len(entries) == PAGE_SIZE:
        older = url_for("privacy_audit.page", **_filter_args(), before=entries[-1].id)
    return render_template(
        "staff/privacy/audit.html",
        entries=entries,
        actions=_sorted_choices(ACTION_LABELS, action_label),
        actors=_sorted_choices(list_actors(), actor_label),
        asked=_filter_args(),
        older_url=older,
        newest_url=url_for("privacy_audit.page", **_filter_args()) if before else None,
    )


@bp.post("/verify")
@_guard
def verify() -> ResponseReturnValue:
    broken = verify_log().broken + verify_ledger().broken
    audit.record("chains verified", actor=actor(), now=utcnow(), faults=len(broken))
    db.session.commit()
    if broken:
        flash(_("The chain is broken: %(places)s", places="; ".join(broken[:5])), "problem")
    else:
        flash(_("Every sealed fact and act is as it was sealed."))
    return redirect(url_for("privacy_audit.page"), 303)


@bp.post("/export")
@_guard_fresh
def export() -> ResponseReturnValue:
    entries = find_entries(_read_filters(), limit=MAX_EXPORT_ROWS)
    audit.record("audit log exported", actor=actor(), now=utcnow(), entries=len(entries))
    db.session.commit()
    file = io.StringIO(newline="")
    writer = CsvWriter(file)
    writer.write(("id", "at", "actor", "action", "object", "details"))
    for entry in entries:
        details = json.dumps(entry.details, ensure_ascii=False) if entry.details else ""
        cells = (str(entry.id), entry.at.isoformat(), entry.actor, entry.action, entry.object or "", details)
        writer.write(cells)
    return attachment(file.getvalue(), "audit.csv")


def _sorted_choices(codes: Iterable[str], label: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return (code, label) pairs, sorted by label."""
    return sorted(((code, label(code)) for code in codes), key=lambda pair: pair[1].casefold())


def _filter_args() -> dict[str, Any]:
    names = ("actor", "action", "object", "since", "until")
    return {name: request.values.get(name, "") for name in names if request.values.get(name)}


def _read_filters() -> AuditFilters:
    asked = _filter_args()
    return AuditFilters(
        actor=asked.get("actor", ""),
        action=asked.get("action", ""),
        object=asked.get("object", ""),
        since=_parse_date(asked.get("since", "")),
        until=_parse_date(asked.get("until", "")),
    )


def _parse_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
