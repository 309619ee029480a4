"""Staff pages of bounces: counts by kind, domain and day, one person's bounces, and unreadable messages."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.bounces import queries
from newsletter.bounces.models import BOUNCE_KINDS, Bounce, ReportKind
from newsletter.bounces.parser import OTHER_REASONS
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.ledger import audit
from newsletter.mail.replies.rules import REASONS
from newsletter.staff.auth.access import actor, has_any_role, require_role
from newsletter.staff.models import Role
from newsletter.stats.views.campaigns import count_masker
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.subscribers.suppressions import find_suppression
from newsletter.web.app import attachment, parse_id
from newsletter.web.i18n import format_date, translate

bp = Blueprint("bounce_pages", __name__, url_prefix="/staff/bounces")

PERIOD_DAYS = 30
PAGE_SIZE = 20
KIND_LABELS = {
    ReportKind.HARD: N_("Address does not work"),
    ReportKind.SOFT: N_("Did not work this time"),
    ReportKind.OURS: N_("Turned away because of us"),
    ReportKind.DELAYED: N_("On its way, late"),
    ReportKind.NOTICE: N_("Notice"),
    ReportKind.AUTO_REPLY: N_("Automatic reply"),
    ReportKind.CHALLENGE: N_("Asked for proof of a person"),
    ReportKind.UNSUBSCRIBE: N_("Left by mail"),
    ReportKind.COMPLAINT: N_("Spam complaint"),
    ReportKind.UNREADABLE: N_("Could not be read"),
}
#: What has been done about it.
SUPPRESSION_LABELS = {
    "bounced": N_("Nothing more is sent to this address: it does not work. Signing up anew lifts that."),
    "complained": N_(
        "Nothing more is sent to this address: its owner called our mail spam. Signing up anew lifts that."
    ),
}


@bp.get("")
@require_role(Role.SENDER, Role.PRIVACY, Role.ADMIN)
def page() -> ResponseReturnValue:
    now, shown = utcnow(), count_masker()
    before = request.args.get("before", type=parse_id)
    unread = queries.list_unreadable(size=PAGE_SIZE, before=before)
    return render_template(
        "staff/bounces.html",
        cells=shown,
        days=PERIOD_DAYS,
        kinds=[
            (translate(KIND_LABELS[kind]), number) for kind, number in queries.count_by_kind(now, PERIOD_DAYS)
        ],
        labels=[translate(KIND_LABELS[kind]) for kind in BOUNCE_KINDS],
        domains=_domain_rows(shown.hides),
        by_day=[(format_date(day), list(n.values())) for day, n in queries.count_by_day(now, PERIOD_DAYS)],
        unread=unread,
        older_url=url_for(".page", before=unread[-1].id) if len(unread) == PAGE_SIZE else None,
        first_url=url_for(".page") if before else None,
        keep_days=current_settings().keep_bounces_days,
        may_read=has_any_role(Role.PRIVACY),
    )


@bp.get("/<int:bounce_id>.eml")
@require_role(Role.PRIVACY)
def message(bounce_id: int) -> ResponseReturnValue:
    """Hand out a message that nobody could read, as it came."""
    found = db.session.get(Bounce, bounce_id)
    if found is None or found.raw is None:
        raise NotFound
    audit.record("bounce message read", actor=actor(), now=utcnow(), object=f"bounce:{found.id}")
    db.session.commit()
    raw = found.raw.encode("latin-1", "replace")
    return attachment(raw, f"bounce-{found.id}.eml", "application/octet-stream")


@bp.get("/person/<int:subscriber_id>")
@require_role(Role.PRIVACY)
def person(subscriber_id: int) -> ResponseReturnValue:
    """Say in plain words why mail does not reach a person."""
    found = db.session.get(Subscriber, subscriber_id) if subscriber_id < 2**31 else None
    if found is None:
        raise UnknownSubscriber
    audit.record("bounces shown", actor=actor(), now=utcnow(), object=f"subscriber:{found.id}")
    db.session.commit()
    bounces, complaints = queries.reports_of_subscriber(found.id)
    barred = find_suppression(found.address_key)
    return render_template(
        "staff/bounces_of.html",
        person=found,
        done=translate(SUPPRESSION_LABELS[barred.reason.value])
        if barred and barred.reason.value in SUPPRESSION_LABELS
        else None,
        bounces=[_bounce_row(row) for row in bounces],
        complaints=complaints,
    )


def _domain_rows(hides: Callable[[int], bool]) -> list[tuple[str | None, list[int]]]:
    """Return the domains, those that could point to someone put together as None."""
    named: list[tuple[str | None, list[int]]] = []
    others = [0] * len(BOUNCE_KINDS)
    for name, numbers in queries.count_by_domain(utcnow(), PERIOD_DAYS):
        counts = [numbers[kind] for kind in BOUNCE_KINDS]
        if hides(sum(counts)):
            others = [one + more for one, more in zip(others, counts, strict=True)]
        else:
            named.append((name, counts))
    return [*named, (None, others)] if any(others) else named


def _bounce_row(row: Bounce) -> dict[str, Any]:
    words = REASONS | OTHER_REASONS
    return {
        "received_at": row.received_at,
        "kind": translate(KIND_LABELS[row.kind]),
        "why": translate(words[row.reason]) if row.reason in words else "–",
        "status": row.status,
        "text": row.text,
        "campaign_id": row.campaign_id,
    }
