"""The audit log for whoever answers for data protection: filtered, exported, its seals checked."""

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
from newsletter.privacy.audit_log.action_labels import ACTIONS, action_name, actor_name, known_actors
from newsletter.privacy.audit_log.detail_labels import in_words
from newsletter.privacy.audit_log.queries import MOST, PAGE, Filters, find_entries
from newsletter.staff.auth.access import actor, needs
from newsletter.staff.models import Role
from newsletter.subscribers.consent.evidence import verify_ledger
from newsletter.web.app import attachment, whole
from newsletter.web.csv_output import CsvWriter

bp = Blueprint("privacy_audit", __name__, url_prefix="/staff/privacy/audit")
_guard = needs(Role.PRIVACY, Role.ADMIN)
#: Before what leaves the house.
_guard_again = needs(Role.PRIVACY, Role.ADMIN, fresh=True)

bp.add_app_template_filter(action_name, "action")
bp.add_app_template_filter(actor_name, "actor")
bp.add_app_template_filter(in_words, "details")


@bp.get("")
@_guard
def page() -> ResponseReturnValue:
    before = request.args.get("before", type=whole)
    entries = find_entries(_filters(), before=before)
    older = None
    if len(entries) == PAGE:
        older = url_for("privacy_audit.page", **_asked(), before=entries[-1].id)
    return render_template(
        "staff/privacy/audit.html",
        entries=entries,
        actions=_in_order(ACTIONS, action_name),
        actors=_in_order(known_actors(), actor_name),
        asked=_asked(),
        older_url=older,
        newest_url=url_for("privacy_audit.page", **_asked()) if before else None,
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
@_guard_again
def export() -> ResponseReturnValue:
    entries = find_entries(_filters(), limit=MOST)
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


def _in_order(known: Iterable[str], in_words: Callable[[str], str]) -> list[tuple[str, str]]:
    """Pair what the log keeps with its words, in the order of the words."""
    return sorted(((kept, in_words(kept)) for kept in known), key=lambda pair: pair[1].casefold())


def _asked() -> dict[str, Any]:
    names = ("actor", "action", "object", "since", "until")
    return {name: request.values.get(name, "") for name in names if request.values.get(name)}


def _filters() -> Filters:
    asked = _asked()
    return Filters(
        actor=asked.get("actor", ""),
        action=asked.get("action", ""),
        object=asked.get("object", ""),
        since=_day(asked.get("since", "")),
        until=_day(asked.get("until", "")),
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
