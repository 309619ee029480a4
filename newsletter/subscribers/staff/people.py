"""Staff pages of subscribers: search, details, and ending subscriptions on request."""

from typing import Any

import sqlalchemy as sa
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.staff.auth.access import actor, has_any_role, require_role
from newsletter.staff.models import Role
from newsletter.subscribers import search
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import tracking_label
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import MailingList, Subscriber, SubscriptionStatus
from newsletter.subscribers.objections import SCOPE_LABELS, find_objections
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.web.app import client_ip, parse_id, user_agent, write_transaction
from newsletter.web.i18n import NATIVE_NAMES, translate

bp = Blueprint("people", __name__, url_prefix="/staff/subscribers")

PAGE_SIZE = 50
MAX_ID = 2**31 - 1
STATUS_LABELS = {
    SubscriptionStatus.PENDING: N_("Not confirmed"),
    SubscriptionStatus.CONFIRMED: N_("Confirmed"),
    SubscriptionStatus.UNSUBSCRIBED: N_("Left"),
}


class NobodyChosen(NewsletterError):
    """A bulk action was posted without subscribers."""

    message = N_("Choose at least one subscriber.")


@bp.get("/")
@require_role(Role.PRIVACY, Role.ADMIN)
@write_transaction
def browse() -> ResponseReturnValue:
    lists = all_lists()
    chosen = next((row for row in lists if row.slug == request.args.get("list")), None)
    status = next((kind for kind in STATUS_LABELS if kind.value == request.args.get("status")), None)
    after = min(max(request.args.get("after", 0, type=parse_id), 0), MAX_ID)
    found = search.browse_people(mailing_list=chosen, status=status, after=after, size=PAGE_SIZE)
    filters: dict[str, Any] = {"list": chosen and chosen.slug, "status": status and status.value}
    next_url = url_for(".browse", **filters, after=found.next) if found.next else None
    return _render_people(found, lists, text="", chosen=chosen, status=status, next_url=next_url)


# By POST, so that the address is in no URL, access log or browser history.
@bp.post("/")
@require_role(Role.PRIVACY, Role.ADMIN)
def find() -> ResponseReturnValue:
    text = search.normalize_query(request.form.get("text", ""))
    if not text:
        return redirect(url_for(".browse"), 303)
    found = search.search_people(text, after=request.form.get("after", "")[:400], size=PAGE_SIZE)
    return _render_people(found, all_lists(), text=text)


@bp.get("/<int:subscriber_id>")
@require_role(Role.PRIVACY, Role.ADMIN)
@write_transaction
def person(subscriber_id: int) -> ResponseReturnValue:
    people = _load_subscribers([subscriber_id])
    if not people:
        raise UnknownSubscriber
    found = people[0]
    audit.record("subscriber shown", actor=actor(), now=utcnow(), object=f"subscriber:{found.id}")
    db.session.commit()
    return render_template(
        "staff/person.html",
        person=_row(found),
        tracking=translate(tracking_label(found.tracking)),
        created_at=found.created_at,
        restricted_at=found.restricted_at,
        objections=[
            translate(SCOPE_LABELS.get(scope, scope))
            for scope in find_objections([found.address_hash]).get(found.address_hash, [])
        ],
        may_see_bounces=has_any_role(Role.PRIVACY),
    )


@bp.post("/end")
@require_role(Role.PRIVACY, Role.ADMIN, fresh=True)
def end() -> ResponseReturnValue:
    """Ask for confirmation, and with ``sure`` end the chosen people's subscriptions to one list or to all."""
    people = _load_subscribers(request.form.getlist("person", type=parse_id)[:PAGE_SIZE])
    lists = all_lists()
    chosen = next((row for row in lists if row.slug == request.form.get("list")), None)
    if not people:
        raise NobodyChosen
    if request.form.get("sure") != "yes":
        return render_template("staff/end.html", people=[_row(row) for row in people], lists=lists)
    now = utcnow()
    visit = Visit(ip=client_ip(), user_agent=user_agent(), form_url=request.base_url)
    ended = sum(
        len(unsubscribe_from(row, [chosen.id] if chosen else None, now=now, method="staff", visit=visit))
        for row in people
    )
    audit.record("subscriptions ended", actor=actor(), now=now, people=len(people), ended=ended)
    db.session.commit()
    flash(_("Subscriptions ended: %(count)s", count=ended), "info")
    return redirect(url_for(".browse"), 303)


def _load_subscribers(numbers: list[int]) -> list[Subscriber]:
    possible = [number for number in numbers if 0 < number <= MAX_ID]
    found = sa.select(Subscriber).where(Subscriber.id.in_(possible)).order_by(Subscriber.id)
    return list(db.session.scalars(found))


def _render_people(
    found: search.SearchPage,
    lists: Any,  # noqa: ANN401 - rows for the template
    *,
    text: str,
    chosen: MailingList | None = None,
    status: SubscriptionStatus | None = None,
    next_url: str | None = None,
) -> str:
    audit.record("subscribers listed", actor=actor(), now=utcnow(), count=len(found.people))
    objecting = find_objections([row.address_hash for row in found.people])
    db.session.commit()
    return render_template(
        "staff/people.html",
        people=[_row(row) | {"objects": row.address_hash in objecting} for row in found.people],
        text=text,
        after=found.next if text else None,
        next_url=next_url,
        lists=lists,
        chosen=chosen.slug if chosen else "",
        status=status.value if status else "",
        statuses=[{"code": kind.value, "name": translate(name)} for kind, name in STATUS_LABELS.items()],
    )


def _row(found: Subscriber) -> dict[str, Any]:
    return {
        "id": found.id,
        "address": found.address,
        "language": NATIVE_NAMES[found.language],
        "since": found.created_at,
        "subscriptions": [
            {
                "list": row.mailing_list.name,
                "status": translate(STATUS_LABELS[row.status]),
                "code": row.status.value,
                "confirmed_at": row.confirmed_at,
                "unsubscribed_at": row.unsubscribed_at,
                "created_at": row.created_at,
            }
            for row in found.subscriptions
        ],
    }
